// SPDX-License-Identifier: MIT
//
// The given part of the world switch: the host goes to sleep inside VMLAUNCH or VMRESUME and wakes
// up at vmx_asm_vmrun_exit when the guest has exited. asm_vmrun.h tells in which order the
// fragments stand and what holds between them.
//
//   Entered vmx_asm_vmrun(Registers* guest,                    RDI
//                         EnvState* env,                       RSI
//                         const uint32_t* return_requested)    RDX
//
// Who keeps what [intel/vol3c 25.4, 25.5, 28.3]:
//   VM entry and exit  RSP, RIP, RFLAGS, CR0, CR3, CR4, EFER, PAT, DR7, segments with their hidden
//                      parts, GDTR, IDTR, SYSENTER_*: guest's and host's in the VMCS
//   this file          the general registers, CR2
//   nobody             FPU and SSE state, DR0 to DR3 and DR6, KernelGSBase, STAR, LSTAR, CSTAR,
//                      SFMASK: vcpu.cc
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 00, vmx_asm_vmrun
    // What the C++ around us wants to find again.
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    pushq %rsi

    // Last look at what others ask of us, with interrupts disabled. Whoever asks writes first and
    // interrupts then; if that was before the caller's CLI, we see it here, and if it was after,
    // the interrupt waits for the guest and ends its run.
    movl $ENTERED_NOT, %eax
    cmpl $0, (%rdx)
    jne .Lleave
    incq ENV_RUNS(%rsi)
    // Ones in two free registers: who writes a part of one and reads all of it is found out.
    notq %rax
    movq %rax, %rcx

    vmx_asm_vmrun_section 20, vmx_asm_vmrun_check_host_rsp
    // An exit with a wrong stack would end the host without a word. So look before.
    movl $VMCS_HOST_RSP, %ecx
    vmread %rcx, %rax
    movq %rsp, ENV_HOST_RSP_WANTED(%rsi)
    movq %rax, ENV_HOST_RSP_FOUND(%rsi)
    cmpq %rax, %rsp
    movl $ENTERED_HOST_RSP_WRONG, %eax
    jne .Lnot_entered

    // CR2 is in no VMCS. The host has no use for its own.
    movq ENV_CR2(%rsi), %rax
    movq %rax, %cr2

    vmx_asm_vmrun_section 40, vmx_asm_vmrun_load_registers
    // By MOVs alone: the flags have something to say in the next section. RDI, our pointer, comes
    // last.
    movq REG_RAX(%rdi), %rax
    load_guest_registers
    movq REG_RDI(%rdi), %rdi

    vmx_asm_vmrun_section 60, vmx_asm_vmrun_refused
    // The stack is as it was, and so are the guest's registers. POP and MOV keep CF and ZF.
    popq %rsi
    pushq %rsi
    movl $ENTERED_FAIL_INVALID, %eax
    jc .Lnot_entered
    movl $ENTERED_FAIL_VALID, %eax
    jz .Lnot_entered
    movl $ENTERED_WITHOUT_TRYING, %eax
.Lnot_entered:
    decq ENV_RUNS(%rsi)
    jmp .Lleave

    .global vmx_asm_vmrun_exit
vmx_asm_vmrun_exit:
    // The guest has exited: the stack is ours, interrupts are disabled, the general registers are
    // the guest's.
    pushq %rdi
    movq 16(%rsp), %rdi
    store_guest_registers
    movq %rax, REG_RAX(%rdi)
    popq REG_RDI(%rdi)
    movq (%rsp), %rsi
    movq %cr2, %rax
    movq %rax, ENV_CR2(%rsi)
    movl $ENTERED_AND_LEFT, %eax

.Lleave:
    addq $16, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

    // Fetches the sections' objects out of the archives that they are in.
    .section .rodata.vmx_asm_vmrun, "a", @progbits
    .quad vmx_asm_vmrun_host_rsp, vmx_asm_vmrun_first_entry, vmx_asm_vmrun_enter

    .section .note.GNU-stack, "", @progbits
