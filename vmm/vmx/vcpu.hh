// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kern/mm/frame_allocator.hh"
#include "vmm/backend.hh"
#include "vmm/probe.hh"
#include "vmm/processor_state.hh"
#include "vmm/vmx/asid.hh"
#include "vmm/vmx/permission_map.hh"
#include "vmm/vmx/vmx.hh"
#include "vmm/vmx/world_switch.hh"

namespace vmm::vmx {

/// A vCPU as VMX knows it: a VMCS, and what VM entry and exit leave to us.
///
/// Between enter_cpu() and leave_cpu() its VMCS is current and active on that CPU; otherwise it is
/// cleared, and active nowhere.
class VmxVcpu final : public VcpuBackend {
   public:
    /// `vmcs` and `virtual_apic` are frames of account vcpu, which this object gives back.
    VmxVcpu(kern::Frame vmcs, kern::Frame virtual_apic, ProcessorState state, Hpa table_root);

    void start_protected_mode(Gpa entry, std::uint32_t eax, std::uint32_t ebx) override;
    void start_real_mode(std::uint8_t vector) override;
    void set_optional_exits(const OptionalExits& wanted) override;
    SystemRegisters system_registers() const override;
    void set_efer(std::uint64_t value) override;
    void set_pat(std::uint64_t value) override;
    std::uint64_t tsc_offset() const override;
    void set_tsc_offset(std::uint64_t offset) override;
    unsigned privilege_level() const override;
    void enter_cpu() override;
    void leave_cpu() override;
    Exit run() override;
    bool can_inject_interrupt() const override;
    bool can_inject() const override;
    bool can_inject_nmi() const override;
    void inject(const Event& event) override;
    void request_interrupt_window(bool wanted) override;
    void skip_instruction(const Exit& exit) override;
    void flush_tlb() override { flush_requested_.store(true); }

    /// See Probe.
    SwitchProbe& probe();

   private:
    /// Calls `work` while the VMCS is current.
    template <class Work>
    auto with_vmcs(Work work) const;
    void start(std::uint64_t rip);
    void write_host_state();
    void set_primary_control(std::uint32_t control, bool wanted);
    void flush_what_is_stale();
    void write_registers();
    void arm_preemption_timer();
    void spoil_if_wanted();
    Exit take_exit();
    Exit stay(Entered entered);
    exit::EntryFailure explain(Entered entered) const;

    kern::Frame frame_;
    kern::Frame virtual_apic_;
    ProcessorState state_;
    mutable CurrentVmcs vmcs_{};
    EnvState env_{};
    ExitFields last_{};       // at the last exit, and what was written since; zeros behind a start
    std::byte* virtual_tpr_;  // CR8 is its upper half
    SwitchProbe probe_{};
    bool registers_are_written_ = false;  // but for what differs between `registers` and last_
    VpidTag vpid_{};
    VpidAllocator* vpids_ = nullptr;  // of the CPU, while entered
    std::uint64_t ept_pointer_;
    bool entered_ = false;
    unsigned cpu_ = 0;           // while entered
    std::uint32_t primary_ = 0;  // the controls as the VMCS has them
    std::uint64_t short_timer_;
    std::uint64_t timer_ = 0;         // preemption timer value as the VMCS has it
    std::uint64_t dr6_;               // the guest's, while it is not entered
    std::uint64_t error_before_ = 0;  // the VM-instruction error that has been seen
    std::array<std::uint64_t, host_switched_msrs.size()> guest_msrs_{};
    std::array<std::uint64_t, host_switched_msrs.size()> host_msrs_{};
    std::atomic<bool> flush_requested_{false};
};

}  // namespace vmm::vmx
