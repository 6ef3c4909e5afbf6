// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "vmm/backend.hh"

namespace vmm::svm {

/// Puts this CPU's own VMSAVE state into the page at `host_area` (physical), from where the world
/// switch takes it back: TR, FS, GS and the MSRs of SYSCALL and SYSENTER. Once before a CPU runs
/// guests, since the host changes none of these meanwhile.
extern "C" void svm_save_host_state(std::uint64_t host_area);

/// Enters the guest, and returns when it has exited. World_switch.S tells the story.
/// @param guest            its registers but RAX, RSP, RIP and RFLAGS, which are in the VMCB
/// @param vmcb             physical address of the VMCB
/// @param host_area        physical address of a VMCB-sized page for the host's VMSAVE state on
/// this CPU
/// @param return_requested if not 0, the guest is not entered
/// @param flush_requested  taken (set to 0), and merged into `tlb_control`
/// @param tlb_control      the VMCB's TLB_CONTROL byte
/// @return whether the guest was entered
/// @note Interrupts are disabled when it is called and enabled when it returns: a pending one has
/// been
///       taken by then.
extern "C" bool svm_world_switch(Registers* guest, std::uint64_t vmcb, std::uint64_t host_area,
                                 const std::atomic<std::uint32_t>* return_requested,
                                 std::atomic<std::uint8_t>* flush_requested,
                                 std::uint8_t* tlb_control);

// The offsets that world_switch.S uses.
static_assert(offsetof(Registers, rcx) == 8 && offsetof(Registers, rdx) == 16);
static_assert(offsetof(Registers, rbx) == 24 && offsetof(Registers, rbp) == 40);
static_assert(offsetof(Registers, rsi) == 48 && offsetof(Registers, rdi) == 56);
static_assert(offsetof(Registers, r8) == 64 && offsetof(Registers, r15) == 120);
static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && sizeof(std::atomic<std::uint8_t>) == 1);

}  // namespace vmm::svm
