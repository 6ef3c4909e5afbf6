// SPDX-License-Identifier: MIT
#pragma once

#include "kern/mm/frame_allocator.hh"

/// The accounts of the hypervisor in the kernel's frame allocator.
namespace vmm::frame_owner {
inline constexpr kern::FrameOwner guest_memory{8, "guest memory"};  ///< frames that a guest sees
inline constexpr kern::FrameOwner second_level_table{
    9, "second-level table"};                               ///< the tables that say where
inline constexpr kern::FrameOwner vcpu{10, "virtual CPU"};  ///< VMCBs and what belongs to them
}  // namespace vmm::frame_owner
