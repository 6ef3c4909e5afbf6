// SPDX-License-Identifier: MIT
#include "vmm/soft/emulate_privileged.hh"

#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

using Kind = SensitiveInstruction::Kind;
using Result = std::expected<Forget, GuestFault>;

constexpr Forget nothing{};
constexpr std::uint64_t low_half = 0xffff'ffff;

std::uint64_t& general(SoftCpu& cpu, unsigned number) {
    return cpu.registers.*general_registers[number];
}

std::unexpected<GuestFault> refuse(GuestFault fault) {
    return std::unexpected{fault};
}
std::unexpected<GuestFault> refuse(std::uint8_t vector, std::uint16_t selector) {
    GuestFault fault = protection_fault_of(selector);
    fault.vector = vector;
    return std::unexpected{fault};
}

Result pushf(SoftCpu& cpu, const GuestMemory& memory) {
    const auto esp = static_cast<std::uint32_t>(cpu.registers.rsp) - 4;
    const auto image =
        static_cast<std::uint32_t>((cpu.registers.rflags & program_flags) | rflags::reserved_one |
                                   (cpu.interrupts_enabled ? rflags::interrupt_enable : 0));
    if (const auto pushed = write_number(cpu, memory, esp, image, cpu.user_mode); !pushed)
        return refuse(pushed.error());
    cpu.registers.rsp = esp;
    return nothing;
}

Result popf(SoftCpu& cpu, const GuestMemory& memory) {
    const auto esp = static_cast<std::uint32_t>(cpu.registers.rsp);
    const auto image = read_number<std::uint32_t>(cpu, memory, esp, cpu.user_mode);
    if (!image) return refuse(image.error());
    cpu.registers.rsp = esp + 4;
    cpu.registers.rflags =
        (cpu.registers.rflags & ~std::uint64_t{program_flags}) | (*image & program_flags);
    cpu.interrupts_enabled = (*image & rflags::interrupt_enable) != 0;
    return nothing;
}

Result port(SoftCpu& cpu, PortBus& ports, const SensitiveInstruction& instruction) {
    const auto number =
        instruction.port ? *instruction.port : static_cast<std::uint16_t>(cpu.registers.rdx);
    const std::uint64_t mask = low_half >> (32 - 8 * instruction.size);
    std::uint64_t& rax = cpu.registers.rax;
    if (instruction.kind == Kind::Out)
        ports.write(number, instruction.size, static_cast<std::uint32_t>(rax & mask));
    else
        rax = (rax & low_half & ~mask) | (ports.read(number, instruction.size) & mask);
    return nothing;
}

Result from_control(SoftCpu& cpu, const SensitiveInstruction& instruction) {
    std::uint64_t& reg = general(cpu, instruction.reg);
    switch (instruction.number) {
        case 0: reg = cpu.cr0; return nothing;
        case 2: reg = cpu.cr2; return nothing;
        case 3: reg = cpu.cr3; return nothing;
        case 4: reg = cpu.cr4; return nothing;
        default: return refuse({.vector = vector::invalid_opcode});
    }
}

Result to_control(SoftCpu& cpu, const SensitiveInstruction& instruction) {
    const auto value = static_cast<std::uint32_t>(general(cpu, instruction.reg));
    constexpr Forget everything{.kind = Forget::Kind::Everything};
    switch (instruction.number) {
        case 0: {
            if ((value & cr0::protection_enable) == 0) return refuse(protection_fault());
            const auto made = static_cast<std::uint32_t>(value | cr0::extension_type);
            const std::uint32_t changed = made ^ cpu.cr0;
            cpu.cr0 = made;
            return (changed & (cr0::paging | cr0::write_protect)) != 0 ? everything : nothing;
        }
        case 2: cpu.cr2 = value; return nothing;
        case 3: cpu.cr3 = value & 0xffff'f018; return everything;
        case 4:
            if (value != 0) return refuse(protection_fault());
            cpu.cr4 = 0;
            return nothing;
        default: return refuse({.vector = vector::invalid_opcode});
    }
}

Result load_table(SoftCpu& cpu, const GuestMemory& memory,
                  const SensitiveInstruction& instruction) {
    const auto limit = read_number<std::uint16_t>(cpu, memory, instruction.address, cpu.user_mode);
    if (!limit) return refuse(limit.error());
    const auto base =
        read_number<std::uint32_t>(cpu, memory, instruction.address + 2, cpu.user_mode);
    if (!base) return refuse(base.error());
    (instruction.kind == Kind::Lgdt ? cpu.gdtr : cpu.idtr) =
        DescriptorTable{.base = *base, .limit = *limit};
    return nothing;
}

Result load_task_register(SoftCpu& cpu, const GuestMemory& memory, std::uint16_t selector) {
    if (selector::is_null(selector)) return refuse(protection_fault());
    const auto descriptor = read_descriptor(cpu, memory, selector);
    if (!descriptor) return refuse(descriptor.error());
    if (!descriptor->is_available_tss()) return refuse(protection_fault_of(selector));
    if (descriptor->present == 0) return refuse(segment_not_present, selector);
    SegmentDescriptor busy = *descriptor;
    busy.type |= 2;
    if (const auto written = write_number(cpu, memory, cpu.gdtr.base + (selector & selector::index),
                                          std::bit_cast<std::uint64_t>(busy), false);
        !written)
        return refuse(written.error());
    cpu.tr = {.selector = selector, .base = descriptor->base(), .limit = descriptor->limit()};
    return nothing;
}

Result load_segment(SoftCpu& cpu, const GuestMemory& memory, SegmentName name,
                    std::uint16_t selector) {
    const bool is_stack = name == SegmentName::Ss;
    if (selector::is_null(selector)) {
        if (is_stack) return refuse(protection_fault());
        cpu.selector(name) = selector;
        return nothing;
    }
    const auto descriptor = read_descriptor(cpu, memory, selector);
    if (!descriptor) return refuse(descriptor.error());
    const unsigned rpl = selector & selector::rpl;
    const unsigned dpl = descriptor->dpl;
    const bool fits = is_stack
                          ? descriptor->is_writable_data() && rpl == cpu.cpl() && dpl == cpu.cpl()
                          : descriptor->is_readable() &&
                                (descriptor->is_conforming() || (dpl >= cpu.cpl() && dpl >= rpl));
    if (!fits) return refuse(protection_fault_of(selector));
    if (descriptor->present == 0)
        return refuse(is_stack ? stack_fault : segment_not_present, selector);
    cpu.selector(name) = selector;
    return nothing;
}

Result far_jump(SoftCpu& cpu, const GuestMemory& memory, const SensitiveInstruction& instruction) {
    const std::uint16_t selector = instruction.selector;
    if (selector::is_null(selector)) return refuse(protection_fault());
    const auto descriptor = read_descriptor(cpu, memory, selector);
    if (!descriptor) return refuse(descriptor.error());
    const unsigned rpl = selector & selector::rpl;
    const bool fits =
        descriptor->is_code() &&
        (descriptor->is_conforming() ? descriptor->dpl <= cpu.cpl()
                                     : descriptor->dpl == cpu.cpl() && rpl <= cpu.cpl());
    if (!fits) return refuse(protection_fault_of(selector));
    if (descriptor->present == 0) return refuse(segment_not_present, selector);
    cpu.selector(SegmentName::Cs) =
        static_cast<std::uint16_t>((selector & ~selector::rpl) | cpu.cpl());
    cpu.registers.rip = instruction.offset;
    return nothing;
}

Result effect(SoftCpu& cpu, const GuestMemory& memory, PortBus& ports,
              const SensitiveInstruction& instruction) {
    const auto selector = [&] { return static_cast<std::uint16_t>(general(cpu, instruction.reg)); };
    const auto segment = static_cast<SegmentName>(instruction.number);
    switch (instruction.kind) {
        case Kind::Cli: cpu.interrupts_enabled = false; return nothing;
        case Kind::Sti:
            cpu.interrupt_shadow = !cpu.interrupts_enabled;
            cpu.interrupts_enabled = true;
            return nothing;
        case Kind::Hlt: cpu.halted = true; return nothing;
        case Kind::Pushf: return pushf(cpu, memory);
        case Kind::Popf: return popf(cpu, memory);
        case Kind::In:
        case Kind::Out: return port(cpu, ports, instruction);
        case Kind::MovFromControl: return from_control(cpu, instruction);
        case Kind::MovToControl: return to_control(cpu, instruction);
        case Kind::Invlpg:
            return Forget{.kind = Forget::Kind::Page, .address = Gva{instruction.address}};
        case Kind::Lgdt:
        case Kind::Lidt: return load_table(cpu, memory, instruction);
        case Kind::Ltr: return load_task_register(cpu, memory, selector());
        case Kind::MovToSegment: return load_segment(cpu, memory, segment, selector());
        case Kind::MovFromSegment:
            general(cpu, instruction.reg) = cpu.selector(segment);
            return nothing;
        case Kind::FarJump:
        case Kind::Iret:
        case Kind::SoftwareInterrupt: break;
    }
    return refuse(protection_fault());
}

}  // namespace

std::expected<Forget, GuestFault> emulate_privileged(SoftCpu& cpu, const GuestMemory& memory,
                                                     PortBus& ports,
                                                     const SensitiveInstruction& instruction) {
    cpu.interrupt_shadow = false;
    if (instruction.kind == Kind::FarJump) return far_jump(cpu, memory, instruction);
    if (cpu.user_mode && instruction.kind != Kind::MovToSegment) return refuse(protection_fault());
    const auto done = effect(cpu, memory, ports, instruction);
    if (done) cpu.registers.rip = cpu.registers.rip + instruction.length;
    return done;
}

}  // namespace vmm::soft
