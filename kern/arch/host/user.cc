// SPDX-License-Identifier: MIT
#include "kern/arch/user.hh"

#include <algorithm>
#include <array>
#include <csetjmp>

#include "kern/arch/fpu.hh"
#include "kern/arch/host/machine.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"

namespace kern::arch {
namespace {

using fake::machine;

/// What each CPU, which is a thread here, has for ring 3.
struct UserMode {
    std::jmp_buf kernel_stack;  ///< where every trap begins anew
    const TrapFrame* entered = nullptr;
    Hpa address_space{};
    std::uint64_t fault_address = 0;
    std::array<std::byte, 512> fpu{};
    bool on = false;  ///< between run_user_mode and leave_user_mode
};
thread_local UserMode user_mode;

/// Why the kernel's stack is left.
enum Left : int { NotYet, EntersProgram, ReturnsToCaller };

/// Runs the program until its next trap. Nothing of this is left when the trap is handled.
TrapFrame next_trap() {
    std::unique_lock lock{machine().lock};
    const auto program = machine().on_enter_user;
    lock.unlock();
    check(program != nullptr, "a program is entered, and the test has no on_enter_user");
    const bool were_enabled = disable_interrupts();
    restore_interrupts(true);
    const TrapFrame trap = program(*user_mode.entered);
    restore_interrupts(were_enabled);
    return trap;
}

}  // namespace

namespace fake {

void on_enter_user(std::function<TrapFrame(const TrapFrame&)> program) {
    const std::lock_guard guard{machine().lock};
    machine().on_enter_user = std::move(program);
}
Hpa address_space() {
    return user_mode.address_space;
}
void set_fault_address(std::uint64_t address) {
    user_mode.fault_address = address;
}
std::byte& fpu_register() {
    return user_mode.fpu.back();
}

}  // namespace fake

void share_kernel_half(std::byte*) {}
void use_address_space(Hpa root) {
    user_mode.address_space = root;
}
void use_kernel_address_space() {
    user_mode.address_space = Hpa{};
}
void forget_translation(Uva) {}

std::size_t fpu_state_size() {
    return user_mode.fpu.size();  // FXSAVE's
}
void save_fpu(std::byte* area) {
    std::ranges::copy(user_mode.fpu, area);
}
void load_fpu(const std::byte* area) {
    std::copy_n(area, user_mode.fpu.size(), user_mode.fpu.begin());
}

int console_read() {
    return -1;
}

// As on the hardware, whoever enters a program or leaves user mode just leaves its stack: no
// destructor runs, so nobody may hold anything there.

void run_user_mode(void (*schedule)(), void (*on_trap)(const TrapFrame& frame)) {
    check(!user_mode.on, "run_user_mode: this CPU is in user mode already");
    check(!fake::interrupts_enabled(), "run_user_mode: interrupts must be disabled");
    user_mode.on = true;
    // NOLINTNEXTLINE(cert-err52-cpp,modernize-avoid-setjmp-longjmp)
    switch (setjmp(user_mode.kernel_stack)) {
        case NotYet: schedule(); break;
        case EntersProgram: on_trap(next_trap()); break;
        default: user_mode.on = false; return;
    }
    panic("run_user_mode: schedule or on_trap has returned");
}

void leave_user_mode() {
    // NOLINTNEXTLINE(cert-err52-cpp,modernize-avoid-setjmp-longjmp)
    std::longjmp(user_mode.kernel_stack, ReturnsToCaller);
}

void enter_user(const TrapFrame* frame) {
    check(!fake::interrupts_enabled(), "enter_user: interrupts must be disabled");
    user_mode.entered = frame;
    // NOLINTNEXTLINE(cert-err52-cpp,modernize-avoid-setjmp-longjmp)
    std::longjmp(user_mode.kernel_stack, EntersProgram);
}

std::uint64_t fault_address() {
    return user_mode.fault_address;
}

std::string_view describe_exception(std::span<char> buffer, std::uint64_t vector,
                                    std::uint64_t error_code, std::uint64_t address) {
    return format_text(buffer, "exception {}, error code 0x{:x}, address 0x{:x}", vector,
                       error_code, address);
}

}  // namespace kern::arch
