// SPDX-License-Identifier: MIT
#include "vmm/soft/deliver_event.hh"

#include <array>

#include "kern/lib/fixed.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

constexpr std::uint32_t tss_esp0 = 4, tss_ss0 = 8;

/// Delivers one event, or changes nothing. Returns whether it could.
bool deliver(SoftCpu& cpu, const GuestMemory& memory, const GuestFault& event) {
    const auto gate = read_gate(cpu, memory, event.vector);
    if (!gate || gate->present == 0) return false;
    if (!gate->is_interrupt_gate() && !gate->is_trap_gate()) return false;
    const auto handler = static_cast<std::uint16_t>(gate->selector);
    if (selector::is_null(handler)) return false;
    const auto code = read_descriptor(cpu, memory, handler);
    if (!code || !code->is_code() || code->dpl != 0 || code->present == 0) return false;

    auto esp = static_cast<std::uint32_t>(cpu.registers.rsp);
    std::uint16_t ss = cpu.selector(SegmentName::Ss);
    kern::FixedList<std::uint32_t, 6> frame;  // the last one lies lowest
    const auto push = [&frame](std::uint64_t value) {
        static_cast<void>(frame.push(static_cast<std::uint32_t>(value)));
    };
    if (cpu.user_mode) {
        if (cpu.tr.limit < tss_ss0 + sizeof(ss) - 1) return false;
        const auto esp0 = read_number<std::uint32_t>(cpu, memory, cpu.tr.base + tss_esp0, false);
        const auto ss0 = read_number<std::uint16_t>(cpu, memory, cpu.tr.base + tss_ss0, false);
        if (!esp0 || !ss0) return false;
        if (selector::is_null(*ss0) || (*ss0 & selector::rpl) != 0) return false;
        const auto stack = read_descriptor(cpu, memory, *ss0);
        if (!stack || !stack->is_writable_data() || stack->dpl != 0 || stack->present == 0)
            return false;
        push(ss);
        push(cpu.registers.rsp);
        esp = *esp0;
        ss = *ss0;
    }
    push((cpu.registers.rflags & program_flags) | rflags::reserved_one |
         (cpu.interrupts_enabled ? rflags::interrupt_enable : 0));
    push(cpu.selector(SegmentName::Cs));
    push(cpu.registers.rip);
    if (event.error_code) push(*event.error_code);

    std::array<std::uint32_t, 6> bytes{};
    for (std::size_t i = 0; i < frame.size(); ++i) bytes[i] = frame[frame.size() - 1 - i];
    const auto stored = std::as_bytes(std::span{bytes}.first(frame.size()));
    esp -= static_cast<std::uint32_t>(stored.size());
    if (!write_linear(cpu, memory, esp, stored, false)) return false;

    cpu.user_mode = false;
    cpu.selector(SegmentName::Cs) = handler;
    cpu.selector(SegmentName::Ss) = ss;
    cpu.registers.rsp = esp;
    cpu.registers.rip = gate->offset();
    cpu.registers.rflags &= ~(rflags::trap | rflags::nested_task);
    if (gate->is_interrupt_gate()) cpu.interrupts_enabled = false;
    cpu.interrupt_shadow = false;
    cpu.halted = false;
    return true;
}

}  // namespace

Delivered deliver_event(SoftCpu& cpu, const GuestMemory& memory) {
    GuestFault event;
    if (cpu.event) {
        event = cpu.event->event;
        if (event.vector == vector::page_fault && !cpu.event->is_software) cpu.cr2 = event.address;
        cpu.event.reset();
    } else {
        const auto interrupt = cpu.interrupts.highest();
        if (!interrupt || !cpu.interrupts_enabled || cpu.interrupt_shadow)
            return Delivered::Nothing;
        cpu.interrupts.remove(*interrupt);
        event.vector = *interrupt;
    }
    if (deliver(cpu, memory, event)) return Delivered::Event;
    if (event.vector == vector::double_fault) return Delivered::Ended;
    return deliver(cpu, memory, {.vector = vector::double_fault, .error_code = 0})
               ? Delivered::Event
               : Delivered::Ended;
}

}  // namespace vmm::soft
