// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/die.hh"

#include <array>
#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/apic.hh"
#include "kern/arch/x86_64/kernel_map.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/arch/x86_64/symbols.hh"
#include "kern/lib/print.hh"

namespace kern::arch {
namespace {

constexpr unsigned panic_status = 120;
constexpr unsigned nobody = ~0U;
constexpr unsigned deepest_backtrace = 32;
std::atomic<unsigned> dying_cpu{nobody};

/// Straight to the console: kprint's lock may be held by a CPU that never goes on.
template <class... Arguments>
void print(std::string_view format, const Arguments&... arguments) {
    std::array<char, 512> buffer;
    console_write(format_text(buffer, format, arguments...));
}

/// Only the first CPU reports. One that faults while it reports says so, and ends.
void claim_death() {
    const unsigned self = cpu_index();
    unsigned expected = nobody;
    if (dying_cpu.compare_exchange_strong(expected, self)) {
        apic::send_nmi_to_others();
        return;
    }
    if (expected != self) stop_this_cpu();
    console_write("(a fault while reporting the one above)\n");
    power_off(panic_status);
}

void print_place(std::uint64_t address, unsigned depth) {
    const Symbol symbol = find_symbol(address);
    if (symbol.name.empty())
        print("  #{} {}\n", depth, Hva{address});
    else
        print("  #{} {} {} +{:x}\n", depth, Hva{address}, symbol.name, symbol.offset);
}

/// Follows the chain of saved frame pointers: each frame holds the caller's, then the return
/// address. A recursion's calls of itself take one line together.
void print_callers(std::uint64_t frame) {
    std::uint64_t last = 0;
    unsigned repeated = 0;
    for (unsigned depth = 1; depth < deepest_backtrace && is_in_stack(frame);) {
        const auto* words = reinterpret_cast<const std::uint64_t*>(frame);
        const std::uint64_t caller = words[1];
        if (caller == last) {
            ++repeated;
        } else {
            if (repeated != 0) print("  (the same {} times more)\n", repeated);
            repeated = 0;
            if (caller == 0) return;
            print_place(caller - 1, depth++);  // the call, not what follows it
        }
        last = caller;
        if (words[0] <= frame) return;  // callers lie higher
        frame = words[0];
    }
}

void print_control_registers() {
    print("cr0 {:016x} cr2 {:016x} cr3 {:016x} cr4 {:016x}\n", x86::read_cr0(), x86::read_cr2(),
          x86::read_cr3(), x86::read_cr4());
}

void print_registers(const TrapFrame& f) {
    print("rip {:016x} rsp {:016x} rflags {:08x} cs {:x} ss {:x}\n", f.rip, f.rsp, f.rflags, f.cs,
          f.ss);
    print("rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}\n", f.rax, f.rbx, f.rcx, f.rdx);
    print("rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}\n", f.rsi, f.rdi, f.rbp, f.r8);
    print("r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}\n", f.r9, f.r10, f.r11, f.r12);
    print("r13 {:016x} r14 {:016x} r15 {:016x} vector {} error {:x}\n", f.r13, f.r14, f.r15,
          f.vector, f.error_code);
}

}  // namespace

bool is_dying() {
    return dying_cpu.load() != nobody;
}

void stop_this_cpu() {
    while (true) {
        x86::disable_interrupts();
        x86::halt();
    }
}

void die_with_frame(std::string_view message, const TrapFrame& frame) {
    x86::disable_interrupts();
    claim_death();
    print("\npanic on CPU {}: {}\n", cpu_index(), message);
    print_registers(frame);
    print_control_registers();
    console_write("backtrace:\n");
    print_place(frame.rip, 0);
    // After a jump to where no code is, the place that it came from may still be on the stack.
    if (find_symbol(frame.rip).name.empty() && is_in_stack(frame.rsp)) {
        const std::uint64_t caller = *reinterpret_cast<const std::uint64_t*>(frame.rsp);
        if (!find_symbol(caller).name.empty()) print_place(caller - 1, 0);
    }
    print_callers(frame.rbp);
    power_off(panic_status);
}

void die(std::string_view message, std::string_view file, unsigned line) {
    x86::disable_interrupts();
    claim_death();
    print("\npanic on CPU {}: {}\n  at {}:{}\n", cpu_index(), message, file, line);
    print("rsp {:016x} rflags {:08x}\n", x86::read_rsp(), x86::read_rflags());
    print_control_registers();
    console_write("backtrace:\n");
    print_callers(reinterpret_cast<std::uint64_t>(__builtin_frame_address(0)));
    power_off(panic_status);
}

}  // namespace kern::arch
