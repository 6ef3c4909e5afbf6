// SPDX-License-Identifier: MIT
#include "kern/cap/main/hardware.hh"

#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/arch/device_interrupts.hh"
#include "kern/arch/user.hh"
#include "kern/arch/x86.hh"
#include "kern/cap/main/cpus.hh"

namespace kern::cap {
namespace {

constexpr std::uint64_t user = 1U << 2;  // U/S, of an entry

std::uint64_t physical(const void* object) {
    return arch::physical_address(object).value();
}

}  // namespace

bool HardwareMachine::preemption_pending() {
    return ++looks_ >= most_looks;
}

void HardwareMachine::clear(std::uint64_t address, std::uint64_t bytes) {
    std::memset(reinterpret_cast<void*>(address), 0, bytes);
}

void HardwareMachine::begin_space(PageTable& table) {
    arch::share_kernel_half(reinterpret_cast<std::byte*>(table.entries.data()));
}

void HardwareMachine::clear_entry(PageTable& table, unsigned index) {
    table.entries[index] = 0;
    leave_address_spaces();
}
void HardwareMachine::end_table(PageTable&) {
    leave_address_spaces();
}
void HardwareMachine::stop(unsigned cpu) {
    stop_cpu(cpu);
}

void HardwareMachine::mask(unsigned irq) {
    arch::mask_device_interrupt(irq);
}
void HardwareMachine::unmask(unsigned irq) {
    arch::unmask_device_interrupt(irq);
}

void HardwareMachine::set_page(PageTable& table, unsigned index, const Capability& frame,
                               bool is_writable, bool is_executable) {
    namespace pte = arch::x86::pte;
    table.entries[index] = physical(reinterpret_cast<void*>(frame.object)) | pte::present | user |
                           (is_writable ? pte::write : 0) | (is_executable ? 0 : pte::no_execute) |
                           (frame.is_device != 0 ? pte::uncached : 0);
}
void HardwareMachine::set_table(PageTable& table, unsigned index, const PageTable& below) {
    namespace pte = arch::x86::pte;
    table.entries[index] = physical(below.entries.data()) | pte::present | pte::write | user;
}

void HardwareMachine::set_registers(Tcb& tcb, const Registers& registers) {
    ThreadState& state = state_of(tcb);
    state = {};
    state.frame.rip = registers.rip;
    state.frame.rsp = registers.rsp;
    state.frame.rdi = registers.rdi;
}
Registers HardwareMachine::registers(const Tcb& tcb) {
    const auto& frame = reinterpret_cast<const ThreadState*>(tcb.machine.data())->frame;
    return {.rip = frame.rip, .rsp = frame.rsp, .rdi = frame.rdi, .rflags = frame.rflags};
}

std::uint32_t HardwareMachine::read_port(std::uint16_t port, unsigned bytes) {
    return bytes == 1 ? arch::in8(port) : arch::in32(port);
}
void HardwareMachine::write_port(std::uint16_t port, unsigned bytes, std::uint32_t value) {
    if (bytes == 1)
        arch::out8(port, static_cast<std::uint8_t>(value));
    else
        arch::out32(port, value);
}

}  // namespace kern::cap
