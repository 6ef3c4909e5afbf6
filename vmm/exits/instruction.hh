// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "vmm/address.hh"
#include "vmm/registers.hh"

namespace vmm {

/// The most bytes that an instruction has, prefixes included [amd/vol3 1.1].
inline constexpr std::size_t longest_instruction = 15;

/// Bits of a REX prefix [amd/vol3 1.2.7].
namespace rex {
inline constexpr std::uint8_t b = 1U << 0;  ///< extends ModRM.rm, SIB.base or the opcode's register
inline constexpr std::uint8_t x = 1U << 1;  ///< extends SIB.index
inline constexpr std::uint8_t r = 1U << 2;  ///< extends ModRM.reg
inline constexpr std::uint8_t w = 1U << 3;  ///< the operand has 64 bits
}  // namespace rex

/// What stands before an instruction's opcode.
struct Prefixes {
    std::uint8_t count = 0;     ///< bytes, REX included
    std::uint8_t rex = 0;       ///< right before the opcode, in 64-bit code; 0: there is none
    bool operand_size = false;  ///< 66
    bool address_size = false;  ///< 67
    bool lock = false;          ///< f0
    bool repeat = false;        ///< f3 or f2, REP or REPNE
    /// The last one of 26, 2e, 36, 3e, 64, 65; in 64-bit code of the last two, the others do not
    /// count there.
    std::optional<SegmentName> segment{};
};

/// The legacy prefixes, a bit for each byte: 26, 2e, 36, 3e; 64 to 67; f0, f2, f3.
inline constexpr std::array<std::uint64_t, 4> legacy_prefixes{
    0x4040'4040'0000'0000, 0x00f0'0000'0000, 0, 0x000d'0000'0000'0000};
/// Whether `byte` is a prefix in code of this size.
constexpr bool is_prefix(std::byte byte, CodeSize code) {
    const auto value = std::to_integer<unsigned>(byte);
    return (legacy_prefixes[value / 64] >> value % 64 & 1) != 0 ||
           (code == CodeSize::Bits64 && value >> 4 == 4);
}

/// read_prefixes for who has seen that the first byte is one, into `prefixes`.
void read_some_prefixes(std::span<const std::byte> bytes, CodeSize code, Prefixes& prefixes);

/// Reads the prefixes of the instruction that begins with `bytes`. If there is nothing else, or too
/// many to be an instruction, `count` is the number of bytes.
inline Prefixes read_prefixes(std::span<const std::byte> bytes, CodeSize code) {
    Prefixes prefixes;  // most instructions have none
    if (!bytes.empty() && is_prefix(bytes.front(), code)) [[unlikely]]
        read_some_prefixes(bytes, code, prefixes);
    return prefixes;
}

/// What the address of a memory operand is worked out from, beside the instruction's bytes.
struct AddressState {
    CodeSize code = CodeSize::Bits64;  ///< of the code segment
    const Registers& registers;        ///< the guest's; `rip` is that of the instruction
    const std::array<SegmentRegister, 6>& segments;  ///< by SegmentName
};

/// A memory operand.
struct MemoryOperand {
    std::uint64_t offset = 0;  ///< in its segment: the effective address
    SegmentName segment{};     ///< which one
    Gva address{};             ///< the linear address
    std::uint8_t length = 0;   ///< bytes that it takes in the instruction: ModRM, SIB, displacement
};

/// Works out the address of an instruction's memory operand (task lab4.effective_address).
///
/// The address size is that of the code (16, 32 or 64 bits), and with prefix 67 the other one: 32
/// instead of 16 or of 64, 16 instead of 32. The offset is a sum modulo 2^(address size), of what
/// ModRM says, and from 32 bits on SIB [amd/vol3 1.4, tables 1-14 and ]:
///
/// - base and index are registers; in 64-bit code REX.B and REX.X extend their numbers. An index of
///   number 4 is none; an extended one, 12, is R12. Only the lowest bits of a register count, as
///   many as the address has;
/// - a displacement is signed, of 8 bits or of the address size, but 32 bits at most;
/// - mod 0 with rm 5, without SIB: no register, a displacement of 32 bits; in 64-bit code it counts
///   from the address of the *next* instruction, which is `immediate_bytes` behind this operand.
///   mod 0 with SIB and a base of number 5 or 13: a displacement in place of the base. With 16 bits,
///   mod 0 with rm 6: a displacement of 16 bits alone.
///
/// The segment is that of the prefix, otherwise SS if the base is RSP or RBP (BP with 16 bits), not
/// R12 or R13, otherwise DS. The linear address is the segment's base plus the offset, modulo 2^32;
/// in 64-bit code modulo 2^64, and there the bases of ES, CS, SS and DS count as 0.
///
/// Several vCPUs may call it at once.
///
/// @param instruction      the bytes from the first prefix on, as many as could be read
/// @param prefixes         as read_prefixes finds them
/// @param modrm_at         where in `instruction` the ModRM byte stands
/// @param immediate_bytes  how many bytes of the instruction follow the operand
/// @param state            see there
/// @note Errors: Truncated (the bytes end before the operand does), InvalidArgument (mod is 3: the
/// operand is a register). Limits and rights of segments are not looked at.
std::expected<MemoryOperand, Error> effective_address(std::span<const std::byte> instruction,
                                                      const Prefixes& prefixes,
                                                      std::size_t modrm_at,
                                                      std::size_t immediate_bytes,
                                                      const AddressState& state);

}  // namespace vmm
