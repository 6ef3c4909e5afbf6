// SPDX-License-Identifier: MIT
#pragma once

#include "kern/lib/address.hh"
#include "kern/lib/error.hh"

namespace vmm {

using kern::Error;
using kern::Hpa;
using kern::page_size;

/// Guest-physical address: what the guest's page tables produce and second-level paging translates.
using Gpa = kern::Address<struct GuestPhysical>;
/// Guest-virtual address: what the guest's instructions use.
using Gva = kern::Address<struct GuestVirtual>;

/// Guest-physical addresses are kept below 2^40: both emulators have 40 bits at least.
inline constexpr std::uint64_t guest_physical_end = 1ULL << 40;

/// Guest-physical addresses that are devices' and never memory: [0xbffda000, 4 GiB).
///@{
/// The two ends of the MMIO hole; the second is outside.
inline constexpr Gpa mmio_hole_begin{0xbffd'a000};
inline constexpr Gpa mmio_hole_end{0x1'0000'0000};
///@}

}  // namespace vmm
