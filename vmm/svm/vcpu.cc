// SPDX-License-Identifier: MIT
#include "vmm/svm/vcpu.hh"

#include <new>
#include <utility>
#include <variant>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/probe.hh"
#include "vmm/frame_owners.hh"
#include "vmm/svm/consistency.hh"
#include "vmm/svm/exits.hh"
#include "vmm/svm/registers.hh"
#include "vmm/svm/start_state.hh"
#include "vmm/svm/svm.hh"
#include "vmm/svm/world_switch.hh"

namespace vmm::svm {
namespace {

constexpr std::uint64_t entries_between_kicks = 8;  // see SwitchProbe
/// What the world switch finds where a request came without its interrupt: 32 bits count.
constexpr std::uint32_t late_request = 1U << 31;
constexpr std::uint8_t breakpoint = 3;  // #BP, by INT3
constexpr std::uint64_t lower_half = 0xffff'ffff;

std::expected<std::unique_ptr<VcpuBackend>, Error> create_vcpu(const GuestMemory& memory) {
    auto frame = kern::Frame::allocate(frame_owner::vcpu);
    if (!frame) return std::unexpected{frame.error()};
    auto state = ProcessorState::create();
    if (!state) return std::unexpected{state.error()};
    std::unique_ptr<VcpuBackend> vcpu{new (std::nothrow)
                                          SvmVcpu{std::move(*frame), std::move(*state), memory}};
    if (!vcpu) return std::unexpected{Error::OutOfMemory};
    return vcpu;
}

}  // namespace

SvmVcpu::SvmVcpu(kern::Frame vmcb, ProcessorState state, const GuestMemory& memory)
    : frame_{std::move(vmcb)},
      vmcb_{new(kern::arch::direct_map(frame_.address())) Vmcb{}},
      code_{memory},
      state_{std::move(state)} {
    has_next_rip_ = has_next_rip();
    probe_.control_block = frame_.address();
    set_controls(vmcb_->control, memory.table_root(), io_map(), msr_map());
}

void SvmVcpu::start(std::uint64_t rip) {
    registers = {.cr8 = registers.cr8};
    registers.rip = rip;
    registers.rflags = rflags::reserved_one;
    vmcb().control.event_injection = 0;
    vmcb().control.interrupt_state = 0;
    unproven_ = true;
    if (step_.intercept != 0) take_back_step();
    block_nmis(false);
    state_.reset_breakpoints();
    request_interrupt_window(false);
    flush_tlb();  // CR0 and CR3 have changed behind the TLB's back
}

void SvmVcpu::start_protected_mode(Gpa entry, std::uint32_t eax, std::uint32_t ebx) {
    set_protected_mode(vmcb().save, entry);
    start(entry.value());
    registers.rax = eax;
    registers.rbx = ebx;
}

void SvmVcpu::start_real_mode(std::uint8_t vector) {
    set_real_mode(vmcb().save, vector);
    start(0);
}

SystemRegisters SvmVcpu::system_registers() const {
    const SaveArea& save = vmcb_->save;
    return {.cr0 = save.cr0,
            .cr2 = save.cr2,
            .cr3 = save.cr3,
            .cr4 = save.cr4,
            .efer = save.efer & ~efer::secure_virtual_machine_enable,
            .pat = save.g_pat,
            .cs_base = is_64_bit(save) ? 0 : save.cs.base,
            .cs = save.cs.selector,
            .ss = save.ss.selector,
            .segments = {{{save.es.base, save.es.limit},
                          {save.cs.base, save.cs.limit},
                          {save.ss.base, save.ss.limit},
                          {save.ds.base, save.ds.limit},
                          {save.fs.base, save.fs.limit},
                          {save.gs.base, save.gs.limit}}},
            .code_size = is_64_bit(save)                                ? CodeSize::Bits64
                         : (save.cs.attributes & segment::size_32) != 0 ? CodeSize::Bits32
                                                                        : CodeSize::Bits16,
            .privilege_level = save.cpl};
}

void SvmVcpu::set_optional_exits(const OptionalExits& wanted) {
    constexpr std::uint32_t page_fault = 1U << vector::page_fault;
    ControlArea& control = vmcb().control;
    control.intercept_cr &= ~intercept_register::write_cr3;
    if (wanted.cr3_writes) control.intercept_cr |= intercept_register::write_cr3;
    exceptions_ = intercepted_exceptions | (wanted.page_faults ? page_fault : 0);
    control.intercept_exceptions = exceptions_;
}

void SvmVcpu::set_efer(std::uint64_t value) {
    std::uint64_t& now = vmcb().save.efer;
    // VMRUN fails without SVME, so it stays set behind the guest's back [amd/vol2 15.5.1].
    now = (value & ~efer::long_mode_active) | (now & efer::long_mode_active) |
          efer::secure_virtual_machine_enable;
    unproven_ = true;
    flush_tlb();  // NXE changes what entries mean
}

void SvmVcpu::set_pat(std::uint64_t value) {
    vmcb().save.g_pat = value;
    unproven_ = true;
    flush_tlb();
}

void SvmVcpu::enter_cpu() {
    state_.load();
    // It stays this vCPU's until it leaves: nobody else is given one here meanwhile.
    ControlArea& control = vmcb().control;
    if (asids_of_this_cpu().assign(asid_)) control.tlb_control = tlb_control::flush_all;
    control.asid = asid_.asid;
    host_area_ = host_area_of_this_cpu();
}

[[gnu::hot, gnu::flatten]] Exit SvmVcpu::run() {
    ControlArea& control = vmcb().control;
    SaveArea& save = vmcb().save;
    if (probe_.spoils_next_entry()) {
        control.asid = 0;
        unproven_ = true;
    }
    control.virtual_interrupt =
        (control.virtual_interrupt & ~virtual_interrupt::task_priority) | registers.cr8;
    save.rsp = registers.rsp;
    save.rip = registers.rip;

    control.exit_code = exit_code::not_written;
    const auto suspicion = unproven_ ? find_broken_rule(vmcb(), cpu_limits()) : std::nullopt;
    const Entered entered = suspicion ? enter_suspect() : enter();
    if (entered == Entered::Not)
        return {.reason = exit::ExternalInterrupt{},
                .rip = registers.rip,
                .code = exit_code::interrupt};
    return take_exit(entered, suspicion);
}

[[gnu::hot]] Exit SvmVcpu::take_exit(Entered entered,
                                     const std::optional<exit::EntryFailure>& suspicion) {
    ControlArea& control = vmcb().control;
    SaveArea& save = vmcb().save;
    ++probe_.account.entries;
    control.tlb_control = tlb_control::nothing;
    Exit exit = decode_exit(vmcb(), registers.rcx);
    if (exit.code == exit_code::not_written) {
        exit.reason = vmm::exit::EntryFailure{
            "EXITCODE", "VMRUN was not executed: there is no exit", exit.code, "lab3.svm_vmrun"};
        return exit;
    }
    if (exit.code == exit_code::invalid) {
        exit.rip = registers.rip;  // the guest has not moved, whatever the VMCB says now
        exit.reason = suspicion.value_or(
            vmm::exit::EntryFailure{"VMCB", "a rule that this hypervisor does not know", 0});
        return exit;
    }
    unproven_ = false;
    if (entered == Entered::HostStateLost) {
        exit.reason = vmm::exit::EntryFailure{
            "GS base of the host",
            "after an exit it must be what it was before: put away by VMSAVE, taken back by VMLOAD",
            0, "lab3.svm_state"};
        return exit;
    }
    registers.rsp = save.rsp;
    registers.rip = save.rip;
    registers.cr8 = control.virtual_interrupt & virtual_interrupt::task_priority;
    // A shutdown leaves the VMCB undefined [amd/vol2 15.14.3]: nothing of it is used again.
    if (exit.code == exit_code::shutdown) return exit;
    keep_interrupted_event();
    if (step_.intercept != 0)
        end_step(exit);
    else if (exit.code == exit_code::iret)
        begin_step(intercept1::iret);
    else if (exit.code == exit_code::ltr)
        begin_step(intercept1::ltr);
    else if (is_decodable(exit.code))
        take_instruction(exit);
    return exit;
}

[[gnu::hot]] Entered SvmVcpu::enter() {
    // Not at every entry: the guest would never execute an instruction.
    const bool kicks =
        probe_.kicks_at_entries && probe_.account.entries % entries_between_kicks == 0;
    if (kicks) kern::arch::kick(kern::arch::cpu_index());
    // A request whose interrupt the host has taken just before it disabled interrupts. Once for
    // each number of entries: this one does not count as an entry.
    const std::uint64_t entries = probe_.account.entries;
    const bool requests = probe_.kicks_at_entries && requested_at_ != entries &&
                          entries % entries_between_kicks == entries_between_kicks / 2;
    if (requests) {
        requested_at_ = entries;
        return_requested_.store(late_request);
    }
    // What the sections do not bring along is not in the VMCB.
    if (probe_.kicks_at_entries) vmcb().save.rflags = rflags::reserved_one;
    const Entered entered = svm_asm_vmrun(&registers, frame_.address().value(), host_area_.value(),
                                          &return_requested_, &flush_requested_, &vmcb());
    if (kicks) {
        ++probe_.account.kicks;
        const std::uint64_t at = kern::arch::kicked_at();
        const auto address = [](const std::byte* code) {
            return reinterpret_cast<std::uintptr_t>(code);
        };
        if (at >= address(svm_asm_vmrun_hold_back) && at <= address(svm_asm_vmrun_let_come))
            ++probe_.account.kicks_lost;
    }
    if (requests) {
        ++probe_.account.kicks;
        if (entered != Entered::Not) ++probe_.account.kicks_lost;
    }
    return entered;
}

/// Like enter(), for a VMCB that breaks a rule. Whether VMRUN fails is the CPU's decision; but an
/// emulator that refuses it writes its own state over the guest's, and the report wants the
/// guest's.
Entered SvmVcpu::enter_suspect() {
    const SaveArea before = vmcb().save;
    const Registers registers_before = registers;
    const Entered entered = enter();
    if (entered != Entered::Not && decode_exit(vmcb(), 0).code == exit_code::invalid) {
        vmcb().save = before;
        registers = registers_before;
    }
    return entered;
}

[[gnu::hot]] void SvmVcpu::keep_interrupted_event() {
    ControlArea& control = vmcb().control;
    control.event_injection = 0;
    const std::uint64_t interrupted = control.exit_int_info;
    if ((interrupted & event::valid) == 0) return;  // what else stands there is stale
    // The guest was on its way to a handler. INT n, INT3 and INTO are simply executed again: RIP
    // still points to them. Everything else would be lost [amd/vol2 15.7.2].
    const std::uint64_t type = interrupted & event::type;
    const std::uint64_t number = interrupted & event::vector;
    const bool is_trap = number == breakpoint || number == vector::overflow;
    if (type == event::type_software || (type == event::type_exception && is_trap)) return;
    control.event_injection = interrupted;
}

bool SvmVcpu::can_inject_nmi() const {
    return can_inject() && !nmis_blocked_ && step_.intercept == 0;
}

bool SvmVcpu::can_inject() const {
    return (vmcb_->control.event_injection & event::valid) == 0;
}

bool SvmVcpu::can_inject_interrupt() const {
    return can_inject() && (registers.rflags & rflags::interrupt_enable) != 0 &&
           (vmcb_->control.interrupt_state & interrupt_shadow) == 0 &&
           step_.intercept == 0;  // it would push our TF
}

void SvmVcpu::inject(const Event& injected) {
    std::uint64_t value = event::valid | injected.vector;
    switch (injected.kind) {
        case Event::Kind::ExternalInterrupt: value |= event::type_interrupt; break;
        case Event::Kind::NonMaskableInterrupt: value |= event::type_nmi; break;
        case Event::Kind::Exception: value |= event::type_exception; break;
    }
    if (injected.error_code)
        value |= event::has_error_code | std::uint64_t{*injected.error_code}
                                             << event::error_code_shift;
    vmcb().control.event_injection = value;
    if (injected.cr2) vmcb().save.cr2 = *injected.cr2;
    unproven_ = true;
    if (injected.kind == Event::Kind::NonMaskableInterrupt) block_nmis(true);
}

void SvmVcpu::request_interrupt_window(bool wanted) {
    // A virtual interrupt that is intercepted: the guest exits where it would take it, and it is
    // never delivered [amd/vol2 15.21.4]. The priority was looked at by the caller.
    constexpr std::uint64_t window =
        virtual_interrupt::pending | virtual_interrupt::ignore_priority;
    ControlArea& control = vmcb().control;
    // There is an exit behind a step anyway.
    if (wanted && step_.intercept == 0) {
        control.virtual_interrupt |= window;
        control.intercept1 |= intercept1::virtual_interrupt;
        // QEMU ends itself where the guest writes CR8 while a virtual interrupt is pending.
        control.intercept_cr |= intercept_register::write_cr8;
    } else {
        control.virtual_interrupt &= ~window;
        control.intercept1 &= ~intercept1::virtual_interrupt;
        control.intercept_cr &= ~intercept_register::write_cr8;
    }
}

/// Finds out how long the instruction is that the host is to do in the guest's place, and does it
/// where no other room has to know of it.
[[gnu::hot]] void SvmVcpu::take_instruction(Exit& exit) {
    const bool is_move = exit.code <= exit_code::write_dr7;
    if (has_next_rip_ && !is_move) {
        exit.instruction_length =
            static_cast<std::uint8_t>(vmcb().control.next_rip - registers.rip);
        return;
    }
    const auto instruction = code_.read(vmcb().save, registers.rip, exit.code, exit.information[0]);
    if (!instruction) {
        exit.reason = vmm::exit::Unknown{
            "an instruction exits that cannot be read: the guest has changed it or its page "
            "tables"};
        return;
    }
    exit.instruction_length = instruction->length;
    if (!is_move) return;
    const std::uint64_t value = registers.*general_registers[instruction->source];
    exit.reason = move_to_register(exit.code, is_64_bit(vmcb().save) ? value : value & lower_half);
    if (std::holds_alternative<vmm::exit::Served>(exit.reason) ||
        std::holds_alternative<vmm::exit::Cr3Write>(exit.reason))
        skip_instruction(exit);
}

decltype(Exit::reason) SvmVcpu::move_to_register(std::uint64_t code, std::uint64_t value) {
    if (code == exit_code::write_cr8) return write_cr8(registers, value);
    if (code == exit_code::write_cr3) {
        flush_tlb();
        return write_cr3(vmcb().save, value, cpu_limits().physical_bits);
    }
    kern::arch::Breakpoints breakpoints = kern::arch::read_breakpoints();
    const auto reason = write_debug_register(
        vmcb().save, breakpoints, static_cast<unsigned>(code - exit_code::write_dr0), value);
    kern::arch::write_breakpoints(breakpoints);
    return reason;
}

[[gnu::hot]] void SvmVcpu::skip_instruction(const Exit& exit) {
    registers.rip += exit.instruction_length;
    if (!is_64_bit(vmcb().save)) registers.rip &= lower_half;
    registers.rflags &= ~rflags::resume;
    vmcb().control.interrupt_state &= ~interrupt_shadow;
    // The CPU steps over what it executes itself only.
    if ((registers.rflags & rflags::trap) == 0) return;
    vmcb().save.dr6 |= dr6::single_step;
    inject({.kind = Event::Kind::Exception, .vector = vector::debug});
}

}  // namespace vmm::svm

namespace vmm {

const Backend svm_backend{
    .name = "AMD SVM",
    .format = &npt_format,
    .cpuid_beyond_is_highest_basic = false,
    .why_unavailable = svm::why_unavailable,
    .start = svm::start,
    .enable_on_this_cpu = svm::enable_on_this_cpu,
    .create_vcpu = svm::create_vcpu,
};

}  // namespace vmm
