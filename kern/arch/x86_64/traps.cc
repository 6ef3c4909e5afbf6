// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/traps.hh"

#include <array>
#include <string_view>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/apic.hh"
#include "kern/arch/x86_64/die.hh"
#include "kern/arch/x86_64/kernel_map.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/lib/print.hh"

namespace kern::arch {
namespace {

constexpr unsigned nmi = 2, double_fault = 8, general_protection = 13, page_fault = 14;

/// The manual's names, by vector [amd/vol2 8.2].
constexpr std::array<std::string_view, 32> exception_names{
    "divide error (#DE)",
    "debug (#DB)",
    "non-maskable interrupt",
    "breakpoint (#BP)",
    "overflow (#OF)",
    "bound range (#BR)",
    "invalid opcode (#UD)",
    "device not available (#NM)",
    "double fault (#DF)",
    "coprocessor segment overrun",
    "invalid TSS (#TS)",
    "segment not present (#NP)",
    "stack (#SS)",
    "general protection (#GP)",
    "page fault (#PF)",
    "reserved exception 15",
    "x87 floating point (#MF)",
    "alignment check (#AC)",
    "machine check (#MC)",
    "SIMD floating point (#XF)",
    "reserved exception 20",
    "control protection (#CP)",
    "reserved exception 22",
    "reserved exception 23",
    "reserved exception 24",
    "reserved exception 25",
    "reserved exception 26",
    "reserved exception 27",
    "hypervisor injection (#HV)",
    "VMM communication (#VC)",
    "security (#SX)",
    "reserved exception 31",
};

std::string_view describe_page_fault(std::span<char> buffer, std::uint64_t error, Hva address) {
    using namespace x86::page_fault;
    if ((error & present) == 0 && is_stack_guard(address))
        return format_text(buffer, "stack overflow: {} is in the guard page under a stack",
                           address);
    const std::string_view why = (error & reserved_bit) != 0
                                     ? "a table entry has a reserved bit set"
                                 : (error & present) == 0 ? "the page is not present"
                                 : (error & fetch) != 0   ? "the page is not executable"
                                 : (error & write) != 0   ? "the page is read-only"
                                                          : "the page is not accessible";
    return format_text(buffer, "page fault (#PF): {} {} at {}: {}{}",
                       (error & user) != 0 ? "user" : "kernel",
                       (error & fetch) != 0   ? "fetch"
                       : (error & write) != 0 ? "write"
                                              : "read",
                       address, why, address.value() < page_size ? " (a null pointer)" : "");
}

[[noreturn]] void report_exception(const TrapFrame& frame) {
    std::array<char, 192> buffer;
    const Hva address{x86::read_cr2()};
    std::string_view text = exception_names[frame.vector];
    if (frame.vector == page_fault) {
        text = describe_page_fault(buffer, frame.error_code, address);
    } else if (frame.vector == double_fault && is_stack_guard(address)) {
        text = format_text(buffer, "stack overflow (#DF): {} is in the guard page under a stack",
                           address);
    } else if (frame.error_code != 0) {
        text = format_text(buffer, "{}, error code {:x}", text, frame.error_code);
    }
    die_with_frame(text, frame);
}

}  // namespace

extern "C" void handle_trap(TrapFrame* frame) {
    switch (frame->vector) {
        case nmi:
            // Nothing here sends one, but a CPU that panics: to stop the others.
            if (is_dying()) stop_this_cpu();
            report_exception(*frame);
        case vector::kick:
        case vector::timer: apic::end_of_interrupt(); return;
        case vector::request:
            answer_interrupt_request();
            apic::end_of_interrupt();
            return;
        case vector::spurious: return;
        default:
            if (frame->vector < vector::first_interrupt) report_exception(*frame);
            std::array<char, 64> buffer;
            die_with_frame(format_text(buffer, "unexpected interrupt, vector {}", frame->vector),
                           *frame);
    }
}

}  // namespace kern::arch
