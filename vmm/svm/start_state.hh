// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/address.hh"
#include "vmm/backend.hh"
#include "vmm/svm/vmcb.hh"

namespace vmm::svm {

/// IA32_PAT after a reset [amd/vol2 7.8.2].
inline constexpr std::uint64_t reset_pat = 0x0007'0406'0007'0406;

/// Bits of the exceptions that exit. A guest that faults in its #DB or #AC handler for ever can be
/// left only by these.
inline constexpr std::uint32_t intercepted_exceptions =
    1U << vector::debug | 1U << vector::alignment_check;

/// The part of the VMCB that no guest changes: intercepts, nested paging with its root at
/// `table_root`, and the permission maps.
void set_controls(ControlArea& control, Hpa table_root, Hpa io_map, Hpa msr_map);

/// 32-bit protected mode at `entry`, paging off, flat segments. See
/// VcpuBackend::start_protected_mode.
void set_protected_mode(SaveArea& save, Gpa entry);

/// Real mode at (vector << 12), as after a startup IPI. See VcpuBackend::start_real_mode.
void set_real_mode(SaveArea& save, std::uint8_t vector);

}  // namespace vmm::svm
