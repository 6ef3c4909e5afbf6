// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>

#include "kern/arch/arch.hh"
#include "kern/sync/spin_lock.hh"
#include "vmm/apic_page.hh"
#include "vmm/backend.hh"
#include "vmm/devices/debug_console.hh"
#include "vmm/devices/io_apic.hh"
#include "vmm/devices/mmio_bus.hh"
#include "vmm/devices/mmio_console.hh"
#include "vmm/devices/uart16550.hh"
#include "vmm/guest_memory.hh"
#include "vmm/refusal.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// How a virtual machine ended.
struct VmResult {
    /// Who ended it.
    enum class End : std::uint8_t {
        Exited,   ///< by hypercall, with `status`
        Failed,   ///< the host ended it; a report was printed
        Stopped,  ///< the time limit
    };
    End end = End::Failed;         ///< who ended it
    std::uint64_t status = 0;      ///< what the guest gave to the exit hypercall
    const char* reason = "";       ///< in words, if it failed; a constant
    std::optional<Error> error{};  ///< of the pager, if a page could not be served; of a device
    std::optional<UndecodedInstruction> instruction{};  ///< that the host should have done
    unsigned vcpu = 0;                                  ///< which vCPU ended it
};

/// Watches a VM. Methods are called on the CPU of the vCPU, on several CPUs at once, with
/// interrupts enabled and no lock held.
class VmObserver {
   public:
    virtual ~VmObserver() = default;
    /// A nested page fault on `page` is about to be served.
    virtual void before_fault_is_served(Gpa page, unsigned vcpu) = 0;
    /// The guest executed hypercall `mark` with `value`.
    virtual void mark(std::uint64_t value, unsigned vcpu) = 0;
};

/// A virtual machine: its memory, and one or more vCPUs. Where run() runs it, vCPU n is on CPU n.
class Vm {
   public:
    /// vCPUs of one VM at most.
    static constexpr unsigned max_vcpus = 8;

    /// What create() makes.
    struct Options {
        std::string_view name;    ///< stands before each line it prints; copied, 31 characters
        unsigned vcpu_count = 1;  ///< 1 to the number of CPUs
        std::uint64_t time_limit_ms = 0;  ///< from run() on; 0: none
        VmObserver* observer = nullptr;   ///< outlives the VM
        bool hypercalls = true;           ///< they are served; otherwise the first one ends the VM
        bool open_ports = false;  ///< a port that no device serves reads as all ones and takes any
                                  ///< write; otherwise the first access to one ends the VM
        OptionalExits exits{};    ///< what exits beside that which must
        bool x2apic = true;  ///< the vCPUs have an x2APIC and begin in its mode; otherwise CPUID
                             ///< tells of none, and they begin in xAPIC mode
    };

    /// Whether this machine can run VMs; turns virtualization on if so. `backend` outlives every
    /// VM. Takes the frames that it needs for good, so call it before you count frames. Otherwise
    /// the reason in words.
    static std::expected<void, const char*> prepare(const Backend& backend);

    /// A VM over `memory`, which outlives it, with vCPUs that wait for their start: who makes it
    /// puts the first one where it begins, and calls its make_runnable(). Nothing is written into
    /// the guest's memory. prepare() must have succeeded.
    static std::expected<std::unique_ptr<Vm>, Refusal> create(GuestMemory& memory,
                                                              const Options& options);
    /// What was given to prepare(); nullptr before.
    static const Backend* prepared();

    /// All its vCPUs have stopped.
    ~Vm();
    Vm(const Vm&) = delete;
    Vm& operator=(const Vm&) = delete;

    /// Runs the guest to its end, on CPU 0 (the caller's) and as many others as it has vCPUs. Once
    /// only. When it returns no CPU runs a vCPU of this VM. A failure has been reported on the
    /// console.
    VmResult run();

    ///@{
    /// What it is made of.
    std::string_view name() const { return name_.data(); }
    GuestMemory& memory() { return *memory_; }
    bool serves_hypercalls() const { return hypercalls_; }
    bool has_open_ports() const { return open_ports_; }
    bool has_x2apic() const { return x2apic_; }
    const Backend& backend() const { return *backend_; }
    VmObserver* observer() { return observer_; }
    Uart16550& uart() { return uart_; }
    DebugConsole& debug_console() { return debug_console_; }
    MmioBus& mmio() { return mmio_; }
    unsigned vcpu_count() const { return vcpu_count_; }
    Vcpu& vcpu(unsigned index) { return *vcpus_[index]; }
    const Vcpu& vcpu(unsigned index) const { return *vcpus_[index]; }
    ///@}

    /// Prints the lines that have no end yet.
    void flush_lines() {
        uart_.flush();
        debug_console_.flush();
        mmio_console_.flush();
    }
    /// Prints a line of the guest's under the name of `vm`: a LineSink.
    static void print_line(void* vm, std::string_view line);

    ///@{
    /// Sums over all vCPUs, exact once run() has returned.
    std::uint64_t exits() const;
    std::uint64_t nested_faults() const;
    OptionalExitCounts optional_exits() const;
    ///@}

    /// Ends the VM; the first to call this decides the result. Every vCPU leaves its run loop soon.
    /// Any CPU.
    void end(const VmResult& result);
    /// Whether end() was called.
    bool ending() const { return ending_.load(std::memory_order_acquire); }
    /// How it ended. No vCPU runs, and ending() is true.
    const VmResult& result() const { return result_; }

    /// Delivers what a vCPU wrote into its interrupt command register.
    void send(const InterruptCommand& command, unsigned sender);
    /// Called by a vCPU that found nothing to do, before it sleeps. Ends the VM if nothing can wake
    /// any of its vCPUs. `has_alarm`: its own timer will wake it. Returns false if something has
    /// come up meanwhile: do not sleep.
    bool may_sleep(unsigned index, bool has_alarm);

   private:
    Vm(GuestMemory& memory, const Options& options);

    static void shoot_down(void* vm);
    static void send_from_device(void* vm, const InterruptCommand& command);
    static void run_vcpu(void* vcpu);
    void wake(unsigned index);

    std::array<char, 32> name_{};
    const Backend* backend_;
    GuestMemory* memory_;
    VmObserver* observer_;
    bool hypercalls_;
    bool open_ports_;
    bool x2apic_;
    IoApic io_apic_;
    Uart16550 uart_;
    DebugConsole debug_console_;
    ApicPage apic_page_{*this};
    MmioConsole mmio_console_;
    MmioBus mmio_{};
    unsigned vcpu_count_;
    std::uint64_t time_limit_ns_;
    std::array<std::unique_ptr<Vcpu>, max_vcpus> vcpus_{};

    std::atomic<bool> ending_{false};
    std::atomic<unsigned> running_{0};  // vCPUs in their run loop
    kern::SpinLock lock_;               // guards what follows
    bool ended_ = false;
    VmResult result_{};
    std::uint64_t asleep_ = 0;  // bit n: vCPU n sleeps, and only another vCPU can wake it
};

/// Prints why `vm` failed: the exit in words, the registers and the bytes at RIP of the vCPU that
/// failed, the error, and the last exits of every vCPU. No vCPU may be running.
void report(Vm& vm, const VmResult& result);

}  // namespace vmm
