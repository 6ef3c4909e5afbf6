// SPDX-License-Identifier: MIT
#include "vmm/vmx/permission_map.hh"

#include <algorithm>
#include <array>

namespace vmm::vmx {
namespace {

/// The MSRs that have a field in the guest's state, and another in the host's.
constexpr std::array<std::uint32_t, 5> in_vmcs{
    msr::sysenter_cs, msr::sysenter_esp, msr::sysenter_eip, msr::fs_base, msr::gs_base,
};

std::expected<void, Error> leave_to_guest(std::span<std::byte, msr_map_size> map,
                                          std::span<const std::uint32_t> msrs) {
    for (const std::uint32_t msr : msrs)
        if (const auto done =
                msr_permissions(vmx_msr_map, map, msr, {.read = false, .write = false});
            !done)
            return done;
    return {};
}

}  // namespace

void fill_io_map(std::span<std::byte, io_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
}

std::expected<void, Error> fill_msr_map(std::span<std::byte, msr_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
    if (const auto done = leave_to_guest(map, in_vmcs); !done) return done;
    return leave_to_guest(map, host_switched_msrs);
}

}  // namespace vmm::vmx
