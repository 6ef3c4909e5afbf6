// SPDX-License-Identifier: MIT
#include "vmm/exits/instruction.hh"

namespace vmm {
namespace {

/// The segment that a prefix names.
std::optional<SegmentName> segment_of(std::uint8_t prefix) {
    switch (prefix) {
        case 0x26: return SegmentName::Es;
        case 0x2e: return SegmentName::Cs;
        case 0x36: return SegmentName::Ss;
        case 0x3e: return SegmentName::Ds;
        case 0x64: return SegmentName::Fs;
        case 0x65: return SegmentName::Gs;
        default: return std::nullopt;
    }
}

/// Notes a legacy prefix; says whether it is one.
bool note(Prefixes& prefixes, std::uint8_t byte, CodeSize code) {
    if (const auto segment = segment_of(byte)) {
        if (code != CodeSize::Bits64 || *segment >= SegmentName::Fs) prefixes.segment = segment;
        return true;
    }
    switch (byte) {
        case 0x66: prefixes.operand_size = true; return true;
        case 0x67: prefixes.address_size = true; return true;
        case 0xf0: prefixes.lock = true; return true;
        case 0xf2:
        case 0xf3: prefixes.repeat = true; return true;
        default: return false;
    }
}

constexpr std::uint8_t rex_first = 0x40;
constexpr std::uint8_t rex_kind = 0xf0;

}  // namespace

Prefixes read_prefixes(std::span<const std::byte> bytes, CodeSize code) {
    Prefixes prefixes;
    for (const std::byte each : bytes) {
        const auto byte = std::to_integer<std::uint8_t>(each);
        const bool is_rex = code == CodeSize::Bits64 && (byte & rex_kind) == rex_first;
        if (!is_rex && !note(prefixes, byte, code)) break;
        prefixes.rex = is_rex ? byte : 0;  // it counts only right before the opcode
        if (++prefixes.count == longest_instruction) break;
    }
    return prefixes;
}

}  // namespace vmm
