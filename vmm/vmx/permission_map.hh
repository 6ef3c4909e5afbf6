// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "vmm/exits/msr_permissions.hh"
#include "vmm/x86.hh"

namespace vmm::vmx {

/// Bytes of the I/O bitmaps A and B, which follow each other here: a bit a port; a set bit causes
/// an exit [intel/vol3c 25.6.4].
inline constexpr std::size_t io_map_size = 2 * 4096;
/// Bytes of the four MSR bitmaps, see vmx_msr_map.
inline constexpr std::size_t msr_map_size = 4096;

/// The MSRs that the guest may have for itself and that no field of a VMCS switches: whoever
/// enters a CPU with a vCPU puts the guest's values there, and the host's back when it leaves.
/// AMD's VMLOAD and VMSAVE move the same ones.
inline constexpr std::array<std::uint32_t, 5> host_switched_msrs{
    msr::star, msr::lstar, msr::cstar, msr::sfmask, msr::kernel_gs_base,
};

/// Every port causes an exit.
void fill_io_map(std::span<std::byte, io_map_size> map);

/// Every MSR causes an exit but those of host_switched_msrs and those that have a field in the
/// guest's state: the guest may have them for itself. Errors: those of msr_permissions.
std::expected<void, Error> fill_msr_map(std::span<std::byte, msr_map_size> map);

}  // namespace vmm::vmx
