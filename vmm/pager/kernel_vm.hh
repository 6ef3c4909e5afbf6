// SPDX-License-Identifier: MIT
#pragma once

#include <expected>
#include <memory>
#include <string_view>
#include <utility>

#include "vmm/pager/kernel_vm_pager.hh"
#include "vmm/vm.hh"

namespace vmm {

/// A virtual machine that runs a kernel image, and the pager that is its memory. It is used as a
/// pointer to the Vm.
class KernelVm {
   public:
    /// What the kernel finds in its multiboot2 information, see KernelVmPager::finalize_mem.
    struct Information {
        std::string_view command_line{};  ///< for the kernel
        Gpa at{};                         ///< where the information goes
    };

    /// Writes the information and makes the vCPUs; the first one stands at the kernel's entry.
    /// Vm::prepare() must have succeeded. Takes no time that depends on the guest's size.
    static std::expected<KernelVm, Refusal> create(std::unique_ptr<KernelVmPager> pager,
                                                   const Vm::Options& options,
                                                   const Information& information);

    /// None.
    KernelVm() = default;
    /// Takes the other's, which has none then.
    KernelVm(KernelVm&&) = default;
    /// Likewise; what this one had goes.
    KernelVm& operator=(KernelVm&& other) noexcept {
        vm_ = std::move(other.vm_);  // before the memory that it runs in
        pager_ = std::move(other.pager_);
        return *this;
    }
    ~KernelVm() = default;

    ///@{
    /// What it is made of.
    Vm& operator*() const { return *vm_; }
    Vm* operator->() const { return vm_.get(); }
    KernelVmPager& pager() const { return *pager_; }
    ///@}

    /// It stays until the machine ends.
    void leave_alone() && {
        (void)vm_.release();
        (void)pager_.release();
    }

   private:
    KernelVm(std::unique_ptr<KernelVmPager> pager, std::unique_ptr<Vm> vm)
        : pager_{std::move(pager)}, vm_{std::move(vm)} {}

    std::unique_ptr<KernelVmPager> pager_{};
    std::unique_ptr<Vm> vm_{};
};

}  // namespace vmm
