// SPDX-License-Identifier: MIT
// What runs before main. RDI, RSI and RDX hold the arguments' address and size and the program's
// own identifier (kern/proc/syscall_numbers.hh); that is where main expects its three parameters
// too.
    .section .text.start, "ax", @progbits
    .global _start
    .type _start, @function
_start:
    mov $stack_top, %rsp               // user.ld: the address after the stack's last byte
    xor %ebp, %ebp                     // a backtrace ends here
    mov %rdi, start_arguments
    mov %rsi, start_arguments + 8
    call main
    ud2                                // main must not come back: the kernel says that it did
    .size _start, . - _start

    .section .bss
    .balign 8
    .global start_arguments
    .type start_arguments, @object
    .size start_arguments, 16
start_arguments:
    .skip 16
    .section .note.GNU-stack, "", @progbits
