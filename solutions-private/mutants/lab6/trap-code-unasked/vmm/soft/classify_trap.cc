// SPDX-License-Identifier: MIT
#include "vmm/soft/classify_trap.hh"

#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

using Kind = SensitiveInstruction::Kind;

Trap guest_fault(const GuestFault& fault) {
    return {.kind = Trap::Kind::Fault, .fault = fault};
}

Trap software_interrupt(const SoftCpu& cpu, const GuestMemory& memory,
                        const SensitiveInstruction& instruction) {
    const auto gate = read_gate(cpu, memory, instruction.number);
    if (!gate) return guest_fault(gate.error());
    if (gate->dpl < cpu.cpl()) return guest_fault(protection_fault_of_gate(instruction.number));
    return {.kind = Trap::Kind::SoftwareInterrupt, .instruction = instruction};
}

}  // namespace

Trap classify_trap(const SoftCpu& cpu, const GuestMemory& memory, std::uint32_t error_code,
                   std::span<const std::byte> bytes) {
    const GuestFault as_raised{.vector = vector::general_protection, .error_code = error_code};
    const auto instruction = decode_sensitive(bytes, cpu);
    if (!instruction) return guest_fault(as_raised);
    const bool is_gate = (error_code & error_code::idt) != 0;
    if (instruction->kind == Kind::SoftwareInterrupt) {
        if (!is_gate) return guest_fault(as_raised);
        return software_interrupt(cpu, memory, *instruction);
    }
    if (is_gate) return guest_fault(as_raised);
    const Trap emulate{.kind = Trap::Kind::Emulate, .instruction = *instruction};
    switch (instruction->kind) {
        case Kind::Iret:
        case Kind::MovToSegment:
        case Kind::FarJump: return emulate;
        default: break;
    }
    if (cpu.user_mode) return guest_fault(as_raised);
    return emulate;
}

}  // namespace vmm::soft
