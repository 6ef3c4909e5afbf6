// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// The system registers with which the kernel runs on one CPU, for code that lets somebody else use
/// them and puts them back.
namespace kern::arch {

/// What CR0, CR3, CR4 and the segment registers hold, and where this CPU's tables lie. Without ES,
/// DS, FS and GS: 64-bit mode has no use for their selectors, and they hold what a program has loaded
/// into them. A VM exit may leave them null.
struct SystemState {
    ///@{
    /// The register of this name; selectors are as loaded.
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0;
    std::uint16_t cs = 0, ss = 0, tr = 0;
    std::uint64_t fs_base = 0, gs_base = 0;
    std::uint64_t tr_base = 0, gdtr_base = 0, idtr_base = 0;
    ///@}
};
/// This CPU's.
SystemState read_system_state();

/// Gives GDTR and IDTR of this CPU their limits back. A VM exit leaves them at 0xffff
/// [intel/vol3c 28.5.2], and then a selector may lead to what stands behind the GDT.
void restore_table_limits();

/// Sets the bits of `bits` in this CPU's CR4.
void set_cr4_bits(std::uint64_t bits);

}  // namespace kern::arch
