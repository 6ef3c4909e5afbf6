// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 50, vmx_asm_vmrun_enter

    .section .note.GNU-stack, "", @progbits
