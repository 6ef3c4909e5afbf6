// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "kern/mm/frame_allocator.hh"
#include "vmm/backend.hh"
#include "vmm/probe.hh"
#include "vmm/processor_state.hh"
#include "vmm/svm/asid.hh"
#include "vmm/svm/code_reader.hh"
#include "vmm/svm/start_state.hh"
#include "vmm/svm/vmcb.hh"
#include "vmm/svm/world_switch.hh"

namespace vmm::svm {

/// A vCPU as SVM knows it: a VMCB, and what VMRUN leaves to us.
class SvmVcpu final : public VcpuBackend {
   public:
    /// `vmcb` is a frame of account vcpu, which this object gives back.
    SvmVcpu(kern::Frame vmcb, ProcessorState state, const GuestMemory& memory);

    void start_protected_mode(Gpa entry, std::uint32_t eax, std::uint32_t ebx) override;
    void start_real_mode(std::uint8_t vector) override;
    void set_optional_exits(const OptionalExits& wanted) override;
    SystemRegisters system_registers() const override;
    void set_efer(std::uint64_t value) override;
    void set_pat(std::uint64_t value) override;
    std::uint64_t tsc_offset() const override { return vmcb_->control.tsc_offset; }
    void set_tsc_offset(std::uint64_t offset) override { vmcb().control.tsc_offset = offset; }
    [[gnu::hot]] unsigned privilege_level() const override { return vmcb_->save.cpl; }
    void enter_cpu() override;
    void leave_cpu() override { state_.save(); }
    Exit run() override;
    bool can_inject_interrupt() const override;
    bool can_inject() const override;
    bool can_inject_nmi() const override;
    void inject(const Event& event) override;
    void request_interrupt_window(bool wanted) override;
    void skip_instruction(const Exit& exit) override;
    void flush_tlb() override {
        flush_requested_.store(tlb_control::flush_all);
        code_.forget();
    }

    /// See Probe.
    SwitchProbe& probe() { return probe_; }
    /// As the kernel sees it.
    Vmcb& vmcb() { return *vmcb_; }

   private:
    /// One instruction that the guest executes while its intercept is off, with TF set behind its
    /// back and all exceptions intercepted: however it ends, there is an exit right behind it.
    struct Step {
        std::uint32_t intercept = 0;  ///< its bit of the first word; 0: there is no step
        std::uint64_t rip = 0;        ///< of the instruction
        std::uint64_t dr6 = 0;        ///< the guest's
        bool by_guest = false;        ///< the guest has set TF itself
        Segment task{};               ///< TR before
    };

    void start(std::uint64_t rip);
    Exit take_exit(Entered entered, const std::optional<exit::EntryFailure>& suspicion);
    Entered enter();
    Entered enter_suspect();
    void keep_interrupted_event();
    void begin_step(std::uint32_t intercept);
    void end_step(Exit& exit);
    void take_back_step();
    void block_nmis(bool blocked);
    void take_instruction(Exit& exit);
    decltype(Exit::reason) move_to_register(std::uint64_t code, std::uint64_t value);

    kern::Frame frame_;
    Vmcb* vmcb_;
    CodeReader code_;
    ProcessorState state_;
    AsidTag asid_{};
    bool has_next_rip_;
    Hpa host_area_{};  // of the CPU that it is on
    SwitchProbe probe_{};
    std::uint64_t requested_at_ = 0;  // entries at the last request without a kick
    bool unproven_ = true;  // the host has changed what VMRUN checks since it was last accepted
    bool nmis_blocked_ = false;  // the handler of one runs; its IRET is intercepted
    std::uint32_t exceptions_ = intercepted_exceptions;  // that exit, but for a step
    Step step_{};
    std::atomic<std::uint8_t> flush_requested_{tlb_control::nothing};
};

}  // namespace vmm::svm
