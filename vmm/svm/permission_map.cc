// SPDX-License-Identifier: MIT
#include "vmm/svm/permission_map.hh"

#include <algorithm>
#include <array>

#include "vmm/x86.hh"

namespace vmm::svm {
namespace {

/// The MSRs of VMLOAD and VMSAVE [amd/vol2 15.5.2]: each world has its own, so the guest can touch
/// them without our help.
constexpr std::array<std::uint32_t, 10> switched{
    msr::sysenter_cs, msr::sysenter_esp, msr::sysenter_eip, msr::star,    msr::lstar,
    msr::cstar,       msr::sfmask,       msr::fs_base,      msr::gs_base, msr::kernel_gs_base,
};

}  // namespace

void fill_io_map(std::span<std::byte, io_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
}

std::expected<void, Error> fill_msr_map(std::span<std::byte, msr_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
    for (const std::uint32_t msr : switched)
        if (const auto done =
                msr_permissions(svm_msr_map, map, msr, {.read = false, .write = false});
            !done)
            return done;
    return {};
}

}  // namespace vmm::svm
