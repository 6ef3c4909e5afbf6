// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/traps.hh"
#include "kern/arch/x86_64/symbols.hh"

#include <array>
#include <string_view>

#include "kern/arch/arch.hh"
#include "kern/arch/user.hh"
#include "kern/arch/vectors.hh"
#include "kern/arch/x86_64/apic.hh"
#include "kern/arch/x86_64/die.hh"
#include "kern/arch/x86_64/io_apic.hh"
#include "kern/arch/x86_64/kernel_map.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/lib/print.hh"

// user_entry.S
extern "C" void system_call_entry();
extern "C" void user_entry_end();

namespace kern::arch {
namespace {

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

constexpr std::uint64_t upper_half = 1ULL << 63;

/// Whether `address` lies in the half that belongs to user programs.
bool is_user(Hva address) {
    return (address.value() & upper_half) == 0;
}

std::string_view describe_page_fault(std::span<char> buffer, std::uint64_t error, Hva address) {
    using namespace x86::page_fault;
    if ((error & (present | user)) == 0 && is_stack_guard(address))
        return format_text(buffer, "stack overflow: {} is in the guard page under a stack",
                           address);
    const std::string_view why = (error & reserved_bit) != 0
                                     ? "a table entry has a reserved bit set"
                                 : (error & present) == 0 ? "the page is not present"
                                 : (error & user) == 0 && is_user(address)
                                     ? "it is a user program's page, and this is ring 0"
                                 : (error & fetch) != 0 ? "the page is not executable"
                                 : (error & write) != 0 ? "the page is read-only"
                                                        : "the page is not accessible";
    return format_text(buffer, "page fault (#PF): {} {} at {}: {}{}",
                       (error & user) != 0 ? "user" : "kernel",
                       (error & fetch) != 0   ? "fetch"
                       : (error & write) != 0 ? "write"
                                              : "read",
                       address, why, address.value() < page_size ? " (a null pointer)" : "");
}

/// Whether `address` lies in user_entry.S.
bool is_user_entry(std::uint64_t address) {
    return address >= reinterpret_cast<std::uint64_t>(&system_call_entry) &&
           address < reinterpret_cast<std::uint64_t>(&user_entry_end);
}

/// A program that executes SYSCALL with TF set. SFMASK clears TF, and so most CPUs step no further;
/// some take the #DB of that step at the kernel's first instruction, with the program's RSP and GS.
bool is_step_into_system_call(const TrapFrame& frame) {
    return frame.vector == vector::debug &&
           frame.rip == reinterpret_cast<std::uint64_t>(&system_call_entry);
}

/// An exception beside a SWAPGS, or before the host's state is back from a guest, finds a GS base
/// that is not the kernel's. But the GDT is always this CPU's own, and stands in its PerCpu. Every
/// exception that comes here ends this kernel, so the base stays repaired.
void repair_gs_base() {
    TablePointer gdtr;
    asm volatile("sgdt %0" : "=m"(gdtr));
    constexpr std::uint64_t gdt_at = offsetof(PerCpu, descriptors) + offsetof(Descriptors, gdt);
    write_msr(x86::msr::gs_base, gdtr.base - gdt_at);
}

[[noreturn]] void report_exception(const TrapFrame& frame) {
    std::array<char, 192> buffer;
    const Hva address{x86::read_cr2()};
    std::string_view text = exception_names[frame.vector];
    if (frame.vector == vector::page_fault && is_user_entry(frame.rip) &&
        address.value() < page_size)
        die_with_frame(
            "the kernel was entered from a user program, but GS was already the kernel's: "
            "enter_user executes SWAPGS directly before IRETQ",
            frame);
    if (frame.vector == vector::page_fault) {
        text = describe_page_fault(buffer, frame.error_code, address);
    } else if (frame.vector == vector::double_fault && is_stack_guard(address)) {
        text = format_text(buffer, "stack overflow (#DF): {} is in the guard page under a stack",
                           address);
    } else if (frame.error_code != 0) {
        text = format_text(buffer, "{}, error code {:x}", text, frame.error_code);
    }
    die_with_frame(text, frame);
}

}  // namespace

void (*user_trap_handler)(const TrapFrame& frame) = nullptr;

[[gnu::hot]] std::uint64_t fault_address() {
    return x86::read_cr2();
}

std::string_view describe_exception(std::span<char> buffer, std::uint64_t vector,
                                    std::uint64_t error_code, std::uint64_t address) {
    if (vector == vector::page_fault) return describe_page_fault(buffer, error_code, Hva{address});
    if (vector >= exception_names.size()) return format_text(buffer, "interrupt {}", vector);
    if (error_code == 0) return exception_names[vector];
    return format_text(buffer, "{}, error code {:x}", exception_names[vector], error_code);
}

namespace {

/// Serves the interrupts that are the machine's own affair. Returns whether it was one.
bool serve_interrupt(const TrapFrame& frame) {
    switch (frame.vector) {
        case vector::non_maskable_interrupt:
            // Nothing here sends one, but a CPU that panics: to stop the others.
            if (is_dying()) stop_this_cpu();
            return false;
        case vector::kick:
            this_cpu().kicked_at = frame.rip;
            apic::end_of_interrupt();
            return true;
        case vector::timer: apic::end_of_interrupt(); return true;
        case vector::request:
            answer_interrupt_request();
            apic::end_of_interrupt();
            return true;
        case vector::spurious: return true;
        default:
            if (!note_device_interrupt(frame.vector)) return false;
            apic::end_of_interrupt();
            return true;
    }
}

[[noreturn]] void report_interrupt(const TrapFrame& frame) {
    std::array<char, 64> buffer;
    die_with_frame(format_text(buffer, "unexpected interrupt, vector {}", frame.vector), frame);
}

}  // namespace

/// RSP points into a program's frame there, and an interrupt has pushed over what lies below.
void check_enter_user(const TrapFrame& frame) {
    if (user_trap_handler == nullptr || frame.vector < vector::first_interrupt) return;
    if (find_symbol(frame.rip).name != "enter_user") return;
    die_with_frame(
        "an interrupt has arrived inside enter_user: they stay disabled until IRETQ loads the "
        "program's flags",
        frame);
}

extern "C" void handle_trap(TrapFrame* frame) {
    // The system call goes on. R11 has TF: the program gets its #DB when it has run on for a step.
    if (is_step_into_system_call(*frame)) return;
    check_enter_user(*frame);
    if (frame->vector < vector::first_interrupt) repair_gs_base();
    if (serve_interrupt(*frame)) return;
    if (frame->vector < vector::first_interrupt) report_exception(*frame);
    report_interrupt(*frame);
}

/// Where user_entry.S goes to, with the frame on a stack of this CPU.
extern "C" [[noreturn, gnu::hot]] void handle_user_trap(const TrapFrame* frame) {
    const bool is_exception =
        frame->vector < vector::first_interrupt && frame->vector != vector::non_maskable_interrupt;
    if (!is_exception && frame->vector != system_call_vector && !serve_interrupt(*frame) &&
        frame->vector >= vector::first_interrupt)
        report_interrupt(*frame);
    user_trap_handler(*frame);
    __builtin_unreachable();
}

}  // namespace kern::arch
