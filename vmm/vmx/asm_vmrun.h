// SPDX-License-Identifier: MIT
// vmx_asm_vmrun is Intel's way into the guest and back. It is made of fragments (vmm/asm_vmrun.h);
// three files hold those that a student writes, and world_switch.S all others:
//
//   order  file                      what it does
//   00     world_switch.S            saves the host's registers, looks a last time at what
//                                    others ask of us
//   10     asm_vmrun_host_rsp.S      the stack pointer into the VMCS
//   20     world_switch.S            reads it back
//   30     asm_vmrun_first_entry.S   is this the first entry since VMCLEAR?
//   40     world_switch.S            loads the guest's general registers, and keeps the flags
//   50     asm_vmrun_enter.S         VMLAUNCH or VMRESUME: time passes
//   60     world_switch.S            reached only if the CPU refused to enter
//          vmx_asm_vmrun_exit        where the CPU goes on after a VM exit (host RIP): saves the
//                                    guest's general registers, the host's again, and back to C++
//
// In 10 and 30 these registers hold, and keep what they hold:
//   RDI  the guest's vmm::Registers: its field X is REG_X(%rdi)
//   RSI  the vmm::vmx::EnvState of this vCPU: its field env_runs is ENV_RUNS(%rsi), 64 bits
//   RSP  the stack: as found at the end of the fragment
// Free to use are RAX, RCX, R10, R11 and the flags. What they hold in the next fragment is not
// said. The VMCS is current and active. Interrupts are disabled.
//
// lab3.host_rsp (10): after a VM exit the CPU loads RSP from the host RSP field of the VMCS, whose
//   number is VMCS_HOST_RSP, and goes on at vmx_asm_vmrun_exit, which pops what fragment 00 has
//   pushed. So the field must hold what RSP holds now: nothing is pushed between here and the
//   entry.
// lab3.first_entry (30): env_runs counts the entries since the VMCS was cleared, with the one that
//   is about to happen: 1 is the first. Leave ZF = 1 exactly if it is the first. The flags reach
//   fragment 50 as you leave them.
// lab3.launch_or_resume (50): ZF says which of the two instructions enters the guest: VMLAUNCH on
//   the first entry since VMCLEAR, VMRESUME on each later one. All general registers but RSP are
//   the guest's already: none may change. If the CPU refuses, it executes the next instruction,
//   with the reason in CF and ZF [intel/vol3c 31.2]: then get to the end of the fragment, and leave
//   the flags as the CPU set them.
#pragma once

#include "vmm/asm_vmrun.h"

#define VMCS_HOST_RSP 0x6c14
#define VMCS_HOST_RIP 0x6c16

#define ENV_RUNS 0
#define ENV_CR2 8
#define ENV_HOST_RSP_WANTED 16
#define ENV_HOST_RSP_FOUND 24

/* What vmx_asm_vmrun returns: vmm::vmx::Entered. */
#define ENTERED_NOT 0
#define ENTERED_AND_LEFT 1
#define ENTERED_FAIL_INVALID 2
#define ENTERED_FAIL_VALID 3
#define ENTERED_HOST_RSP_WRONG 4
#define ENTERED_WITHOUT_TRYING 5

#ifdef __ASSEMBLER__
.macro vmx_asm_vmrun_section order, label
    asm_vmrun_fragment vmx_asm_vmrun, \order, \label
.endm
#endif
