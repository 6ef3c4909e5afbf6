// SPDX-License-Identifier: MIT
#include "vmm/soft/guest.hh"

#include <array>

#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "vmm/hypercall.hh"
#include "vmm/soft/device_access.hh"
#include "vmm/soft/emulate_privileged.hh"
#include "vmm/soft/linear.hh"
#include "vmm/soft/return_from_event.hh"
#include "vmm/soft/shadow_fill.hh"
#include "vmm/soft/shadow_flush.hh"
#include "vmm/soft/shadow_trace.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

constexpr std::uint8_t invalid_tss = 10;

/// Whether the CPU pushes an error code for this exception [amd/vol2 table 8-1].
bool has_error_code(std::uint8_t vector) {
    switch (vector) {
        case vector::double_fault:
        case invalid_tss:
        case segment_not_present:
        case stack_fault:
        case vector::general_protection:
        case vector::page_fault:
        case vector::alignment_check: return true;
        default: return false;
    }
}

}  // namespace

void SoftGuest::start(std::uint32_t entry) {
    cpu = {};
    cpu.registers.rax = kern::multiboot2_magic;
    cpu.registers.rip = entry;
    cpu.registers.rflags = rflags::reserved_one;
    cpu.cr0 = static_cast<std::uint32_t>(cr0::protection_enable | cr0::extension_type);
    entered_at_ = entry;
    shadows_.activate(cpu.cr3);
}

/// What ring 3 has done meanwhile. `has_stepped`: TF has brought it back.
void SoftGuest::leave_ring_3(bool has_stepped) {
    if (stepping_) cpu.registers.rflags &= ~rflags::trap;
    stepping_ = false;
    // The instruction that STI protects has run.
    if (has_stepped || cpu.registers.rip != entered_at_) cpu.interrupt_shadow = false;
}

// With all that stands in this file, in one piece: this is what each trap executes.
[[gnu::hot, gnu::flatten]] SoftGuest::Next SoftGuest::serve(const HostTrap& trap,
                                                            std::uint64_t now) {
    ++counts_.traps;
    // QEMU lets IRET of 32-bit code in ring 3 set VM. No CPU in long mode does, and its #GP would have
    // come first: CS is no segment of the host.
    if ((cpu.registers.rflags & rflags::virtual_8086) != 0)
        return end("its IRET set EFLAGS.VM, and this machine went to virtual-8086 mode");
    const bool has_stepped = stepping_ && trap.vector == vector::debug;
    leave_ring_3(has_stepped);
    if (has_stepped) return settle(now);
    // An interrupt comes before the instruction, which will fault again.
    const bool faults = trap.vector != vector::debug && trap.vector != vector::breakpoint;
    if (faults && may_be_interrupted(now) && deliver() != Delivered::Nothing) return settle(now);
    // A CPU that is no host of virtual machines has no such instruction; one that is lets ring 0 alone
    // execute VMCALL [intel/vol3c 31.3].
    if ((trap.vector == vector::invalid_opcode || trap.vector == vector::general_protection) &&
        is_exit()) {
        status = static_cast<std::uint32_t>(cpu.registers.rbx);
        return Next::Exited;
    }
    switch (trap.vector) {
        case vector::general_protection: general_protection(trap.error_code); break;
        case vector::breakpoint:
            // The host lets ring 3 use this one gate. So it comes as a trap, with RIP behind it.
            --cpu.registers.rip;
            general_protection(vector::breakpoint << error_code::index_shift | error_code::idt);
            break;
        case vector::page_fault:
            if (const Next next = page_fault(trap); next != Next::Enter) return next;
            break;
        case vector::invalid_opcode: raise({.vector = vector::invalid_opcode}); break;
        default:
            raise({.vector = trap.vector,
                   .error_code = has_error_code(trap.vector) ? std::optional{trap.error_code}
                                                             : std::nullopt});
    }
    return settle(now);
}

SoftGuest::Next SoftGuest::look_at_clock(std::uint64_t now) {
    leave_ring_3(false);
    return settle(now);
}

/// Whether an interrupt waits that deliver() would deliver, or has to ask its priority for. Asked at
/// each trap: quick.
bool SoftGuest::may_be_interrupted(std::uint64_t now) {
    devices_.apic.advance_timer(now);
    return cpu.interrupts_enabled && devices_.apic.has_request();
}

/// Delivers one event, of which the APIC's highest interrupt is one.
Delivered SoftGuest::deliver() {
    cpu.interrupts = {};
    if (!cpu.event && !devices_.apic.has_request()) [[likely]]
        return Delivered::Nothing;
    return deliver_waiting();
}

[[gnu::noinline]] Delivered SoftGuest::deliver_waiting() {
    const auto interrupt = devices_.apic.deliverable();
    if (interrupt) cpu.interrupts.add(*interrupt);
    const Delivered delivered = deliver_event(cpu, memory_);
    if (interrupt && !cpu.interrupts.contains(*interrupt)) {
        ++counts_.interrupts;
        devices_.apic.accept(*interrupt);
    }
    return delivered;
}

SoftGuest::Next SoftGuest::settle(std::uint64_t now) {
    devices_.apic.advance_timer(now);
    for (;;) {
        switch (deliver()) {
            case Delivered::Event: continue;
            case Delivered::Ended: return end("an exception could not be delivered, nor #DF");
            case Delivered::Nothing: break;
        }
        break;
    }
    if (cpu.halted) {
        if (cpu.interrupts_enabled && devices_.apic.timer_deadline()) return Next::Wait;
        return end("it is halted, and no interrupt will come");
    }
    entered_at_ = cpu.registers.rip;
    stepping_ = cpu.interrupt_shadow && cpu.interrupts.highest() &&
                (cpu.registers.rflags & rflags::trap) == 0;
    if (stepping_) cpu.registers.rflags |= rflags::trap;
    return Next::Enter;
}

SoftGuest::Next SoftGuest::end(std::string_view why) {
    reason = why;
    return Next::Ended;
}

void SoftGuest::raise(const GuestFault& fault) {
    ++counts_.faults;
    cpu.event = {.event = fault};
}

/// What stands at RIP. The CPU has fetched it by a shadow's entry, which saves a walk, and may say
/// something else by now than the guest's tables, as a TLB may.
/// They stay where they are, if they lie in one page: nobody writes them while the host works.
std::span<const std::byte> SoftGuest::instruction_here() {
    const std::uint64_t rip = cpu.registers.rip, offset = rip % page_size;
    if (offset + longest_instruction <= page_size)
        if (const auto entry = table().get(Gva{rip - offset}))
            return {kern::arch::direct_map(entry->frame + offset), longest_instruction};
    return std::span{fetched_}.first(fetch(cpu, memory_, fetched_));
}

/// The rewritten site at RIP, if the guest's kernel is at one.
const Site* SoftGuest::site_here() const {
    if (cpu.user_mode) return nullptr;
    for (const Site& site : sites)
        if (site.address == cpu.registers.rip) return &site;
    return nullptr;
}

void SoftGuest::general_protection(std::uint32_t code) {
    if (const Site* const site = site_here()) {
        const auto instruction = decode_sensitive(std::span{site->bytes}.first(site->length), cpu);
        if (!instruction) return raise(protection_fault());  // the list is ours: never
        ++counts_.rewritten;
        return emulate(*instruction);
    }
    const Trap trap = classify_trap(cpu, memory_, code, instruction_here());
    switch (trap.kind) {
        case Trap::Kind::Emulate: ++counts_.emulated; return emulate(trap.instruction);
        case Trap::Kind::SoftwareInterrupt:
            ++counts_.software_interrupts;
            cpu.registers.rip = (cpu.registers.rip + trap.instruction.length) & 0xffff'ffff;
            cpu.event = {.event = {.vector = trap.instruction.number}, .is_software = true};
            return;
        case Trap::Kind::Fault: return raise(trap.fault);
    }
}

void SoftGuest::emulate(const SensitiveInstruction& instruction) {
    if (instruction.kind == SensitiveInstruction::Kind::Iret) {
        if (const auto done = return_from_event(cpu, memory_); !done) raise(done.error());
        return;
    }
    const std::uint32_t cr0_before = cpu.cr0;
    const auto forget = emulate_privileged(cpu, memory_, devices_.ports, instruction);
    if (!forget) return raise(forget.error());
    constexpr unsigned cr3 = 3;
    if (instruction.kind == SensitiveInstruction::Kind::MovToControl && instruction.number == cr3)
        ++counts_.table_loads;
    if (forget->kind == Forget::Kind::Nothing) return;
    if (cpu.cr0 != cr0_before) shadows_.forget_all();  // what every entry was made by
    if (shadows_.is_loose()) shadow_flush(shadows_, *forget);
    if (forget->kind == Forget::Kind::Everything) shadows_.activate(cpu.cr3);
}

SoftGuest::Next SoftGuest::page_fault(const HostTrap& trap) {
    namespace bits = kern::arch::x86::page_fault;
    const GuestAccess access{.write = (trap.error_code & bits::write) != 0,
                             .fetch = (trap.error_code & bits::fetch) != 0,
                             .user = cpu.user_mode};
    const Filled filled = shadow_fill(cpu, memory_, shadows_, Gva{trap.address}, access);
    switch (filled.kind) {
        case Filled::Kind::Entry: ++counts_.filled; return Next::Enter;
        case Filled::Kind::Fault: raise(filled.fault); return Next::Enter;
        case Filled::Kind::NoMemory:
            if (access_device(cpu, memory_, devices_.mmio, Gva{trap.address}, access))
                return Next::Enter;
            return end("it accessed an address where it has no memory, nor such a register");
        case Filled::Kind::NoFrame: return end("the host has no frame for a shadow table");
        case Filled::Kind::Table: break;
    }
    const Traced traced =
        shadow_trace(cpu, memory_, shadows_, Gva{trap.address}, instruction_here());
    ++(traced == Traced::Done ? counts_.traced : counts_.dropped);
    return Next::Enter;
}

/// VMMCALL or VMCALL with the registers of vmm/hypercall.hh that ask for the end: no CPU of the
/// guest's own has them, so they are \#UD.
bool SoftGuest::is_exit() {
    if (cpu.user_mode || cpu.registers.rax != hypercall::exit ||
        cpu.registers.rdx != hypercall::signature)
        return false;
    std::array<std::byte, 3> bytes{};
    if (fetch(cpu, memory_, bytes) != bytes.size()) return false;
    constexpr std::byte vmmcall{0xd9}, vmcall{0xc1};
    return bytes[0] == std::byte{0x0f} && bytes[1] == std::byte{0x01} &&
           (bytes[2] == vmmcall || bytes[2] == vmcall);
}

}  // namespace vmm::soft
