// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "vmm/exits/instruction.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// An instruction that is done in the guest's place, decoded.
struct SensitiveInstruction {
    /// Which one.
    enum class Kind : std::uint8_t {
        Cli,
        Sti,
        Hlt,
        Pushf,              ///< of 32 bits; it traps only where it was rewritten
        Popf,               ///< likewise
        Iret,               ///< of 32 bits
        In,                 ///< `size`, `port`
        Out,                ///< `size`, `port`
        MovFromControl,     ///< `number` is the control register, `reg` gets it
        MovToControl,       ///< `number` is the control register, `reg` has the value
        Invlpg,             ///< `address`
        Lgdt,               ///< `address`
        Lidt,               ///< `address`
        Ltr,                ///< `reg` has the selector
        MovToSegment,       ///< `number` is the SegmentName, `reg` has the selector
        MovFromSegment,     ///< of 32 bits; it traps only where it was rewritten
        FarJump,            ///< `selector`, `offset`
        SoftwareInterrupt,  ///< INT n, INT3, INTO: `number` is the vector
    };
    Kind kind;                           ///< which one
    std::uint8_t length = 0;             ///< in bytes
    std::uint8_t size = 4;               ///< what IN and OUT move: 1, 2 or 4 bytes
    std::uint8_t reg = 0;                ///< of general_registers
    std::uint8_t number = 0;             ///< see the kinds
    std::optional<std::uint8_t> port{};  ///< of IN and OUT; nothing: DX has it
    std::uint32_t address = 0;           ///< a linear address
    std::uint16_t selector = 0;          ///< of a far jump
    std::uint32_t offset = 0;            ///< of a far jump: the new EIP
};

/// Decodes an instruction of 32-bit code. Of those with ModRM, LTR and MOV of a segment register
/// are known with a register alone, and INVLPG, LGDT and LIDT only with memory, as they are.
///
/// @param bytes  what stands there, as much as could be fetched
/// @param cpu    whose registers an address is made of
/// @note Errors: Unsupported (any other instruction, and INS, OUTS, CLTS, LMSW, RDMSR among them),
/// Truncated (the bytes end before the instruction does).
std::expected<SensitiveInstruction, Error> decode_sensitive(std::span<const std::byte> bytes,
                                                            const SoftCpu& cpu);

/// The segments of the guest's, for vmm::AddressState: all of them flat.
inline constexpr std::array<SegmentRegister, 6> flat_segments{{{0, 0xffff'ffff},
                                                               {0, 0xffff'ffff},
                                                               {0, 0xffff'ffff},
                                                               {0, 0xffff'ffff},
                                                               {0, 0xffff'ffff},
                                                               {0, 0xffff'ffff}}};

}  // namespace vmm::soft
