// SPDX-License-Identifier: MIT
#include "vmm/soft/main/host.hh"

#include <algorithm>

#include "kern/arch/arch.hh"
#include "kern/arch/segments.hh"
#include "kern/arch/user.hh"
#include "kern/arch/user_32.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

///@{
/// After so many traps, or so long, a guest that does not end is stopped. Who never traps is
/// interrupted each slice.
constexpr std::uint64_t most_traps = 1'000'000;
constexpr std::uint64_t longest_ns = 3'000'000'000, slice_ns = 10'000'000;
///@}

/// The one that runs.
Host* running;

///@{
/// Between the frame of a trap and the guest's registers.
void take(const kern::arch::TrapFrame& frame, Registers& to) {
    to.rax = frame.rax;
    to.rcx = frame.rcx;
    to.rdx = frame.rdx;
    to.rbx = frame.rbx;
    to.rsp = frame.rsp;
    to.rbp = frame.rbp;
    to.rsi = frame.rsi;
    to.rdi = frame.rdi;
    to.rip = frame.rip;
    to.rflags = frame.rflags;
}
void put(const Registers& from, kern::arch::TrapFrame& frame) {
    frame.rax = from.rax;
    frame.rcx = from.rcx;
    frame.rdx = from.rdx;
    frame.rbx = from.rbx;
    frame.rsp = from.rsp;
    frame.rbp = from.rbp;
    frame.rsi = from.rsi;
    frame.rdi = from.rdi;
    frame.rip = from.rip;
    frame.rflags = (from.rflags & program_flags) | rflags::reserved_one | rflags::interrupt_enable;
}
///@}

}  // namespace

SoftGuest::Next Host::run() {
    running = this;
    const bool enabled = kern::arch::disable_interrupts();
    const std::uint64_t begun_at = kern::arch::nanoseconds();
    end_at_ = begun_at + longest_ns;
    kern::arch::run_user_mode(&begin, &on_trap);
    duration_ = kern::arch::nanoseconds() - begun_at;
    kern::arch::set_timer(0);
    armed_for_ = 0;
    kern::arch::restore_interrupts(enabled);
    devices_.flush();
    return next_;
}

void Host::begin() {
    kern::arch::allow_32_bit_programs_only();
    running->frame_.cs = kern::arch::selector::user_code;
    running->frame_.ss = kern::arch::selector::user_data;
    running->enter();
}

[[gnu::hot, gnu::flatten]] void Host::on_trap(const kern::arch::TrapFrame& frame) {
    running->leave_ring_3(frame);
}

void Host::enter() {
    machine_.use(static_cast<const HardwareTable&>(guest_.table()));
    start_clock();
    put(guest_.cpu.registers, frame_);
    kern::arch::enter_user_32(frame_);
}

void Host::leave_ring_3(const kern::arch::TrapFrame& frame) {
    std::uint64_t now = stop_clock();
    take(frame, guest_.cpu.registers);
    const bool is_virtual_8086 = (frame.rflags & rflags::virtual_8086) != 0;
    // The machine's own, and served.
    if (frame.vector >= vector::first_interrupt && !is_virtual_8086) {
        next_ = guest_.look_at_clock(devices_.now());
    } else {
        last_trap_ = {.vector = static_cast<std::uint8_t>(frame.vector),
                      .error_code = static_cast<std::uint32_t>(frame.error_code),
                      .address = static_cast<std::uint32_t>(kern::arch::fault_address())};
        next_ = guest_.serve(last_trap_, devices_.now());
    }
    while (next_ == SoftGuest::Next::Wait && now < end_at_) {
        start_clock();
        kern::arch::wait_for_interrupt();
        now = stop_clock();
        next_ = guest_.look_at_clock(devices_.now());
    }
    if (next_ == SoftGuest::Next::Enter && now < end_at_ && guest_.counts().traps < most_traps)
        enter();
    if (next_ == SoftGuest::Next::Wait) next_ = SoftGuest::Next::Enter;  // stopped as well
    machine_.leave();
    kern::arch::leave_user_mode();
}

/// This machine's timer goes off when the guest's does, and after a slice at the latest. To arm it
/// costs more than a trap, so it is left alone where it goes off early enough.
void Host::arm_timer(std::uint64_t now) {
    const std::uint64_t wanted = now + devices_.until_interrupt(slice_ns);
    if (armed_for_ > now && armed_for_ <= wanted) return;
    armed_for_ = std::max(wanted, now + 1);
    kern::arch::set_timer(armed_for_ - now);
}

/// The guest is about to run or to wait: its clock goes.
void Host::start_clock() {
    const std::uint64_t now = kern::arch::nanoseconds();
    arm_timer(now);
    entered_at_ = now;
}

/// It does not any more. Returns this machine's time.
std::uint64_t Host::stop_clock() {
    const std::uint64_t now = kern::arch::nanoseconds();
    devices_.advance(now - entered_at_);
    return now;
}

}  // namespace vmm::soft
