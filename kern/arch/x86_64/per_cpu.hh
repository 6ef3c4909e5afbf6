// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kern/arch/arch.hh"
#include "kern/arch/trap_frame.hh"
#include "kern/arch/x86_64/boot_constants.h"
#include "kern/arch/x86_64/descriptors.hh"

namespace kern::arch {

/// What each CPU has of its own. The CPU's GS base points to it.
struct alignas(64) PerCpu {
    std::uint32_t index = 0;  ///< must stay first: cpu_index() reads it through GS
    std::uint32_t apic_id = 0;

    /// A program's RSP, for a few instructions of system_call_entry.
    std::uint64_t user_stack = 0;
    /// Where a trap out of ring 3 begins: see run_user_mode.
    std::uint64_t kernel_stack = 0;
    Descriptors descriptors{};

    /// Set by the CPU itself when it takes work and interrupts.
    std::atomic<bool> up{false};

    /// Work from start_on. Busy is set by who gives the work, cleared by this CPU when it is done;
    /// `work` is what says that the context is there.
    std::atomic<bool> busy{false};
    std::atomic<void (*)(void*)> work{nullptr};
    void* context = nullptr;

    /// How often this CPU was asked to take an interrupt by interrupt_and_wait, and the number of
    /// requests that it has answered.
    std::atomic<std::uint64_t> asked{0};
    std::atomic<std::uint64_t> answered{0};

    /// See arch::kicked_at.
    std::uint64_t kicked_at = 0;
};

static_assert(offsetof(PerCpu, user_stack) == PER_CPU_USER_STACK &&
              offsetof(PerCpu, kernel_stack) == PER_CPU_KERNEL_STACK &&
              offsetof(PerCpu, descriptors) + offsetof(Descriptors, task) +
                      offsetof(TaskState, rsp) ==
                  PER_CPU_TASK_STACK);
static_assert(selector::user_data == USER_DATA && selector::user_code == USER_CODE &&
              system_call_vector == SYSTEM_CALL_VECTOR);

/// By CPU number; only the first cpu_count() are in use.
extern constinit std::array<PerCpu, max_cpus> cpus;

/// Makes cpus[index] the executing CPU's. The first thing that a CPU does in C++.
void enter_cpu(unsigned index);

inline PerCpu& this_cpu() {
    return cpus[cpu_index()];
}

/// Answers a request of interrupt_and_wait, if there is one. The interrupt's handler does this, and
/// every loop that waits with interrupts disabled, or two CPUs could wait for each other for ever.
void answer_interrupt_request();

}  // namespace kern::arch
