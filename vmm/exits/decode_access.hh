// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "vmm/exits/instruction.hh"

namespace vmm {

/// A general register, or the part of one, as an operand.
struct RegisterOperand {
    std::uint8_t number = 0;    ///< of general_registers
    bool is_high_byte = false;  ///< AH, CH, DH or BH: bits 15 to 8 of registers 0 to 3
    /// Both alike.
    bool operator==(const RegisterOperand&) const = default;
};

/// What an instruction does with its one operand in memory.
struct MemoryAccess {
    /// In which way the two operands come together.
    enum class Operation : std::uint8_t {
        Load,      ///< MOV, MOVZX, MOVSX from memory into a register
        Store,     ///< MOV and STOS into memory
        And,       ///< AND: into the first operand, with flags
        Or,        ///< OR, likewise
        Xor,       ///< XOR, likewise
        Compare,   ///< CMP: the flags of the first operand minus the second
        Test,      ///< TEST: the flags of AND
        Exchange,  ///< XCHG
    };
    Operation operation{};     ///< what is done
    MemoryOperand memory{};    ///< where; its `length` means nothing
    std::uint8_t size = 0;     ///< of the access to memory, in bytes: 1, 2, 4 or 8
    bool memory_first = true;  ///< memory is the first operand, the destination; for Load it is not
    std::optional<RegisterOperand> reg{};  ///< the other operand; nothing: it is `immediate`
    /// Of `reg`, in bytes: `size`, and of MOVZX and MOVSX more; it means nothing without `reg`.
    std::uint8_t register_size = 0;
    bool sign_extend = false;     ///< MOVSX: a load extends the sign; otherwise it adds zeros
    std::uint64_t immediate = 0;  ///< extended by its sign to `size` bytes; the bits beyond are 0
    bool is_string = false;  ///< STOS: RDI is to be moved by `size`, as the direction flag says
    bool repeat = false;     ///< of STOS: as often as RCX says
    std::uint8_t address_bytes = 0;  ///< of STOS: how much of RDI and RCX counts, 2, 4 or 8
    std::uint8_t length = 0;         ///< of the instruction, in bytes
};

/// An instruction that decode_access does not know.
struct UndecodedInstruction {
    Error error;                                         ///< why
    std::array<std::byte, longest_instruction> bytes{};  ///< what stands there
    std::uint8_t count = 0;                              ///< how many of them could be read
};

/// Decodes an instruction that accesses memory (task lab4.decode_access), for a device whose
/// registers are in memory. It knows these, each with an operand in memory [amd/vol3 3,
/// appendix A]:
///
/// | opcode | instruction | |
/// |---|---|---|
/// | 88, 89 | MOV memory, register | |
/// | 8a, 8b | MOV register, memory | |
/// | a0 to a3 | MOV with AL, AX, EAX or RAX | the operand is an offset of the address size; a0 and a1 load |
/// | c6 /0, c7 /0 | MOV memory, immediate | |
/// | 0f b6, 0f b7 | MOVZX register, memory of 1 or 2 bytes | |
/// | 0f be, 0f bf | MOVSX register, memory of 1 or 2 bytes | |
/// | 63 | MOVSXD register, memory of 4 bytes | in 64-bit code alone, with REX.W |
/// | 20 to 23, 08 to 0b, 30 to 33, 38 to 3b | AND, OR, XOR, CMP | x0, x1: memory first; x2, x3: register first |
/// | 80, 81, 83 with /4, /1, /6, /7 | AND, OR, XOR, CMP memory, immediate | 83: a signed byte |
/// | 84, 85 | TEST memory, register | |
/// | f6 /0, f7 /0 | TEST memory, immediate | |
/// | 86, 87 | XCHG memory, register | memory first |
/// | aa, ab | STOS: AL, AX, EAX or RAX to ES:rDI | no prefix changes the segment |
///
/// Opcodes whose last digit is even, but for MOVZX and MOVSX, have operands of one byte. The others
/// have operands of 8 bytes with REX.W, else of 4, or of 2 with prefix 66 or in 16-bit code, but not
/// with both. An immediate has as many bytes as the operand, but 4 for an operand of 8, to which its
/// sign extends it. MOVZX, MOVSX and MOVSXD load into a register of the operand's size. Registers of
/// one byte with number 4 to 7 are AH, CH, DH and BH, unless there is a REX prefix: then they are the
/// lowest bytes of registers 4 to 7. REX.R extends the number of the register in ModRM.
///
/// Prefixes f2 and f3 repeat STOS and change nothing of the others. LOCK may stand before AND, OR,
/// XOR and XCHG with memory first.
///
/// Several vCPUs may call it at once.
///
/// @param bytes  what stands at RIP: as many bytes as could be read, at most longest_instruction
/// @param state  for effective_address; its registers are not changed
/// @note Errors: Unsupported (any other instruction, a register in the place of memory, a LOCK
/// where none may be), Truncated (the bytes end before the instruction does), InvalidArgument (all
/// longest_instruction bytes are there, and the instruction is longer: the CPU raises \#GP). Of
/// bytes that end early and are none of these instructions, either may be said. Each carries the
/// bytes that were given.
std::expected<MemoryAccess, UndecodedInstruction> decode_access(std::span<const std::byte> bytes,
                                                                const AddressState& state);

}  // namespace vmm
