// SPDX-License-Identifier: MIT
#include "kern/bench/faults.hh"

#include <algorithm>
#include <memory>

#include "kern/arch/arch.hh"
#include "kern/arch/segments.hh"
#include "kern/arch/user.hh"
#include "kern/arch/vectors.hh"
#include "kern/arch/x86.hh"
#include "kern/lib/panic.hh"
#include "kern/proc/address_space.hh"

// touch_pages.S
extern "C" const std::byte touch_pages[], touch_pages_end[];

namespace kern::bench {
namespace {

constexpr std::uint64_t pages = 64;
constexpr Uva area{0x80'0000};

/// Has the pages of `area`; the program gets each when it asks.
AddressSpace* ready = nullptr;
AddressSpace* space = nullptr;
std::uint64_t ended_at = 0;

void begin() {
    arch::TrapFrame frame{};
    frame.rip = user_layout::program.value();
    frame.cs = arch::selector::user_code;
    frame.ss = arch::selector::user_data;
    frame.rflags = arch::x86::rflags::reserved_one;
    frame.rdi = area.value();
    frame.rcx = pages;
    arch::enter_user(&frame);
}

void on_trap(const arch::TrapFrame& frame) {
    if (frame.vector != arch::vector::page_fault) {
        ended_at = arch::timestamp();
        arch::leave_user_mode();
    }
    const Uva page{align_down(arch::fault_address(), page_size)};
    check(space->share_page(page, *ready, page, {.write = true}).has_value(), "bench: a page");
    arch::enter_user(&frame);
}

}  // namespace

std::uint64_t ticks_of_page_fault() {
    const auto from = AddressSpace::create(), to = AddressSpace::create();
    check(from && to, "bench: address space");
    ready = from->get();
    space = to->get();
    for (std::uint64_t i = 0; i < pages; ++i)
        check(ready->allocate_page(area + i * page_size, {.write = true}).has_value(),
              "bench: a page");
    const auto code = space->allocate_page(user_layout::program, {.execute = true});
    check(code.has_value(), "bench: a page");
    std::ranges::copy(touch_pages, touch_pages_end, AddressSpace::bytes(*code).data());

    const bool interrupts = arch::disable_interrupts();
    arch::use_address_space(space->root());
    const std::uint64_t begun_at = arch::timestamp();
    arch::run_user_mode(begin, on_trap);
    arch::use_kernel_address_space();
    arch::restore_interrupts(interrupts);
    return (ended_at - begun_at) / pages;
}

}  // namespace kern::bench
