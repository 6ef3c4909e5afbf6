// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "vmm/backend.hh"
#include "vmm/registers_layout.hh"
#include "vmm/svm/asm_vmrun.h"
#include "vmm/svm/vmcb.hh"

namespace vmm::svm {

/// How an attempt to enter the guest came out.
enum class Entered : std::uint32_t {
    Not = ENTERED_NOT,                        ///< the vCPU was asked to return
    AndLeft = ENTERED_AND_LEFT,               ///< the VMCB has an exit code
    HostStateLost = ENTERED_HOST_STATE_LOST,  ///< so too, but the host's GS base was not back
};

/// Enters the guest, and returns when it has exited. asm_vmrun.h tells the story.
/// @param guest            its registers; RSP and RIP are in the VMCB
/// @param vmcb             physical address of the VMCB
/// @param host_area        physical address of a VMCB-sized page for the host's VMSAVE state on
///                         this CPU
/// @param return_requested if not 0, the guest is not entered
/// @param flush_requested  taken (set to 0), and merged into the VMCB's TLB_CONTROL byte
/// @param vmcb_here        the VMCB through the direct map
/// @note Interrupts are disabled when it is called and enabled when it returns: a pending one has
///       been taken by then.
extern "C" Entered svm_asm_vmrun(Registers* guest, std::uint64_t vmcb, std::uint64_t host_area,
                                 const std::atomic<std::uint32_t>* return_requested,
                                 std::atomic<std::uint8_t>* flush_requested, Vmcb* vmcb_here);

/// Where its fragments 20 and 95 begin. In between no interrupt of the host may be taken.
extern "C" const std::byte svm_asm_vmrun_hold_back[], svm_asm_vmrun_let_come[];

static_assert(offsetof(Vmcb, control.tlb_control) == VMCB_TLB_CONTROL &&
              offsetof(Vmcb, save.rflags) == VMCB_RFLAGS && offsetof(Vmcb, save.rax) == VMCB_RAX);
static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && sizeof(std::atomic<std::uint8_t>) == 1);

}  // namespace vmm::svm
