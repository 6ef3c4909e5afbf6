// SPDX-License-Identifier: MIT
#include "vmm/svm/asm_vmrun.h"

    svm_asm_vmrun_section 40, svm_asm_vmrun_state_in

    svm_asm_vmrun_section 80, svm_asm_vmrun_state_out

    .section .note.GNU-stack, "", @progbits
