// SPDX-License-Identifier: MIT
#include "vmm/devices/x2apic.hh"

#include <algorithm>
#include <bit>

#include "vmm/devices/x2apic_registers.hh"

namespace vmm {
namespace {

using kern::Error;
using namespace x2apic;

constexpr std::uint32_t broadcast = ~0U;

/// The divider of the timer's clock: bits 3, 1 and 0 are a power of two beyond 2, and 7 means 1.
constexpr unsigned divider_shift(std::uint32_t value) {
    const std::uint32_t code = (value & 3) | (value & 8) >> 1;
    return (code + 1) % 8;
}
static_assert(divider_shift(0b0000) == 1 && divider_shift(0b1011) == 0 &&
              divider_shift(0b1010) == 7);

std::unexpected<Error> refuse() {
    return std::unexpected{Error::InvalidArgument};
}

template <class Words>
std::optional<std::uint8_t> highest(const Words& words) {
    for (unsigned index = word_count; index-- > 0;) {
        const std::uint32_t word = words[index];
        if (word != 0) return static_cast<std::uint8_t>(32 * index + 31 - std::countl_zero(word));
    }
    return std::nullopt;
}

}  // namespace

std::expected<std::uint64_t, Error> X2Apic::read(std::uint32_t msr, std::uint64_t now) const {
    if (msr - in_service_first < word_count) return in_service_[msr - in_service_first];
    if (msr - trigger_mode_first < word_count) return 0;  // everything here is edge-triggered
    if (msr - request_first < word_count) return requested_[msr - request_first].load();
    if (msr >= lvt_timer && msr <= lvt_last) return lvt_[msr - lvt_timer];
    switch (msr) {
        case id_register: return id_;
        case version_register: return version;
        case task_priority_register: return task_priority_;
        case processor_priority_register: return processor_priority();
        case logical_destination: return logical_id();
        case spurious_vector: return spurious_;
        case error_status: return 0;
        case interrupt_command: return command_;
        case timer_initial_count: return initial_count_;
        case timer_current_count: return remaining(now);
        case timer_divide: return divide_;
        default: return refuse();
    }
}

std::expected<std::optional<InterruptCommand>, Error> X2Apic::write(std::uint32_t msr,
                                                                    std::uint64_t value,
                                                                    std::uint64_t now) {
    if (msr != interrupt_command && value >> 32 != 0) return refuse();
    const auto low = static_cast<std::uint32_t>(value);
    if (msr >= lvt_timer && msr <= lvt_last) {
        if ((low & ~(msr == lvt_timer ? timer_defined : lvt_defined)) != 0) return refuse();
        advance_timer(now);  // what ran out while the entry was masked requests nothing later
        // Until the APIC is enabled by software, every entry stays masked [amd/vol2 16.4.7].
        lvt_[msr - lvt_timer] = (spurious_ & software_enable) != 0 ? low : low | lvt_masked;
        return std::nullopt;
    }
    switch (msr) {
        case task_priority_register:
            if (low > 0xff) return refuse();
            task_priority_ = static_cast<std::uint8_t>(low);
            return std::nullopt;
        case end_of_interrupt:
            if (low != 0) return refuse();
            if (const auto vector = highest_in_service())
                in_service_[*vector / 32] &= ~(1U << (*vector % 32));
            return std::nullopt;
        case spurious_vector:
            if ((low & ~spurious_defined) != 0) return refuse();
            spurious_ = low;
            if ((low & software_enable) == 0)
                for (std::uint32_t& entry : lvt_) entry |= lvt_masked;
            return std::nullopt;
        case error_status:
            if (low != 0) return refuse();
            return std::nullopt;
        case interrupt_command: return command(value);
        case timer_initial_count:
            initial_count_ = low;
            started_ = now;
            quiet_until_ = 0;
            running_ = low != 0;
            return std::nullopt;
        case timer_divide: {
            if ((low & ~0xbU) != 0) return refuse();
            // What is left of the period, in ticks, goes on at the new pace.
            const std::uint64_t passed = initial_count_ - remaining(now);
            divide_ = low;
            started_ = now - (passed << divider_shift(divide_));
            return std::nullopt;
        }
        case self_interrupt:
            if (low > vector_mask) return refuse();
            return InterruptCommand{.to = InterruptCommand::To::Self,
                                    .vector = static_cast<std::uint8_t>(low)};
        default: return refuse();
    }
}

std::expected<std::optional<InterruptCommand>, Error> X2Apic::command(std::uint64_t value) {
    if ((value & ~command_defined) != 0) return refuse();
    command_ = value;
    InterruptCommand result{.to = static_cast<InterruptCommand::To>((value >> shorthand_shift) & 3),
                            .vector = static_cast<std::uint8_t>(value),
                            .logical = (value & command_logical) != 0,
                            .destination = static_cast<std::uint32_t>(value >> destination_shift)};
    switch ((value >> delivery_shift) & delivery_mask) {
        case delivery_fixed: result.kind = InterruptCommand::Kind::Fixed; break;
        case delivery_nmi: result.kind = InterruptCommand::Kind::NonMaskable; break;
        case delivery_init:
            // The de-assert that old protocols send after INIT does nothing.
            if ((value & command_level) != 0 && (value & command_assert) == 0) return std::nullopt;
            result.kind = InterruptCommand::Kind::Init;
            break;
        case delivery_startup: result.kind = InterruptCommand::Kind::Startup; break;
        default: return std::nullopt;  // SMI and reserved modes reach nobody
    }
    return result;
}

bool X2Apic::is_addressed(const InterruptCommand& command, std::uint32_t sender) const {
    switch (command.to) {
        case InterruptCommand::To::Self: return id_ == sender;
        case InterruptCommand::To::All: return true;
        case InterruptCommand::To::AllButSelf: return id_ != sender;
        case InterruptCommand::To::Destination: break;
    }
    if (command.destination == broadcast) return true;
    if (!command.logical) return command.destination == id_;
    if (mode_ == Mode::Xapic) return is_in_logical_page(command.destination);
    constexpr std::uint32_t cluster = 0xffff'0000;
    return ((command.destination ^ logical_id()) & cluster) == 0 &&
           (command.destination & logical_id() & ~cluster) != 0;
}

void X2Apic::post(std::uint8_t vector) {
    if (vector < first_legal_vector) return;  // an illegal vector is dropped [amd/vol2 16.4.6]
    requested_[vector / 32].fetch_or(1U << (vector % 32));
}

std::optional<std::uint8_t> X2Apic::highest_request() const {
    return highest(requested_);
}
std::optional<std::uint8_t> X2Apic::highest_in_service() const {
    return highest(in_service_);
}

std::uint8_t X2Apic::processor_priority() const {
    // [amd/vol2 16.6.4]
    const auto in_service = highest_in_service();
    const unsigned service_class = in_service ? *in_service >> class_shift : 0;
    if (task_priority_ >> class_shift >= static_cast<int>(service_class)) return task_priority_;
    return static_cast<std::uint8_t>(service_class << class_shift);
}

std::optional<std::uint8_t> X2Apic::deliverable() const {
    const auto vector = highest_request();
    if (!vector || *vector >> class_shift <= processor_priority() >> class_shift)
        return std::nullopt;
    return vector;
}

bool X2Apic::is_held_by_task_priority() const {
    const auto vector = highest_request();
    if (!vector || deliverable()) return false;
    const auto in_service = highest_in_service();
    return !in_service || *in_service >> class_shift < *vector >> class_shift;
}

void X2Apic::accept(std::uint8_t vector) {
    requested_[vector / 32].fetch_and(~(1U << (vector % 32)));
    in_service_[vector / 32] |= 1U << (vector % 32);
}

std::uint64_t X2Apic::period() const {
    return std::uint64_t{initial_count_} << divider_shift(divide_);
}

bool X2Apic::is_periodic() const {
    return (lvt_[0] & timer_periodic) != 0;
}

bool X2Apic::is_requested(std::uint8_t vector) const {
    return (requested_[vector / 32].load() & 1U << (vector % 32)) != 0;
}

std::uint64_t X2Apic::remaining(std::uint64_t now) const {
    if (!running_) return 0;
    const std::uint64_t passed = now - started_;
    if (!is_periodic() && passed >= period()) return 0;
    return (period() - passed % period()) >> divider_shift(divide_);
}

std::uint64_t X2Apic::next_interrupt() const {
    const std::uint64_t end_of_period = started_ + period();
    const bool is_too_fast = is_periodic() && period() < shortest_period_ns;
    return is_too_fast ? std::max(end_of_period, quiet_until_) : end_of_period;
}

void X2Apic::advance_running_timer(std::uint64_t now) {
    if (now < next_interrupt()) return;
    if ((lvt_[0] & lvt_masked) == 0) post(static_cast<std::uint8_t>(lvt_[0] & vector_mask));
    // Periods that went by unseen count once: the request register has one bit for them.
    if (is_periodic()) {
        started_ = now - (now - started_) % period();
        quiet_until_ = now + shortest_period_ns;
    } else {
        running_ = false;
    }
}

std::optional<std::uint64_t> X2Apic::deadline_of_running_timer() const {
    const auto vector = static_cast<std::uint8_t>(lvt_[0] & vector_mask);
    if ((lvt_[0] & lvt_masked) != 0 || vector < first_legal_vector || is_requested(vector))
        return std::nullopt;
    return next_interrupt();
}

void X2Apic::reset() {
    for (auto& word : requested_) word.store(0);
    in_service_ = {};
    task_priority_ = 0;
    spurious_ = spurious_at_reset;
    lvt_.fill(lvt_masked);
    command_ = 0;
    divide_ = 0;
    initial_count_ = 0;
    running_ = false;
    page_logical_id_ = 0;
    page_destination_format_ = ~0U;
}

}  // namespace vmm
