// SPDX-License-Identifier: MIT
#include "vmm/svm/instruction.hh"

namespace vmm::svm {
namespace {

/// An instruction's bytes behind its prefixes; `count` 0: none that we know.
struct Opcode {
    std::uint8_t count = 0;
    std::uint8_t bytes[3]{};
    bool has_source = false;  ///< a ModRM byte follows
};

Opcode opcode_of(std::uint64_t code, std::uint64_t information) {
    switch (code) {
        case exit_code::cpuid: return {2, {0x0f, 0xa2}};
        case exit_code::msr:
            return information == msr_write ? Opcode{2, {0x0f, 0x30}} : Opcode{2, {0x0f, 0x32}};
        case exit_code::hlt: return {1, {0xf4}};
        case exit_code::invd: return {2, {0x0f, 0x08}};
        case exit_code::wbinvd: return {2, {0x0f, 0x09}};
        case exit_code::vmmcall: return {3, {0x0f, 0x01, 0xd9}};
        case exit_code::write_cr3:
        case exit_code::write_cr8: return {2, {0x0f, 0x22}, true};
        default: break;
    }
    if (code >= exit_code::write_dr0 && code <= exit_code::write_dr7)
        return {2, {0x0f, 0x23}, true};
    return {};
}

constexpr std::uint8_t modrm_rm = 7;
constexpr std::uint8_t extended = 8;  // what REX.B adds to a register's number

}  // namespace

std::optional<Instruction> decode_instruction(std::uint64_t exit_code,
                                              std::uint64_t exit_information,
                                              std::span<const std::byte> bytes, bool is_64_bit) {
    const auto byte_at = [bytes](std::size_t at) {
        return std::to_integer<std::uint8_t>(bytes[at]);
    };
    if (bytes.size() > longest_instruction) bytes = bytes.first(longest_instruction);
    const Prefixes prefixes = read_prefixes(bytes, is_64_bit ? CodeSize::Bits64 : CodeSize::Bits32);
    std::size_t at = prefixes.count;
    const Opcode opcode = opcode_of(exit_code, exit_information);
    if (opcode.count == 0 || bytes.size() - at < opcode.count + std::size_t{opcode.has_source})
        return std::nullopt;
    for (std::size_t i = 0; i < opcode.count; ++i)
        if (byte_at(at + i) != opcode.bytes[i]) return std::nullopt;
    at += opcode.count;
    if (!opcode.has_source) return Instruction{.length = static_cast<std::uint8_t>(at)};
    const std::uint8_t source = byte_at(at) & modrm_rm;
    return Instruction{.length = static_cast<std::uint8_t>(at + 1),
                       .source = static_cast<std::uint8_t>(
                           (prefixes.rex & rex::b) != 0 ? source + extended : source)};
}

}  // namespace vmm::svm
