// SPDX-License-Identifier: MIT
#include "vmm/vmx/vcpu.hh"

#include <cstring>
#include <new>
#include <utility>

#include "kern/arch/arch.hh"
#include "kern/lib/panic.hh"
#include "vmm/frame_owners.hh"
#include "vmm/paging/entry_format.hh"
#include "vmm/vmx/events.hh"
#include "vmm/vmx/exits.hh"
#include "vmm/vmx/instructions.hh"
#include "vmm/vmx/start_state.hh"
#include "vmm/vmx/system_registers.hh"

namespace vmm::vmx {
namespace {

namespace arch = kern::arch;

constexpr std::uint64_t lower_half = 0xffff'ffff;
/// The bits of DR6 that the exit qualification of a #DB has too [intel/vol3c table 28-1].
constexpr std::uint64_t debug_causes = 0x600f;
/// A guest that was entered with IF = 0 is taken off its CPU this many times a second.
constexpr std::uint64_t preemptions_per_second = 10'000;
constexpr std::uint64_t longest_timer = 0xffff'ffff;
constexpr unsigned priority_shift = 4;
/// In an EPT pointer, with write-back (6): a memory type that there is not [intel/vol3c 25.6.11].
constexpr std::uint64_t reserved_memory_type = 1;

/// What arm_preemption_timer writes for a guest with IF = 0.
std::uint64_t short_timer() {
    return (arch::timestamp_rate() / preemptions_per_second >>
            cpu_limits().capabilities.preemption_timer_shift) +
           1;
}

/// Whether an exit may have come while the CPU brought an event to the guest: not if an instruction
/// asked for it, or an interrupt between two.
[[gnu::hot]] bool may_interrupt_an_event(std::uint32_t reason) {
    switch (reason) {
        case exit_reason::external_interrupt:
        case exit_reason::cpuid:
        case exit_reason::hlt:
        case exit_reason::vmcall:
        case exit_reason::io_instruction:
        case exit_reason::rdmsr:
        case exit_reason::wrmsr: return false;
        default: return true;
    }
}

std::expected<std::unique_ptr<VcpuBackend>, Error> create_vcpu(const GuestMemory& memory) {
    if (const auto enabled = enable_on_this_cpu(); !enabled)
        return std::unexpected{enabled.error()};
    auto vmcs = kern::Frame::allocate(frame_owner::vcpu);
    if (!vmcs) return std::unexpected{vmcs.error()};
    auto virtual_apic = kern::Frame::allocate(frame_owner::vcpu);
    if (!virtual_apic) return std::unexpected{virtual_apic.error()};
    auto state = ProcessorState::create();
    if (!state) return std::unexpected{state.error()};
    std::unique_ptr<VcpuBackend> vcpu{new (std::nothrow) VmxVcpu{
        std::move(*vmcs), std::move(*virtual_apic), std::move(*state), memory.table_root()}};
    if (!vcpu) return std::unexpected{Error::OutOfMemory};
    return vcpu;
}

}  // namespace

template <class Work>
auto VmxVcpu::with_vmcs(Work work) const {
    if (entered_) {
        kern::check(cpu_ == arch::cpu_index(), "VMX: a vCPU is asked on a CPU that it is not on");
        return work();
    }
    struct Loaded {
        explicit Loaded(Hpa vmcs) : address{vmcs} {
            kern::check(enable_on_this_cpu().has_value(), "VMXON failed");
            interrupts = arch::disable_interrupts();
            before = make_current(address);
        }
        Loaded(const Loaded&) = delete;
        Loaded& operator=(const Loaded&) = delete;
        ~Loaded() {
            clear(address);
            make_current(before);
            arch::restore_interrupts(interrupts);
        }
        Hpa address;
        Hpa before{};
        bool interrupts = false;
    };
    const Loaded loaded{frame_.address()};
    return work();
}

VmxVcpu::VmxVcpu(kern::Frame vmcs, kern::Frame virtual_apic, ProcessorState state, Hpa table_root)
    : frame_{std::move(vmcs)},
      virtual_apic_{std::move(virtual_apic)},
      state_{std::move(state)},
      virtual_tpr_{arch::direct_map(virtual_apic_.address()) + virtual_tpr_offset},
      ept_pointer_{ept_pointer(table_root)},
      primary_{controls().primary},
      short_timer_{short_timer()},
      dr6_{dr6::reset} {
    probe_.control_block = frame_.address();
    const std::uint32_t revision = cpu_limits().capabilities.revision;
    std::memcpy(arch::direct_map(frame_.address()), &revision, sizeof(revision));
    clear(frame_.address());
    with_vmcs([&] {
        set_controls(vmcs_, controls(),
                     {.table_root = table_root,
                      .io_map = io_map(),
                      .msr_map = msr_map(),
                      .virtual_apic = virtual_apic_.address()});
        vmcs_.write(Field::preemption_timer_value, timer_);
    });
}

void VmxVcpu::start(std::uint64_t rip) {
    registers = {.cr8 = registers.cr8};
    last_ = {};
    registers.rip = rip;
    registers.rflags = rflags::reserved_one;
    dr6_ = dr6::reset;
    if (entered_) vmx_write_dr6(dr6_);
    state_.reset_breakpoints();
    registers_are_written_ = false;
    set_primary_control(primary_control::interrupt_window_exiting, false);
    set_primary_control(primary_control::nmi_window_exiting, false);
    flush_tlb();  // CR0 and CR3 have changed behind the TLB's back
}

void VmxVcpu::start_protected_mode(Gpa entry, std::uint32_t eax, std::uint32_t ebx) {
    with_vmcs([&] {
        set_protected_mode(vmcs_, entry);
        start(entry.value());
    });
    registers.rax = eax;
    registers.rbx = ebx;
}

void VmxVcpu::start_real_mode(std::uint8_t vector) {
    with_vmcs([&] {
        set_real_mode(vmcs_, vector);
        start(0);
    });
}

SystemRegisters VmxVcpu::system_registers() const {
    return with_vmcs([&] { return read_system_registers(vmcs_, env_.cr2); });
}

void VmxVcpu::set_optional_exits(const OptionalExits& wanted) {
    with_vmcs([&] {
        set_primary_control(primary_control::cr3_load_exiting, wanted.cr3_writes);
        vmcs_.write(Field::exception_bitmap,
                    exiting_exceptions | (wanted.page_faults ? 1U << vector::page_fault : 0));
    });
}

void VmxVcpu::set_efer(std::uint64_t value) {
    with_vmcs([&] { set_guest_efer(vmcs_, value); });
    flush_tlb();  // NXE changes what entries mean
}

void VmxVcpu::set_pat(std::uint64_t value) {
    with_vmcs([&] { vmcs_.write(Field::guest_pat, value); });
    flush_tlb();
}

std::uint64_t VmxVcpu::tsc_offset() const {
    return with_vmcs([&] { return vmcs_.read(Field::tsc_offset); });
}

void VmxVcpu::set_tsc_offset(std::uint64_t offset) {
    with_vmcs([&] { vmcs_.write(Field::tsc_offset, offset); });
}

[[gnu::hot]] unsigned VmxVcpu::privilege_level() const {
    return privilege_level_of(last_.ss_access_rights);
}

[[gnu::hot]] void VmxVcpu::flush_what_is_stale() {
    Flush flush = vpids_->assign(vpid_);
    if (flush != Flush::Nothing) vmcs_.write(Field::virtual_processor_identifier, vpid_.vpid);
    if (flush_requested_.load() && flush_requested_.exchange(false) && flush == Flush::Nothing)
        flush = Flush::Table;
    bool done = true;
    if (flush == Flush::Table) done = vmx_invept(invalidate::single_context, ept_pointer_);
    if (flush == Flush::Everything)
        done = vmx_invept(invalidate::all_contexts, 0) && vmx_invvpid(invalidate::all_contexts, 0);
    kern::check(done, "INVEPT or INVVPID failed");
}

[[gnu::hot]] void VmxVcpu::write_registers() {
    const auto write = [this](Field field, std::uint64_t& there, std::uint64_t value) {
        if (registers_are_written_ && there == value) return;
        vmcs_.write(field, value);
        there = value;
    };
    write(Field::guest_rsp, last_.rsp, registers.rsp);
    write(Field::guest_rip, last_.rip, registers.rip);
    write(Field::guest_rflags, last_.rflags, registers.rflags);
    registers_are_written_ = true;
}

[[gnu::hot]] void VmxVcpu::arm_preemption_timer() {
    // Bochs lets no interrupt of the host end the run of a guest that was entered with IF = 0 until
    // that has executed CLI itself.
    const bool interruptible = (registers.rflags & rflags::interrupt_enable) != 0;
    const std::uint64_t wanted = interruptible ? longest_timer : short_timer_;
    if (wanted == timer_) return;
    timer_ = wanted;
    vmcs_.write(Field::preemption_timer_value, timer_);
}

/// Makes the CPU refuse this entry, if it is the one; see SwitchProbe.
[[gnu::hot]] void VmxVcpu::spoil_if_wanted() {
    constexpr std::uint64_t very_often = 1ULL << 32;
    const bool resumes = env_.env_runs != 0;
    if (!probe_.spoils_next_entry() || (!resumes && probe_.spoiled_entry != 1)) return;
    vmcs_.write(Field::ept_pointer, ept_pointer_ | reserved_memory_type);
    if (resumes) env_.env_runs = very_often;
}

[[gnu::hot, gnu::flatten]] Exit VmxVcpu::run() {
    *virtual_tpr_ = static_cast<std::byte>(registers.cr8 << priority_shift);
    flush_what_is_stale();
    write_registers();
    arm_preemption_timer();
    spoil_if_wanted();
    const Entered entered = vmx_asm_vmrun(&registers, &env_, &return_requested_);
    registers.cr8 = std::to_integer<std::uint64_t>(*virtual_tpr_) >> priority_shift;
    Exit exit = entered == Entered::AndLeft ? take_exit() : stay(entered);
    // One that ended the guest's run is taken by the host right here.
    arch::restore_interrupts(true);
    return exit;
}

SwitchProbe& VmxVcpu::probe() {
    probe_.account.host_rsp_wanted = env_.host_rsp_wanted;
    probe_.account.host_rsp_found = env_.host_rsp_found;
    return probe_;
}

/// The guest has not been entered, because of a request or a refusal.
Exit VmxVcpu::stay(Entered entered) {
    if (entered == Entered::Not) {
        // Not tried; and the next entry may be a launch.
        if (probe_.spoiled_entry != 0) vmcs_.write(Field::ept_pointer, ept_pointer_);
        return {.reason = exit::ExternalInterrupt{},
                .rip = registers.rip,
                .code = exit_reason::external_interrupt};
    }
    if (entered == Entered::HostRspWrong) ++probe_.account.host_rsp_mismatches;
    if (entered == Entered::FailValid)
        probe_.account.instruction_error = vmcs_.read(Field::instruction_error);
    return {.reason = explain(entered), .rip = registers.rip, .code = exit_reason::entry_failure};
}

[[gnu::hot]] Exit VmxVcpu::take_exit() {
    ++probe_.account.entries;
    vmx_read_exit_fields(&last_);
    const std::uint64_t error = last_.instruction_error;
    Exit exit = decode_exit(last_, vmcs_, registers.rcx);
    const auto code = static_cast<std::uint32_t>(exit.code);
    if ((code & exit_reason::entry_failure) != 0) {
        --env_.env_runs;  // the VMCS is not launched by an entry that fails
        exit.rip = registers.rip;
        exit.reason = explain_entry_failure(vmcs_, cpu_limits(), code);
        return exit;
    }
    registers.rip = exit.rip;
    registers.rsp = last_.rsp;
    registers.rflags = last_.rflags;
    if (error != error_before_) {
        // The guest has run, but only at the second attempt.
        error_before_ = error;
        probe_.account.instruction_error = error;
        exit.reason =
            vmm::exit::EntryFailure{"VM-instruction error",
                                    "the CPU refused VMLAUNCH or VMRESUME before the other one "
                                    "entered the guest: the first "
                                    "entry since VMCLEAR is a launch, each later one a resume",
                                    error, "lab3.launch_or_resume"};
        return exit;
    }
    if (may_interrupt_an_event(code)) keep_interrupted_event(vmcs_);
    if ((registers.rflags & rflags::trap) != 0) forget_unfinished_step(vmcs_);
    switch (code) {
        case exit_reason::control_register_access:
            exit.reason =
                serve_control_register_access(vmcs_, registers, cpu_limits().physical_bits);
            if (std::holds_alternative<vmm::exit::Cr3Write>(exit.reason)) {
                flush_tlb();
                skip_instruction(exit);
            }
            break;
        case exit_reason::nmi_window:
            set_primary_control(primary_control::nmi_window_exiting, false);
            break;
        case exit_reason::exception_or_nmi:
            if (std::holds_alternative<vmm::exit::ExternalInterrupt>(exit.reason)) vmx_take_nmi();
            // A #DB that exits has not reached DR6 [intel/vol3c 28.1].
            if (const auto* exception = std::get_if<vmm::exit::Exception>(&exit.reason);
                exception != nullptr && exception->vector == vector::debug)
                vmx_write_dr6((vmx_read_dr6() & ~std::uint64_t{0xf}) |
                              (exit.information[0] & debug_causes));
            break;
        default: break;
    }
    return exit;
}

exit::EntryFailure VmxVcpu::explain(Entered entered) const {
    if (entered == Entered::HostRspWrong)
        return {"host RSP", "it must hold what the stack pointer holds at the entry",
                env_.host_rsp_found, "lab3.host_rsp"};
    const std::uint64_t error = vmcs_.read(Field::instruction_error);
    // There is a current VMCS, so VMfailInvalid is none of the CPU's; nor is a failure without
    // number.
    if (entered != Entered::FailValid || error == 0)
        return {"guest RIP", "the guest did not move: neither VMLAUNCH nor VMRESUME was executed",
                registers.rip, "lab3.launch_or_resume"};
    return explain_instruction_error(vmcs_, cpu_limits(), static_cast<std::uint32_t>(error));
}

bool VmxVcpu::can_inject() const {
    return !has_event(vmcs_);
}

bool VmxVcpu::can_inject_nmi() const {
    // With virtual NMIs the CPU itself knows when an NMI's handler runs.
    constexpr std::uint64_t blocking = interruptibility::shadow | interruptibility::blocking_by_nmi;
    return can_inject() && (vmcs_.read(Field::guest_interruptibility_state) & blocking) == 0;
}

bool VmxVcpu::can_inject_interrupt() const {
    return (registers.rflags & rflags::interrupt_enable) != 0 && can_inject() &&
           (vmcs_.read(Field::guest_interruptibility_state) & interruptibility::shadow) == 0;
}

void VmxVcpu::inject(const Event& event) {
    inject_event(vmcs_, event);
    if (event.cr2) env_.cr2 = *event.cr2;
    if (event.kind == Event::Kind::NonMaskableInterrupt)
        set_primary_control(primary_control::nmi_window_exiting, true);
}

[[gnu::hot]] void VmxVcpu::set_primary_control(std::uint32_t control, bool wanted) {
    const std::uint32_t value = wanted ? primary_ | control : primary_ & ~control;
    if (value == primary_) return;
    primary_ = value;
    vmcs_.write(Field::primary_controls, value);
}

void VmxVcpu::request_interrupt_window(bool wanted) {
    set_primary_control(primary_control::interrupt_window_exiting, wanted);
}

[[gnu::hot]] void VmxVcpu::skip_instruction(const Exit& exit) {
    const std::uint64_t from = registers.rip;
    registers.rip += exit.instruction_length;
    if (from <= lower_half && registers.rip > lower_half && !is_64_bit(vmcs_))
        registers.rip &= lower_half;
    registers.rflags &= ~rflags::resume;
    // Nobody has begun a shadow since the exit, but one may have ended.
    if ((last_.interruptibility_state & interruptibility::shadow) != 0) {
        const std::uint64_t state = vmcs_.read(Field::guest_interruptibility_state);
        vmcs_.write(Field::guest_interruptibility_state, state & ~interruptibility::shadow);
    }
    if ((registers.rflags & rflags::trap) == 0) return;
    vmx_write_dr6(vmx_read_dr6() | dr6::single_step);
    inject({.kind = Event::Kind::Exception, .vector = vector::debug});
}

}  // namespace vmm::vmx

namespace vmm {

const Backend vmx_backend{
    .name = "Intel VMX",
    .format = &ept_format,
    .cpuid_beyond_is_highest_basic = true,
    .why_unavailable = vmx::why_unavailable,
    .start = vmx::start,
    .enable_on_this_cpu = vmx::enable_on_this_cpu,
    .create_vcpu = vmx::create_vcpu,
};

}  // namespace vmm
