// SPDX-License-Identifier: MIT
// What is read of a VMCS after every exit: numbers of the fields, and their places in
// vmm::vmx::ExitFields. For .S files and C++.
#pragma once

#define VMCS_INSTRUCTION_ERROR 0x4400
#define VMCS_EXIT_REASON 0x4402
#define VMCS_EXIT_INSTRUCTION_LENGTH 0x440c
#define VMCS_GUEST_SS_ACCESS_RIGHTS 0x4818
#define VMCS_GUEST_INTERRUPTIBILITY_STATE 0x4824
#define VMCS_EXIT_QUALIFICATION 0x6400
#define VMCS_GUEST_RSP 0x681c
#define VMCS_GUEST_RIP 0x681e
#define VMCS_GUEST_RFLAGS 0x6820

#define EXIT_REASON 0
#define EXIT_QUALIFICATION 8
#define EXIT_INSTRUCTION_LENGTH 16
#define EXIT_INSTRUCTION_ERROR 24
#define EXIT_RSP 32
#define EXIT_RIP 40
#define EXIT_RFLAGS 48
#define EXIT_SS_ACCESS_RIGHTS 56
#define EXIT_INTERRUPTIBILITY_STATE 64
