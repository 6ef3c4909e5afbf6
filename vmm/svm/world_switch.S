// SPDX-License-Identifier: MIT
//
// The given part of the world switch: the host goes to sleep inside VMRUN and wakes up when the
// guest has exited. asm_vmrun.h tells in which order the fragments stand and what holds between
// them.
//
//   Entered svm_asm_vmrun(Registers* guest,              RDI
//                         uint64_t vmcb,                 RSI   physical
//                         uint64_t host_area,            RDX   physical
//                         const uint32_t* return_requested,    RCX
//                         uint8_t* flush_requested,      R8
//                         Vmcb* vmcb)                    R9
//
// Who keeps what [amd/vol2 15.5]:
//   VMRUN        host RSP, RIP, RAX, RFLAGS, CR0, CR3, CR4, EFER, GDTR, IDTR, CS, SS, DS, ES in the
//                area that the MSR VM_HSAVE_PA names; the guest's in the VMCB
//   VMSAVE/LOAD  FS, GS, TR, LDTR with their hidden parts, KernelGSBase, STAR, LSTAR, CSTAR,
//                SFMASK, SYSENTER_*
//   this file    the general registers
//   nobody       FPU and SSE state, DR0 to DR3, CR2: see vcpu.cc (CR2 is in the VMCB)
#include "kern/arch/x86_numbers.h"
#include "vmm/svm/asm_vmrun.h"

// The MSR into RAX. Changes RCX and RDX.
.macro read_gs_base
    movl $MSR_GS_BASE, %ecx
    rdmsr
    shlq $32, %rdx
    orq %rdx, %rax
.endm

    svm_asm_vmrun_section 00, svm_asm_vmrun
    // What the C++ around us wants to find again.
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %r9
    // The host's GS base, to see whether it comes back.
    movq %rcx, %r10
    movq %rdx, %r11
    read_gs_base
    movq %r10, %rcx
    movq %r11, %rdx
    pushq %rax

    svm_asm_vmrun_section 30, svm_asm_vmrun_flush
    // A flush that is asked for from here on comes with an interrupt, which ends the guest's run
    // first.
    xorl %eax, %eax
    xchgb %al, (%r8)
    orb %al, VMCB_TLB_CONTROL(%r9)

    svm_asm_vmrun_section 50, svm_asm_vmrun_load_registers
    // RDI, our pointer to them, comes last. RAX and RSP are the VMCB's.
    movq %rsi, %rax
    load_guest_registers
    movq REG_RDI(%rdi), %rdi

    svm_asm_vmrun_section 70, svm_asm_vmrun_store_registers
    // Here the guest has exited: GIF is clear, the stack and RAX are the host's, all else is the
    // guest's.
    pushq %rdi
    movq 40(%rsp), %rdi
    store_guest_registers
    popq REG_RDI(%rdi)
    movq 8(%rsp), %r9
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rsi

    svm_asm_vmrun_section 90, svm_asm_vmrun_has_run
    // With another GS base the host would fall at its next interrupt, without a word. So look
    // before.
    movl $ENTERED_AND_LEFT, %ebx
    read_gs_base
    cmpq %rax, (%rsp)
    je .Lleave
    movl $ENTERED_HOST_STATE_LOST, %ebx
    movl 0(%rsp), %eax
    movl 4(%rsp), %edx
    wrmsr
.Lleave:

    svm_asm_vmrun_section 99, svm_asm_vmrun_return
    movl %ebx, %eax
    addq $40, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

    .text
    // Where the look at what others ask of us goes to if there is something.
    .global svm_asm_vmrun_stand_back
svm_asm_vmrun_stand_back:
    movl $ENTERED_NOT, %ebx
    jmp .Lleave

    // Fetches the sections' objects out of the archives that they are in.
    .section .rodata.svm_asm_vmrun, "a", @progbits
    .quad svm_asm_vmrun_rax_rflags_in, svm_asm_vmrun_hold_back, svm_asm_vmrun_state_in

    .section .note.GNU-stack, "", @progbits
