// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "vmm/backend.hh"
#include "vmm/registers_layout.hh"
#include "vmm/vmx/asm_vmrun.h"

namespace vmm::vmx {

/// What the world switch knows of a vCPU besides the guest's registers.
struct EnvState {
    /// Entries since the VMCS was cleared. The world switch adds the one that is about to happen,
    /// and takes it back if the CPU refuses; who clears the VMCS writes 0.
    std::uint64_t env_runs = 0;
    std::uint64_t cr2 = 0;              ///< the guest's, while it does not run
    std::uint64_t host_rsp_wanted = 0;  ///< the stack pointer at the last entry
    std::uint64_t host_rsp_found = 0;   ///< the VMCS's host RSP at the last entry
};

/// How an attempt to enter the guest came out.
enum class Entered : std::uint32_t {
    Not = ENTERED_NOT,                       ///< the vCPU was asked to return
    AndLeft = ENTERED_AND_LEFT,              ///< there is an exit reason (it may be a failed entry)
    FailInvalid = ENTERED_FAIL_INVALID,      ///< VMfailInvalid: no current VMCS [intel/vol3c 31.2]
    FailValid = ENTERED_FAIL_VALID,          ///< VMfailValid: the VM-instruction error says why
    HostRspWrong = ENTERED_HOST_RSP_WRONG,   ///< the host RSP field does not hold the stack pointer
    WithoutTrying = ENTERED_WITHOUT_TRYING,  ///< neither VMLAUNCH nor VMRESUME was executed
};

/// Enters the guest of the current VMCS, and returns when it has exited. asm_vmrun.h tells the
/// story.
/// @param guest            its registers; RSP, RIP and RFLAGS are in the VMCS
/// @param env              see EnvState
/// @param return_requested if not 0, the guest is not entered
/// @note Interrupts are disabled when it is called and when it returns: one that ended the guest's
///       run is still waiting.
extern "C" Entered vmx_asm_vmrun(Registers* guest, EnvState* env,
                                 const std::atomic<std::uint32_t>* return_requested);

/// Where an exit goes: the VMCS's host RIP.
extern "C" const std::byte vmx_asm_vmrun_exit[];

static_assert(offsetof(EnvState, env_runs) == ENV_RUNS && offsetof(EnvState, cr2) == ENV_CR2 &&
              offsetof(EnvState, host_rsp_wanted) == ENV_HOST_RSP_WANTED &&
              offsetof(EnvState, host_rsp_found) == ENV_HOST_RSP_FOUND);
static_assert(sizeof(std::atomic<std::uint32_t>) == 4);

}  // namespace vmm::vmx
