// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

// The guest's registers as values: what a vCPU does with them is in vmm/backend.hh.
namespace vmm {

/// The registers that instructions name, in the order in which the CPU numbers them
/// [amd/vol3 table 2-2], then RIP and RFLAGS, and CR8.
struct Registers {
    ///@{
    /// The register of this name.
    std::uint64_t rax = 0, rcx = 0, rdx = 0, rbx = 0, rsp = 0, rbp = 0, rsi = 0, rdi = 0;
    std::uint64_t r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
    std::uint64_t rip = 0;
    std::uint64_t rflags = 0;
    ///@}
    /// The upper half of the task priority: 0 to 15. Starts leave it as it is: who runs the vCPU
    /// keeps it equal to the APIC's.
    std::uint64_t cr8 = 0;
};

/// The general registers by the number that instructions have for them.
inline constexpr std::array<std::uint64_t Registers::*, 16> general_registers{
    &Registers::rax, &Registers::rcx, &Registers::rdx, &Registers::rbx,
    &Registers::rsp, &Registers::rbp, &Registers::rsi, &Registers::rdi,
    &Registers::r8,  &Registers::r9,  &Registers::r10, &Registers::r11,
    &Registers::r12, &Registers::r13, &Registers::r14, &Registers::r15,
};

/// What the default sizes of addresses and operands are, by the code segment [amd/vol2 4.7.3].
enum class CodeSize : std::uint8_t { Bits16, Bits32, Bits64 };

/// The hidden part of a segment register.
struct SegmentRegister {
    std::uint64_t base = 0;   ///< a linear address
    std::uint32_t limit = 0;  ///< the last offset in it, in bytes
};
/// The numbers that instructions have for the segment registers [amd/vol3 1.2.4].
enum class SegmentName : std::uint8_t { Es, Cs, Ss, Ds, Fs, Gs };

/// The guest's system registers, as the guest sees them: what the host adds is taken out.
struct SystemRegisters {
    ///@{
    /// The register of this name.
    std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
    std::uint64_t efer = 0;
    std::uint64_t pat = 0;
    ///@}
    std::uint64_t cs_base =
        0;  ///< the instruction's linear address is cs_base + rip (mod 2^32 below 64-bit)
    ///@{
    /// The selector.
    std::uint16_t cs = 0, ss = 0;
    ///@}
    std::array<SegmentRegister, 6> segments{};  ///< by SegmentName
    CodeSize code_size = CodeSize::Bits16;      ///< Bits64: long mode is active, and CS.L is set
    unsigned privilege_level = 0;               ///< CPL, 0 to 3
};

}  // namespace vmm
