// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    .data
entries:
    .quad 0

    vmx_asm_vmrun_section 30, vmx_asm_vmrun_first_entry
    incq entries(%rip)
    cmpq $1, entries(%rip)

    .section .note.GNU-stack, "", @progbits
