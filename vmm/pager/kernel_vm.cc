// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm.hh"

namespace vmm {
namespace {

/// EAX at a multiboot2 entry [multiboot2 3.3].
constexpr std::uint32_t multiboot2_magic = 0x36d7'6289;

}  // namespace

std::expected<KernelVm, Refusal> KernelVm::create(std::unique_ptr<KernelVmPager> pager,
                                                  const Vm::Options& options,
                                                  const Information& information) {
    auto vm = Vm::create(*pager, options);
    if (!vm) return std::unexpected{vm.error()};
    const auto at = pager->finalize_mem(information.command_line, information.at);
    if (!at) return std::unexpected{at.error()};
    Vcpu& first = (*vm)->vcpu(0);
    first.backend().start_protected_mode(pager->entry(), multiboot2_magic,
                                         static_cast<std::uint32_t>(at->value()));
    first.make_runnable();
    return KernelVm{std::move(pager), std::move(*vm)};
}

}  // namespace vmm
