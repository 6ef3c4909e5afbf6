// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "vmm/backend.hh"
#include "vmm/devices/x2apic.hh"
#include "vmm/exits/decode_access.hh"

namespace vmm {

class Vm;

/// Why a vCPU's exit ends its VM.
struct ExitFailure {
    const char* reason;            ///< in words; a constant
    std::optional<Error> error{};  ///< of the pager, if a page could not be served; of a device
    std::optional<UndecodedInstruction> instruction{};  ///< that the host should have done
};
/// What an exit handler returns: go on, or the reason to end the VM.
using Handled = std::expected<void, ExitFailure>;

/// How often what is optional has exited (OptionalExits).
struct OptionalExitCounts {
    std::uint64_t cr3_writes = 0;   ///< MOV to CR3
    std::uint64_t page_faults = 0;  ///< the guest's own
};

/// The last exits of a vCPU, for reports.
class ExitHistory {
   public:
    /// How many exits are kept.
    static constexpr std::size_t capacity = 32;
    /// The newest exit is what `run` returns; the oldest one is forgotten.
    template <class Run>
    const Exit& add(Run run) {
        // In its place from the start: an Exit is large.
        Exit& place = *new (&ring_[count_ % capacity]) Exit(run());
        ++count_;
        return place;
    }
    /// All exits so far, forgotten ones too.
    std::uint64_t count() const { return count_; }
    /// How many exits are kept now.
    std::size_t size() const { return count_ < capacity ? count_ : capacity; }
    /// The exit `age` exits ago: 0 is the last one, below size().
    const Exit& back(std::size_t age) const { return ring_[(count_ - 1 - age) % capacity]; }

   private:
    std::array<Exit, capacity> ring_{};
    std::uint64_t count_ = 0;
};

/// A virtual CPU: the vendor's part, its local APIC, and the loop that runs it.
class Vcpu {
   public:
    /// vCPU number `index` of `vm`, waiting for its start.
    Vcpu(Vm& vm, unsigned index, std::unique_ptr<VcpuBackend> backend);

    /// Runs the vCPU on this CPU until its VM ends. `limit_ns` after the start (0: never) it ends
    /// the VM as stopped.
    void run(std::uint64_t limit_ns);

    // The same in slices, which may be on one CPU or another: enter(), step() as long as it returns
    // true, leave(). To be called with interrupts enabled, on one CPU, by nobody else meanwhile.

    /// The vCPU comes to this CPU, for a slice that ends at `until` in nanoseconds since boot (0:
    /// never). Returns false, and the VM ends, if virtualization could not be turned on here.
    bool enter(std::uint64_t until);
    /// Runs the guest up to its next exit and handles that, or sleeps until there is something to
    /// do. Returns false if the VM ends, or the slice is over.
    bool step();
    /// The vCPU leaves this CPU.
    void leave();
    /// The CPU on which it is, between enter() and leave().
    std::optional<unsigned> cpu() const;
    /// Any CPU: takes the vCPU out of the guest, or wakes it, if it is on another CPU.
    void kick() const;

    ///@{
    /// What it belongs to and what it is made of.
    Vm& vm() { return *vm_; }
    unsigned index() const { return index_; }
    VcpuBackend& backend() { return *backend_; }
    const VcpuBackend& backend() const { return *backend_; }
    Registers& registers() { return backend_->registers; }
    X2Apic& apic() { return apic_; }
    const ExitHistory& history() const { return history_; }
    OptionalExitCounts& optional_exits() { return optional_exits_; }
    const OptionalExitCounts& optional_exits() const { return optional_exits_; }
    ///@}

    /// The guest executed HLT.
    void halt() { activity_ = Activity::Halted; }
    /// The first vCPU runs from the start; the others wait for a startup IPI.
    void make_runnable() { activity_ = Activity::Running; }
    /// The APIC's timer was set: what the host's timer waits for must be worked out again.
    void timer_changed() { clock_changed_ = true; }
    ///@{
    /// Nested faults that were handed to the guest's memory. Returns whether the last one was on
    /// the same page.
    bool count_nested_fault(Gpa page) {
        ++nested_faults_;
        return std::exchange(last_fault_, page) == page;
    }
    std::uint64_t nested_faults() const { return nested_faults_; }
    ///@}

    ///@{
    /// Any CPU: what other vCPUs ask of this one. Wake it afterwards: Vm::send does.
    void post_init() { init_pending_.store(true); }
    void post_startup(std::uint8_t vector) { startup_pending_.store(startup_valid | vector); }
    void post_nmi() { nmi_pending_.store(true); }
    ///@}

   private:
    enum class Activity : std::uint8_t { WaitingForStartup, Halted, Running };
    static constexpr std::uint32_t startup_valid = 0x100;

    void take_requests();
    void look_at_clock();
    bool should_wake();
    void deliver_interrupts();
    void request_window(bool wanted);
    void sleep();
    void enter_guest();
    Exit run_guest();

    Vm* vm_;
    unsigned index_;
    std::unique_ptr<VcpuBackend> backend_;
    X2Apic apic_;
    ExitHistory history_{};
    OptionalExitCounts optional_exits_{};
    Activity activity_ = Activity::WaitingForStartup;
    static constexpr unsigned no_cpu = ~0U;
    std::atomic<unsigned> cpu_{no_cpu};
    std::uint64_t until_ = 0;  // the slice's end, in ns of this CPU's clock; 0: none
    bool slice_over_ = false;
    std::uint64_t armed_for_ = 0;  // when the host's timer goes off, in ns; 0: off
    bool clock_changed_ = true;    // the timer may have to be armed anew
    bool may_have_event_ = true;   // an NMI or a vector may be waiting: look
    bool wants_window_ = false;    // of the backend; it may have forgotten that by itself
    bool polls_priority_ = false;  // an interrupt waits for CR8, whose writes do not exit
    std::uint64_t nested_faults_ = 0;
    Gpa last_fault_{~0ULL};  // a page's first byte; at first none's
    std::atomic<bool> init_pending_{false};
    std::atomic<bool> nmi_pending_{false};
    std::atomic<std::uint32_t> startup_pending_{0};
};

}  // namespace vmm
