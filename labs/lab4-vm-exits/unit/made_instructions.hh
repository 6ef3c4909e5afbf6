// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "instructions.hh"
#include "vmm/exits/decode_access.hh"

/// Whole instructions that access memory, made from operands that are known. grader/tests compares
/// them with what a disassembler says.
namespace lab {

/// An opcode with ModRM, as the manual's table has it.
struct KnownOpcode {
    unsigned opcode;  ///< above 0xff: 0f and another byte
    vmm::MemoryAccess::Operation operation;
    unsigned extension;  ///< in ModRM.reg; 8: a register
    bool of_one_byte;
    bool memory_first;
    unsigned immediate;     ///< bytes; 9: as many as the operand, 4 at most
    unsigned memory_bytes;  ///< 0: as many as the operand
    bool sign_extend = false;
};

inline const std::vector<KnownOpcode>& known_opcodes() {
    using enum vmm::MemoryAccess::Operation;
    static const std::vector<KnownOpcode> known{
        {0x88, Store, 8, true, true, 0, 0},
        {0x89, Store, 8, false, true, 0, 0},
        {0x8a, Load, 8, true, false, 0, 0},
        {0x8b, Load, 8, false, false, 0, 0},
        {0xc6, Store, 0, true, true, 1, 0},
        {0xc7, Store, 0, false, true, 9, 0},
        {0x0fb6, Load, 8, false, false, 0, 1},
        {0x0fb7, Load, 8, false, false, 0, 2},
        {0x0fbe, Load, 8, false, false, 0, 1, true},
        {0x0fbf, Load, 8, false, false, 0, 2, true},
        {0x08, Or, 8, true, true, 0, 0},
        {0x0b, Or, 8, false, false, 0, 0},
        {0x21, And, 8, false, true, 0, 0},
        {0x22, And, 8, true, false, 0, 0},
        {0x31, Xor, 8, false, true, 0, 0},
        {0x3b, Compare, 8, false, false, 0, 0},
        {0x39, Compare, 8, false, true, 0, 0},
        {0x80, Or, 1, true, true, 1, 0},
        {0x81, And, 4, false, true, 9, 0},
        {0x83, Xor, 6, false, true, 1, 0},
        {0x83, Compare, 7, false, true, 1, 0},
        {0x84, Test, 8, true, true, 0, 0},
        {0x85, Test, 8, false, true, 0, 0},
        {0xf6, Test, 0, true, true, 1, 0},
        {0xf7, Test, 0, false, true, 9, 0},
        {0x86, Exchange, 8, true, true, 0, 0},
        {0x87, Exchange, 8, false, true, 0, 0},
    };
    return known;
}

/// An instruction, and what it was made of.
struct MadeInstruction {
    Bytes bytes;
    Operand operand;            ///< in memory
    unsigned address_bits = 0;  ///< 16, 32 or 64
    vmm::MemoryAccess wanted{};
};

/// Any instruction of known_opcodes() for this ground, with at most 15 bytes.
inline MadeInstruction make_instruction(const Ground& ground) {
    const auto one_of = [](std::size_t many) {
        return static_cast<unsigned>(random().next() % many);
    };
    const bool is_64 = ground.code == CodeSize::Bits64;
    const KnownOpcode& one = known_opcodes()[one_of(known_opcodes().size())];
    const bool other_address = one_of(4) == 0;
    const bool other_operand = one_of(3) == 0;
    const bool wide = is_64 && one_of(3) == 0;
    const unsigned number = one_of(is_64 ? 16 : 8);
    const unsigned bits = address_bits(ground.code, other_address);
    const Operand operand = any_operand(bits, ground.code);
    const unsigned reg = one.extension == 8 ? number & 7 : one.extension;
    const Encoded encoded = bits == 16 ? encode_16(operand, reg) : encode(operand, reg, is_64);
    std::optional<SegmentName> named;

    Bytes bytes;
    if (one_of(4) == 0) {
        named = static_cast<SegmentName>(one_of(6));
        bytes.push_back(prefix_of(*named));
        if (is_64 && *named < SegmentName::Fs) named.reset();
    }
    if (other_operand) bytes.push_back(std::byte{0x66});
    if (other_address) bytes.insert(bytes.begin() + one_of(bytes.size() + 1), std::byte{0x67});
    unsigned rex = encoded.rex;
    if (wide) rex |= vmm::rex::w;
    if (one.extension == 8 && number > 7) rex |= vmm::rex::r;
    const bool has_rex = rex != 0 || (is_64 && one_of(4) == 0);
    if (has_rex) bytes.push_back(std::byte(0x40 | rex));
    if (one.opcode > 0xff) bytes.push_back(std::byte(one.opcode >> 8));
    bytes.push_back(std::byte(one.opcode & 0xff));
    bytes.insert(bytes.end(), encoded.bytes.begin(), encoded.bytes.end());

    const unsigned size = one.of_one_byte                                      ? 1
                          : wide                                               ? 8
                          : (ground.code == CodeSize::Bits16) == other_operand ? 4
                                                                               : 2;
    const unsigned immediate_bytes = one.immediate == 9 ? std::min(size, 4U) : one.immediate;
    const std::int64_t immediate = any_displacement(immediate_bytes);
    add_number(bytes, static_cast<std::uint64_t>(immediate), immediate_bytes);
    if (bytes.size() > vmm::longest_instruction) return make_instruction(ground);
    const std::uint64_t offset =
        offset_of(operand, ground, bits, ground.registers.rip + bytes.size());

    vmm::MemoryAccess wanted{
        .operation = one.operation,
        .memory = {.address = vmm::Gva{linear(ground, segment_of(operand, named), offset)}},
        .size = static_cast<std::uint8_t>(one.memory_bytes != 0 ? one.memory_bytes : size),
        .memory_first = one.memory_first,
        .register_size = static_cast<std::uint8_t>(size),
        .sign_extend = one.sign_extend};
    if (one.extension == 8) {
        const bool is_high = size == 1 && !has_rex && number >= 4 && number < 8;
        wanted.reg =
            vmm::RegisterOperand{.number = static_cast<std::uint8_t>(is_high ? number - 4 : number),
                                 .is_high_byte = is_high};
    } else {
        wanted.immediate = low_bits(static_cast<std::uint64_t>(immediate), 8 * size);
    }
    return {bytes, operand, bits, wanted};
}

}  // namespace lab
