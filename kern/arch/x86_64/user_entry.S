// SPDX-License-Identifier: MIT
// The ways from ring 3 into the kernel, and the frame of C++ around them. The way back is
// enter_user.S.
//
// Each trap begins on the same stack, empty: PER_CPU_KERNEL_STACK is where run_user_mode was
// called. On it stands the TrapFrame (kern/arch/trap_frame.hh), below it runs C++, which copies the
// frame to the program's environment and never returns here.
#include "kern/arch/x86_64/boot_constants.h"

#define TRAP_FRAME_SIZE 176

    .section .text

// SYSCALL has put RIP into RCX and RFLAGS into R11, cleared the flags of SFMASK, loaded CS and SS,
// and nothing else: RSP is still the program's [amd/vol2 6.1.1].
    .global system_call_entry
system_call_entry:
    swapgs
    mov %rsp, %gs:PER_CPU_USER_STACK
    mov %gs:PER_CPU_KERNEL_STACK, %rsp
    push $USER_DATA
    push %gs:PER_CPU_USER_STACK
    push %r11
    push $USER_CODE
    push %rcx
    push $0                            // no error code
    push $SYSTEM_CALL_VECTOR
    jmp 1f

// From common_trap: vector and error code are pushed. The stack is the one that the TSS or the IST
// named for this vector.
    .global trap_from_user
trap_from_user:
    swapgs
1:  push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    // Off an IST stack: the next trap would begin at its top. For the others this changes nothing.
    mov %gs:PER_CPU_KERNEL_STACK, %rsp
    sub $TRAP_FRAME_SIZE, %rsp
    // An interrupt gate leaves AC as it is, and AC set would switch SMAP off.
    push $RFLAGS_KERNEL
    popfq
    xor %ebp, %ebp                     // the end of every backtrace
    call handle_user_trap
    ud2

// void call_on_kernel_stack(void (*function)()): calls it, and remembers where to come back to.
    .global call_on_kernel_stack
call_on_kernel_stack:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    sub $8, %rsp                       // aligned, as the CPU does it too
    mov %rsp, %gs:PER_CPU_KERNEL_STACK
    mov %rsp, %gs:PER_CPU_TASK_STACK
    mov %rsp, %rbp
    call *%rdi
// [[noreturn]] void leave_user_mode()
    .global return_from_kernel_stack
return_from_kernel_stack:
    mov %gs:PER_CPU_KERNEL_STACK, %rsp
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .global user_entry_end
user_entry_end:
    .section .note.GNU-stack, "", @progbits
