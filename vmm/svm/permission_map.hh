// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "vmm/exits/msr_permissions.hh"

namespace vmm::svm {

/// Bytes of the I/O permission map: three pages, a bit a port; a set bit intercepts
/// [amd/vol2 15.10.1].
inline constexpr std::size_t io_map_size = 3 * 4096;
/// Bytes of the MSR permission map, see svm_msr_map.
inline constexpr std::size_t msr_map_size = 2 * 4096;

/// Every port is intercepted.
void fill_io_map(std::span<std::byte, io_map_size> map);

/// Every MSR is intercepted but those that VMLOAD and VMSAVE switch: the guest may have them for
/// itself. Errors: those of msr_permissions.
std::expected<void, Error> fill_msr_map(std::span<std::byte, msr_map_size> map);

}  // namespace vmm::svm
