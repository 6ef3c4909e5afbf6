// SPDX-License-Identifier: MIT
// svm_asm_vmrun is AMD's way into the guest and back. It is made of fragments (vmm/asm_vmrun.h);
// three files hold those that a student writes, and world_switch.S all others:
//
//   order  file                      what it does
//   00     world_switch.S            saves the host's registers
//   10     asm_vmrun_rax_rflags.S    guest's RAX and RFLAGS: from Registers into the VMCB
//   20     asm_vmrun_vmrun.S         holds interrupts back, looks a last time at what
//                                    others ask of us
//   30     world_switch.S            takes a flush that was asked for
//   40     asm_vmrun_state.S         VMSAVE of the host, VMLOAD of the guest
//   50     world_switch.S            loads the guest's general registers
//   60     asm_vmrun_vmrun.S         VMRUN: time passes
//   70     world_switch.S            saves the guest's general registers
//   80     asm_vmrun_state.S         VMSAVE of the guest, VMLOAD of the host
//   85     asm_vmrun_rax_rflags.S    guest's RAX and RFLAGS: from the VMCB into Registers
//   90     world_switch.S            looks whether the host's GS base is back
//   95     asm_vmrun_vmrun.S         lets interrupts come
//   99     world_switch.S            the host's registers again, and back to C++
//
// In 10, 20, 40, 80 and 85 these registers hold, and keep what they hold:
//   RDI  the guest's vmm::Registers: its field X is REG_X(%rdi)
//   RSI  physical address of the VMCB, for VMLOAD, VMRUN and VMSAVE (which want it in RAX)
//   RDX  physical address of the page for the host's VMSAVE state
//   R9   the VMCB as the kernel sees it: its field X is VMCB_X(%r9)
//   RSP  the stack: as found at the end of each fragment
// and in 10 and 20 also
//   RCX  where others write a number that is not 0 if this vCPU must not enter its guest (32 bits)
// Free to use are RAX, R10, R11 and the flags, in 95 RAX and the flags. What they hold in the next
// fragment is not said. In 60 RAX holds the VMCB's physical address, and all other general
// registers are the guest's already.
//
// lab3.svm_rax_rflags: VMRUN takes the guest's RAX and RFLAGS from the VMCB and puts them there,
//   not into registers. 10: they go from Registers to VMCB; 85: back.
// lab3.svm_state: VMRUN leaves FS, GS, TR, LDTR and the MSRs of SYSCALL and SYSENTER alone, the
//   hidden parts too [amd/vol2 15.5.1]. 40: put the host's away in its page, take the guest's from
//   the VMCB. 80: put the guest's away in the VMCB, take the host's back. Before 40 and after 80
//   the host's GS base holds, without which no interrupt can be taken.
// lab3.svm_vmrun: 20 is entered with IF = 0 and GIF = 1. Whoever wants something of this vCPU
//   writes the number at RCX first, and interrupts this CPU then. In 20: clear GIF, so that from
//   here on every interrupt waits for the guest, NMIs too. Set IF: the host's IF says whether
//   physical interrupts are taken while the guest runs. Then look: if the number is not 0, jump to
//   svm_asm_vmrun_stand_back. 60: enter the guest; at the end of 60 the guest has exited. 95: set
//   GIF; both ways come by here, that of the guest that has run and that of
//   svm_asm_vmrun_stand_back. Interrupts that have waited are taken here, so IF must be set, as 20
//   has left it.
#pragma once

#include "vmm/asm_vmrun.h"

/* What svm_asm_vmrun returns: vmm::svm::Entered. */
#define ENTERED_NOT 0
#define ENTERED_AND_LEFT 1
#define ENTERED_HOST_STATE_LOST 2

#define VMCB_TLB_CONTROL 0x05c
#define VMCB_RFLAGS 0x570
#define VMCB_RAX 0x5f8

#ifdef __ASSEMBLER__
.macro svm_asm_vmrun_section order, label
    asm_vmrun_fragment svm_asm_vmrun, \order, \label
.endm
#endif
