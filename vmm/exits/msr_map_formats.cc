// SPDX-License-Identifier: MIT
#include <array>

#include "vmm/exits/msr_permissions.hh"

namespace vmm {
namespace {

constexpr std::array<MsrRange, 3> svm_ranges{{
    {.first = 0x0000'0000, .read_bit = 8 * 0x0000, .write_bit = 8 * 0x0000 + 1},
    {.first = 0xc000'0000, .read_bit = 8 * 0x0800, .write_bit = 8 * 0x0800 + 1},
    {.first = 0xc001'0000, .read_bit = 8 * 0x1000, .write_bit = 8 * 0x1000 + 1},
}};
constexpr std::array<MsrRange, 2> vmx_ranges{{
    {.first = 0x0000'0000, .read_bit = 8 * 0x000, .write_bit = 8 * 0x800},
    {.first = 0xc000'0000, .read_bit = 8 * 0x400, .write_bit = 8 * 0xc00},
}};

}  // namespace

const MsrMapFormat svm_msr_map{
    .name = "SVM", .bytes = std::size_t{2} * 4096, .ranges = svm_ranges, .step = 2};
const MsrMapFormat vmx_msr_map{.name = "VMX", .bytes = 4096, .ranges = vmx_ranges, .step = 1};

}  // namespace vmm
