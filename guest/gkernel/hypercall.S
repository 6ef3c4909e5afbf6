// SPDX-License-Identifier: MIT
// vmm/hypercall.hh: RAX is the number (exit is 0), RBX the argument, RDX the signature. The
// instruction is the vendor's of this CPU.
#define SIGNATURE 0x7473654e                // "Nest"

    .text
    .global exit_guest
exit_guest:
    xor %eax, %eax
    cpuid
    cmp $0x756e6547, %ebx               // "Genu" of "GenuineIntel"
    mov %rdi, %rbx
    mov $0, %eax
    mov $SIGNATURE, %edx
    je 1f
    vmmcall
    jmp 2f
1:  vmcall
2:  hlt                                 // a host that does not know the hypercall
    jmp 2b
    .section .note.GNU-stack, "", @progbits
