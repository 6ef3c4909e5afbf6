// SPDX-License-Identifier: MIT
//
// The world switch: the host goes to sleep inside VMRUN and wakes up when the guest has exited.
//
//   bool svm_world_switch(Registers* guest,              RDI
//                         uint64_t vmcb,                 RSI   physical
//                         uint64_t host_area,            RDX   physical
//                         const uint32_t* return_requested,    RCX
//                         uint8_t* flush_requested,      R8
//                         uint8_t* tlb_control)          R9
//
// Who keeps what [amd/vol2 15.5]:
//   VMRUN        host RSP, RIP, RAX, RFLAGS, CR0, CR3, CR4, EFER, GDTR, IDTR, CS, SS, DS, ES in the area
//                that the MSR VM_HSAVE_PA names; the guest's in the VMCB
//   VMSAVE/LOAD  FS, GS, TR, LDTR with their hidden parts, KernelGSBase, STAR, LSTAR, CSTAR, SFMASK,
//                SYSENTER_*
//   this file    the general registers
//   nobody       FPU and SSE state, DR0 to DR3, CR2: see vcpu.cc (CR2 is in the VMCB)

#define REG_RCX 8
#define REG_RDX 16
#define REG_RBX 24
#define REG_RBP 40
#define REG_RSI 48
#define REG_RDI 56
#define REG_R8 64
#define REG_R9 72
#define REG_R10 80
#define REG_R11 88
#define REG_R12 96
#define REG_R13 104
#define REG_R14 112
#define REG_R15 120

    .text
    .global svm_save_host_state
    .type svm_save_host_state, @function
svm_save_host_state:
    movq %rdi, %rax
    vmsave %rax
    ret
    .size svm_save_host_state, . - svm_save_host_state

    .global svm_world_switch
    .type svm_world_switch, @function
svm_world_switch:
    // 1. Hold back every interrupt, NMIs too, until the guest runs: VMRUN itself sets GIF again, and
    //    a held-back interrupt then ends the guest's run at once.
    //    Now IF may be set: it says that physical interrupts are taken while the guest runs.
    clgi
    sti

    // 2. Last look at what others ask of us. Whoever asks writes first and interrupts then; if that was
    //    before CLGI, we see it here, and if it was after, the interrupt waits for VMRUN.
    xorl %eax, %eax
    cmpl $0, (%rcx)
    jne .Lstand_back
    xchgb %al, (%r8)
    orb %al, (%r9)

    // 3. What the C++ around us wants to find again.
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi          // 16(%rsp): guest registers
    pushq %rdx          //  8(%rsp): host area
    pushq %rsi          //  0(%rsp): VMCB

    // 4. Take the guest's half of the VMSAVE state. The host's was put away by svm_save_host_state: it
    //    does not change while this CPU runs guests.
    movq %rsi, %rax
    vmload %rax

    // 5. The guest's general registers; RDI, our pointer to them, comes last. RAX and RSP are the VMCB's.
    movq REG_RCX(%rdi), %rcx
    movq REG_RDX(%rdi), %rdx
    movq REG_RBX(%rdi), %rbx
    movq REG_RBP(%rdi), %rbp
    movq REG_RSI(%rdi), %rsi
    movq REG_R8(%rdi), %r8
    movq REG_R9(%rdi), %r9
    movq REG_R10(%rdi), %r10
    movq REG_R11(%rdi), %r11
    movq REG_R12(%rdi), %r12
    movq REG_R13(%rdi), %r13
    movq REG_R14(%rdi), %r14
    movq REG_R15(%rdi), %r15
    movq REG_RDI(%rdi), %rdi

    // 6. There. Time passes; the guest runs with the host's IF set (V_INTR_MASKING), so that a physical
    //    interrupt ends its run whatever its own IF says.
    vmrun %rax
    // 7. And back, with GIF clear, the host's stack, and the guest's general registers but RAX.

    pushq %rdi
    movq 24(%rsp), %rdi
    movq %rcx, REG_RCX(%rdi)
    movq %rdx, REG_RDX(%rdi)
    movq %rbx, REG_RBX(%rdi)
    movq %rbp, REG_RBP(%rdi)
    movq %rsi, REG_RSI(%rdi)
    movq %r8, REG_R8(%rdi)
    movq %r9, REG_R9(%rdi)
    movq %r10, REG_R10(%rdi)
    movq %r11, REG_R11(%rdi)
    movq %r12, REG_R12(%rdi)
    movq %r13, REG_R13(%rdi)
    movq %r14, REG_R14(%rdi)
    movq %r15, REG_R15(%rdi)
    popq %rcx
    movq %rcx, REG_RDI(%rdi)

    // 8. Put away the guest's half of the VMSAVE state and take back the host's: its GS base, its TSS.
    popq %rax
    vmsave %rax
    popq %rax
    vmload %rax

    popq %rdi
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp

    // 9. Now interrupts may come. IF is still set, so the one that ended the guest's run is taken by
    //    the host right here.
    movl $1, %eax
    stgi
    ret

.Lstand_back:
    stgi
    ret
    .size svm_world_switch, . - svm_world_switch

    .section .note.GNU-stack, "", @progbits
