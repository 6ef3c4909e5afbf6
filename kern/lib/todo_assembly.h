// SPDX-License-Identifier: MIT
// The stub of a task that is written in assembly: todo("lab1.enter_user") in a .S file. Names the
// task, the file and the line, as kern::todo does, and does not return. todo_with_note adds words
// of its own.
#pragma once

#define todo(task) todo_with_note(task, "")

#define todo_with_note(task, note) \
    .pushsection .rodata.todo, "a"; \
7771: .asciz task; \
7772: .asciz __FILE__; \
7773: .asciz note; \
    .popsection; \
    lea 7771b(%rip), %rdi; \
    lea 7772b(%rip), %rsi; \
    lea 7773b(%rip), %rcx; \
    mov $__LINE__, %edx; \
    call todo_from_assembly
