// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "vmm/exits/instruction.hh"
#include "vmm/soft/rewrite_sensitive.hh"

namespace vmm::soft {

/// An instruction of 32-bit code, as far as one sees by its bytes alone.
struct CodeInstruction {
    std::uint8_t length = 0;     ///< in bytes, prefixes included
    Prefixes prefixes{};         ///< what stands before the opcode
    std::uint16_t opcode = 0;    ///< its byte; with 0x100 added, that behind 0f
    std::uint8_t modrm = 0;      ///< 0 if there is none
    std::uint8_t immediate = 0;  ///< bytes of it at the instruction's end, of a far pointer too

    ///@{
    /// A field of ModRM. With `mod` 3 the operand `rm` is a register, else memory.
    unsigned mod() const { return modrm >> 6; }
    unsigned reg() const { return modrm >> 3 & 7U; }
    ///@}
};

/// Finds out how long an instruction of 32-bit code is: those of one byte and of two (behind 0f)
/// [amd/vol3 appendix A], but for LDS, LES, VEX and what is longer.
///
/// @param bytes  what stands there
/// @note Errors: Unsupported (any other one), Truncated (the bytes end before it does).
std::expected<CodeInstruction, Error> decode_code(std::span<const std::byte> bytes);

/// The name of an instruction that ring 3 executes without a trap, and that does not do there what
/// it does in ring 0; empty if it is none. What depends on settings counts too: with UMIP some
/// CPUs trap, and others do not.
std::string_view silent_name(const CodeInstruction& instruction);

/// Something in a guest's code that keeps it from running.
struct CodeFault {
    std::uint32_t address = 0;       ///< linear
    std::string_view instruction{};  ///< its name; empty: it could not be decoded
};

/// Looks for instructions that are silent in ring 3 and that nobody has noted as sites.
///
/// It goes from each instruction to the next, as a processor without jumps does. So all of `code`
/// must be instructions: data in between would be taken for some, and who jumps into the middle of
/// one executes what nobody has seen.
///
/// @param code     the bytes
/// @param address  the linear address of the first
/// @param sites    those that may be there: they are rewritten
std::expected<void, CodeFault> check_code(std::span<const std::byte> code, std::uint32_t address,
                                          std::span<const SiteNote> sites);

}  // namespace vmm::soft
