// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>

#include "vmm/address.hh"
#include "vmm/exit.hh"
#include "vmm/guest_memory.hh"
#include "vmm/paging/entry_format.hh"
#include "vmm/registers.hh"
#include "vmm/x86.hh"

namespace vmm {

/// What the host makes happen in the guest before its next instruction.
struct Event {
    /// How it reaches the guest.
    enum class Kind : std::uint8_t { ExternalInterrupt, NonMaskableInterrupt, Exception };
    Kind kind = Kind::Exception;                ///< which of them
    std::uint8_t vector = 0;                    ///< for an NMI it is 2
    std::optional<std::uint32_t> error_code{};  ///< pushed, for the exceptions that have one
    std::optional<std::uint64_t> cr2{};         ///< of a page fault: the address, for CR2
};

/// What a guest does by itself, and what exits if the host wants to see it: none of it is needed here,
/// as the second-level tables translate.
struct OptionalExits {
    bool cr3_writes = false;   ///< MOV to CR3
    bool page_faults = false;  ///< the guest's own
};

/// One virtual CPU as the vendor's hardware knows it. Callers never see a VMCB or a VMCS.
///
/// All methods belong to the CPU that runs this vCPU, between enter_cpu() and leave_cpu() where
/// they say so; only request_return() and flush_tlb() may be called from any CPU.
class VcpuBackend {
   public:
    VcpuBackend() = default;
    VcpuBackend(const VcpuBackend&) = delete;
    VcpuBackend& operator=(const VcpuBackend&) = delete;
    virtual ~VcpuBackend() = default;

    /// The guest's registers while it does not run: read and change them between two run().
    Registers registers{};

    /// Puts the vCPU where a multiboot2 loader leaves a CPU: 32-bit protected mode, flat segments,
    /// paging and interrupts off, RIP at `entry`, EAX and EBX as given [multiboot2 3.3].
    virtual void start_protected_mode(Gpa entry, std::uint32_t eax, std::uint32_t ebx) = 0;
    /// Puts the vCPU where a startup IPI leaves a CPU: real mode at (vector << 12)
    /// [amd/vol2 14.1.2 and 16.5].
    virtual void start_real_mode(std::uint8_t vector) = 0;

    /// From the next entry on these exit; none at first.
    virtual void set_optional_exits(const OptionalExits& wanted) = 0;

    /// As they are while the guest does not run.
    virtual SystemRegisters system_registers() const = 0;
    /// Sets EFER as the guest wishes it; LMA stays as it is. The caller has checked the bits.
    virtual void set_efer(std::uint64_t value) = 0;
    /// The page attribute table. The caller has checked the types.
    virtual void set_pat(std::uint64_t value) = 0;
    /// The guest's time-stamp counter minus this machine's, modulo 2^64; 0 at first. Starts leave
    /// it as it is [amd/vol2 appendix B], [intel/vol3c 25.6.5].
    virtual std::uint64_t tsc_offset() const = 0;
    /// See tsc_offset().
    virtual void set_tsc_offset(std::uint64_t offset) = 0;
    /// CPL, 0 to 3: system_registers() has it too, but takes longer.
    virtual unsigned privilege_level() const = 0;

    /// Loads what the world switch does not: FPU and SSE state, XCR0, DR0 to DR3. To be called on
    /// the CPU that is going to run this vCPU, before the first run() there. It may be another CPU
    /// than last time; translations cached there for an earlier stay are not used.
    virtual void enter_cpu() = 0;
    /// Saves that state, and gives the CPU its own back, also the MSRs of SYSCALL and SWAPGS:
    /// programs in ring 3 may run here next.
    virtual void leave_cpu() = 0;

    /// Runs the guest until it exits. Called with interrupts disabled, so that none is lost between
    /// the caller's last look at the clock and the guest's first instruction; returns with them
    /// enabled. A physical interrupt ends the run and has been handled by the host when run()
    /// returns. Returns ExternalInterrupt without entering the guest if request_return() was called
    /// since acknowledge_requests().
    virtual Exit run() = 0;

    /// Whether an external interrupt can be injected now: RFLAGS.IF is set, no interrupt shadow,
    /// and no other event is waiting.
    virtual bool can_inject_interrupt() const = 0;
    /// Whether an exception can be injected now: no other event is waiting.
    virtual bool can_inject() const = 0;
    /// Whether an NMI can be injected now: no other event is waiting, and no handler of an NMI
    /// runs. When that one ends, there is an InterruptWindow exit.
    virtual bool can_inject_nmi() const = 0;
    /// Makes `event` happen when the guest is entered next. One event an entry: see can_inject.
    virtual void inject(const Event& event) = 0;
    /// Asks for an InterruptWindow exit as soon as the guest could take an interrupt (or no
    /// longer).
    virtual void request_interrupt_window(bool wanted) = 0;

    /// Completes the instruction that exited, as the CPU completes one: for exits whose instruction
    /// the host has done. RIP moves behind it, an interrupt shadow and RFLAGS.RF end, and a guest
    /// that steps (RFLAGS.TF) gets its debug exception. With an Exit::instruction_length of 0 RIP stays, and the
    /// rest happens. For CPUID, RDMSR, WRMSR, HLT, the hypercall, IN, OUT, INS, OUTS, accesses to devices in
    /// memory and IgnoredInstruction; no event may be waiting, see can_inject.
    virtual void skip_instruction(const Exit& exit) = 0;

    /// The guest's translations are flushed before the next instruction that it executes. Any CPU;
    /// if the guest may be running now, it must be interrupted afterwards, see
    /// kern::arch::interrupt_and_wait.
    virtual void flush_tlb() = 0;

    /// Any CPU: run() returns soon, if it is called before the next acknowledge_requests(). If the
    /// guest may be running now, kern::arch::kick its CPU afterwards.
    void request_return() { return_requested_.store(1); }
    /// To be called before looking at what was requested, so that no request is lost.
    void acknowledge_requests() { return_requested_.store(0); }
    /// Whether run() would return at once.
    bool return_requested() const { return return_requested_.load() != 0; }

   protected:
    /// Not 0: run() must not enter the guest. The world switch reads it with interrupts held back.
    std::atomic<std::uint32_t> return_requested_{0};
};

/// A vendor's virtualization hardware. The functions that follow `start` may be used after it.
struct Backend {
    std::string_view name;      ///< "AMD SVM"
    const EntryFormat* format;  ///< of its second-level tables
    /// How this vendor answers CPUID beyond the highest leaf, see CpuidPolicy.
    bool cpuid_beyond_is_highest_basic = false;
    /// Nothing if this machine has what we need, else the reason in words: "this CPU has no SVM".
    const char* (*why_unavailable)();
    /// Takes the frames that it needs for good (account kernel). Errors: OutOfMemory.
    std::expected<void, Error> (*start)();
    /// Turns virtualization on, on this CPU. May be repeated. Errors: Unsupported.
    std::expected<void, Error> (*enable_on_this_cpu)();
    /// A vCPU of the VM whose memory is `memory`, which outlives it; frames on account vcpu. Errors:
    /// OutOfMemory.
    std::expected<std::unique_ptr<VcpuBackend>, Error> (*create_vcpu)(const GuestMemory& memory);
};

/// AMD's Secure Virtual Machine [amd/vol2 15].
extern const Backend svm_backend;
/// Intel's Virtual Machine Extensions [intel/vol3c 24].
extern const Backend vmx_backend;

/// The backend of this machine, by CPUID. The error is why there is none, in words: a constant.
std::expected<const Backend*, const char*> find_backend();

}  // namespace vmm
