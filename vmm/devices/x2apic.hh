// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <optional>

#include "kern/lib/error.hh"

namespace vmm {

/// An interrupt command, as a CPU writes it into its ICR [amd/vol2 16.5, 16.13].
struct InterruptCommand {
    /// The delivery mode. LowestPriority: one of those that are addressed, here the first.
    enum class Kind : std::uint8_t { Fixed, LowestPriority, NonMaskable, Init, Startup };
    /// The destination shorthand, in the order of its encoding.
    enum class To : std::uint8_t { Destination, Self, All, AllButSelf };
    Kind kind = Kind::Fixed;        ///< what is sent
    To to = To::Destination;        ///< to whom
    std::uint8_t vector = 0;        ///< for Startup: the page where the CPU starts
    bool logical = false;           ///< `destination` is a logical one
    std::uint32_t destination = 0;  ///< an x2APIC identifier, or a cluster and a mask; ~0: everyone
};

/// The local APIC of one vCPU, reached by MSRs 0x800 to 0x8ff [amd/vol2 16.11], or in xAPIC mode by
/// a page of memory with the same registers [amd/vol2 16.3]. Pure logic: times come as arguments in
/// ns, and interrupts to other vCPUs are handed back. Who calls looks at mode(): every method
/// serves every mode. All methods belong to the CPU that runs the vCPU, except post() and
/// has_request().
class X2Apic {
   public:
    /// The timer's clock before the divider, in kHz: a tick is 1 ns.
    static constexpr std::uint32_t timer_khz = 1'000'000;
    /// A periodic timer whose period is shorter than this, in ns, interrupts only so often: the
    /// periods that end meanwhile count once. Else a guest that asks for an interrupt each ns would
    /// do nothing but answer it.
    static constexpr std::uint64_t shortest_period_ns = 200'000;

    /// `id` is its x2APIC identifier.
    explicit X2Apic(std::uint32_t id) : id_{id} {}

    /// What RDMSR returns at time `now`. Error: InvalidArgument, for which the CPU raises \#GP.
    std::expected<std::uint64_t, kern::Error> read(std::uint32_t msr, std::uint64_t now) const;
    /// What WRMSR does; a write to the ICR gives back the command to deliver.
    /// Error: InvalidArgument, for which the CPU raises \#GP.
    std::expected<std::optional<InterruptCommand>, kern::Error> write(std::uint32_t msr,
                                                                      std::uint64_t value,
                                                                      std::uint64_t now);

    // The page of xAPIC mode: registers of 32 bits, at multiples of 16. What differs from the MSRs
    // is the identifier (8 bits, in 31:24), that the ICR has two halves (0x310 has the destination;
    // a write to 0x300 sends), and that each CPU chooses its logical destination (LDR, DFR).
    // Nothing is refused for its value: reserved registers are 0, reserved bits and what is
    // read-only are not written.

    /// What a load of 4 bytes finds at `offset` of the page. Error: Unsupported (no register begins
    /// there).
    std::expected<std::uint32_t, kern::Error> read_page(std::uint64_t offset,
                                                        std::uint64_t now) const;
    /// What a store of 4 bytes does; a write to 0x300 gives back the command to deliver. Error:
    /// Unsupported, likewise.
    std::expected<std::optional<InterruptCommand>, kern::Error> write_page(std::uint64_t offset,
                                                                           std::uint32_t value,
                                                                           std::uint64_t now);
    /// An x2APIC's destination for one of 8 bits: 255 means everyone.
    static constexpr std::uint32_t wide_destination(std::uint64_t destination) {
        constexpr std::uint64_t everyone = 0xff;
        return destination == everyone ? ~0U : static_cast<std::uint32_t>(destination);
    }

    /// How its registers are reached [amd/vol2 16.9].
    enum class Mode : std::uint8_t {
        Disabled,  ///< not at all: it is off
        Xapic,     ///< in a page of memory
        X2apic,    ///< by MSRs
    };
    /// At first X2apic, as firmware may leave it. INIT does not change it.
    Mode mode() const { return mode_; }
    /// One that is disabled forgets its state, as after a reset.
    void set_mode(Mode mode) {
        if (mode == Mode::Disabled) reset();
        mode_ = mode;
    }

    /// Its x2APIC identifier.
    std::uint32_t id() const { return id_; }
    /// Cluster in the upper half, one bit of 16 in the lower.
    std::uint32_t logical_id() const { return ((id_ >> 4) << 16) | (1U << (id_ & 0xf)); }
    /// Whether `command` of the APIC `sender` is for this one.
    bool is_addressed(const InterruptCommand& command, std::uint32_t sender) const;

    /// Any CPU: `vector` was sent here.
    void post(std::uint8_t vector);
    /// Any CPU: whether any vector waits, deliverable or not. Asked before each entry: quick.
    bool has_request() const {
        const auto word = [this](std::size_t index) { return requested_[index].load(); };
        static_assert(words == 8);
        return (word(0) | word(1) | word(2) | word(3) | word(4) | word(5) | word(6) | word(7)) != 0;
    }

    /// The vector to deliver next: the highest one requested, if its class is above the processor
    /// priority. Does not look at RFLAGS.IF.
    std::optional<std::uint8_t> deliverable() const;
    /// Whether a vector waits for nothing but a lower task priority.
    bool is_held_by_task_priority() const;
    /// The CPU takes `vector`: it moves from requested to in service.
    void accept(std::uint8_t vector);

    /// Task priority, 0 to 255; CR8 is its upper half.
    std::uint8_t task_priority() const { return task_priority_; }
    /// See task_priority().
    void set_task_priority(std::uint8_t priority) { task_priority_ = priority; }

    /// If the timer has run out by `now`, requests its interrupt (unless masked) and rearms it if
    /// periodic.
    void advance_timer(std::uint64_t now) {
        if (running_) advance_running_timer(now);
    }
    /// When the timer will request its next interrupt, in ns: in the past if advance_timer() is
    /// due. Nothing if it is stopped or masked, and none while the last one waits still, or if its
    /// vector is an illegal one: a request would change nothing.
    std::optional<std::uint64_t> timer_deadline() const {
        return running_ ? deadline_of_running_timer() : std::nullopt;
    }

    /// Back to the state after INIT; identifiers are kept.
    void reset();

   private:
    static constexpr std::size_t words = 8;
    static constexpr std::size_t lvt_count = 6;
    static constexpr std::uint32_t lvt_masked = 1U << 16;
    static constexpr std::uint32_t spurious_at_reset = 0xff;

    std::expected<std::optional<InterruptCommand>, kern::Error> command(std::uint64_t value);
    bool is_in_logical_page(std::uint32_t destination) const;
    std::uint8_t processor_priority() const;
    std::optional<std::uint8_t> highest_request() const;
    std::optional<std::uint8_t> highest_in_service() const;
    std::uint64_t period() const;  // of the timer, in ns
    std::uint64_t remaining(std::uint64_t now) const;
    std::uint64_t next_interrupt() const;  // of the timer, while it runs
    void advance_running_timer(std::uint64_t now);
    std::optional<std::uint64_t> deadline_of_running_timer() const;
    bool is_periodic() const;
    bool is_requested(std::uint8_t vector) const;

    std::uint32_t id_;
    Mode mode_ = Mode::X2apic;
    std::array<std::atomic<std::uint32_t>, words> requested_{};  // IRR
    std::array<std::uint32_t, words> in_service_{};              // ISR
    std::uint8_t task_priority_ = 0;
    std::uint32_t spurious_ = spurious_at_reset;
    std::array<std::uint32_t, lvt_count> lvt_{lvt_masked, lvt_masked, lvt_masked,
                                              lvt_masked, lvt_masked, lvt_masked};
    std::uint64_t command_ = 0;
    std::uint32_t divide_ = 0;
    std::uint32_t initial_count_ = 0;
    std::uint64_t started_ = 0;      // ns; when the present period began, or an earlier one
    std::uint64_t quiet_until_ = 0;  // ns; see shortest_period_ns
    bool running_ = false;
    std::uint32_t page_logical_id_ = 0;            // LDR of xAPIC mode, bits 31:24
    std::uint32_t page_destination_format_ = ~0U;  // DFR of xAPIC mode, bits 31:28
};

}  // namespace vmm
