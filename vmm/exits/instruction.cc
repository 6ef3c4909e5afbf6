// SPDX-License-Identifier: MIT
#include "vmm/exits/instruction.hh"

namespace vmm {
namespace {

/// Notes a legacy prefix.
void note(Prefixes& prefixes, std::uint8_t byte, CodeSize code) {
    const auto note_segment = [&](SegmentName segment) {
        if (code != CodeSize::Bits64 || segment >= SegmentName::Fs) prefixes.segment = segment;
    };
    switch (byte) {
        case 0x26: return note_segment(SegmentName::Es);
        case 0x2e: return note_segment(SegmentName::Cs);
        case 0x36: return note_segment(SegmentName::Ss);
        case 0x3e: return note_segment(SegmentName::Ds);
        case 0x64: return note_segment(SegmentName::Fs);
        case 0x65: return note_segment(SegmentName::Gs);
        case 0x66: prefixes.operand_size = true; return;
        case 0x67: prefixes.address_size = true; return;
        case 0xf0: prefixes.lock = true; return;
        default: prefixes.repeat = true; return;  // f2, f3
    }
}

constexpr std::uint8_t rex_first = 0x40;
constexpr std::uint8_t rex_kind = 0xf0;

}  // namespace

void read_some_prefixes(std::span<const std::byte> bytes, CodeSize code, Prefixes& prefixes) {
    for (const std::byte each : bytes) {
        if (!is_prefix(each, code)) break;
        const auto byte = std::to_integer<std::uint8_t>(each);
        const bool is_rex = code == CodeSize::Bits64 && (byte & rex_kind) == rex_first;
        if (!is_rex) note(prefixes, byte, code);
        prefixes.rex = is_rex ? byte : 0;  // it counts only right before the opcode
        if (++prefixes.count == longest_instruction) break;
    }
}

}  // namespace vmm
