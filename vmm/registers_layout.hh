// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "vmm/asm_vmrun.h"
#include "vmm/registers.hh"

namespace vmm {

// The offsets that the world switches use.
static_assert(offsetof(Registers, rax) == REG_RAX && offsetof(Registers, rcx) == REG_RCX &&
              offsetof(Registers, rdx) == REG_RDX && offsetof(Registers, rbx) == REG_RBX &&
              offsetof(Registers, rsp) == REG_RSP && offsetof(Registers, rbp) == REG_RBP &&
              offsetof(Registers, rsi) == REG_RSI && offsetof(Registers, rdi) == REG_RDI &&
              offsetof(Registers, r8) == REG_R8 && offsetof(Registers, r9) == REG_R9 &&
              offsetof(Registers, r10) == REG_R10 && offsetof(Registers, r11) == REG_R11 &&
              offsetof(Registers, r12) == REG_R12 && offsetof(Registers, r13) == REG_R13 &&
              offsetof(Registers, r14) == REG_R14 && offsetof(Registers, r15) == REG_R15 &&
              offsetof(Registers, rip) == REG_RIP && offsetof(Registers, rflags) == REG_RFLAGS);

}  // namespace vmm
