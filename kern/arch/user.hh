// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kern/arch/trap_frame.hh"
#include "kern/lib/address.hh"

/// What the process layer asks of a machine, beyond arch.hh: address spaces and ring 3.
/// Kernels without user programs link none of it.
namespace kern::arch {

/// Puts the kernel's half into a new root table, at `root`.
void share_kernel_half(std::byte* root);
/// This CPU translates by the tables at `root` from now on.
void use_address_space(Hpa root);
/// This CPU translates by the kernel's own tables, which have an empty lower half.
void use_kernel_address_space();
/// This CPU forgets how it translated the page at `page`.
void forget_translation(Uva page);

/// DS, ES, FS and GS are 0 from now on: nothing of what a program has left in them is there for the
/// next one. Nothing else of this CPU's changes. Interrupts must be disabled.
void clear_selectors();

/// A character that was typed, or -1 if there is none.
int console_read();

/// Sets this CPU up for ring 3 and calls `schedule` with interrupts disabled, on the stack from
/// which this was called: what is left of it is the kernel's stack from now on, and each trap out
/// of ring 3 begins there anew with a call of `on_trap`. The call returns when one of the two calls
/// leave_user_mode(). Interrupts must be disabled; they are when it returns.
void run_user_mode(void (*schedule)(), void (*on_trap)(const TrapFrame& frame));
/// Forgets the stack up to the call of run_user_mode on this CPU, and returns from that.
[[noreturn]] void leave_user_mode();

/// The address of the page fault that this CPU took last.
std::uint64_t fault_address();
/// The exception in words, with the reason of a page fault at `address`.
std::string_view describe_exception(std::span<char> buffer, std::uint64_t vector,
                                    std::uint64_t error_code, std::uint64_t address);

}  // namespace kern::arch
