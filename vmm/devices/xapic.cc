// SPDX-License-Identifier: MIT
// The local APIC's page of registers.
#include "vmm/devices/x2apic.hh"
#include "vmm/devices/x2apic_registers.hh"

namespace vmm {
namespace {

using kern::Error;
using namespace x2apic;

constexpr std::uint64_t distance = 16;  // from one register to the next
constexpr std::uint64_t last_offset = 0x3f0;
constexpr unsigned identifier_shift = 24;  // where 8 bits of an APIC stand in a register
constexpr std::uint32_t identifier_bits = 0xffU << identifier_shift;
constexpr std::uint32_t format_bits = 0xf000'0000;
constexpr std::uint64_t command_lower_half = 0xffff'ffff;

/// The bits of a register that a guest may set; the other ones are not looked at.
std::uint32_t writable(std::uint32_t msr) {
    if (msr >= lvt_timer && msr <= lvt_last) return msr == lvt_timer ? timer_defined : lvt_defined;
    switch (msr) {
        case task_priority_register: return 0xff;
        case spurious_vector: return spurious_defined;
        case timer_initial_count: return ~0U;
        case timer_divide: return 0b1011;
        case interrupt_command: return static_cast<std::uint32_t>(command_defined);
        default: return 0;  // EOI and the error status: whatever is written does the same
    }
}

}  // namespace

std::expected<std::uint32_t, Error> X2Apic::read_page(std::uint64_t offset,
                                                      std::uint64_t now) const {
    if (offset % distance != 0 || offset > last_offset) return std::unexpected{Error::Unsupported};
    const auto msr = first_register + static_cast<std::uint32_t>(offset / distance);
    switch (msr) {
        case id_register: return id_ << identifier_shift;
        case logical_destination: return page_logical_id_;
        case destination_format: return page_destination_format_;
        case command_high:
            return static_cast<std::uint32_t>(command_ >> destination_shift) << identifier_shift;
        default: return static_cast<std::uint32_t>(read(msr, now).value_or(0));
    }
}

std::expected<std::optional<InterruptCommand>, Error> X2Apic::write_page(std::uint64_t offset,
                                                                         std::uint32_t value,
                                                                         std::uint64_t now) {
    if (offset % distance != 0 || offset > last_offset) return std::unexpected{Error::Unsupported};
    const auto msr = first_register + static_cast<std::uint32_t>(offset / distance);
    switch (msr) {
        case logical_destination: page_logical_id_ = value & identifier_bits; return std::nullopt;
        case destination_format:
            page_destination_format_ = value | ~format_bits;
            return std::nullopt;
        case command_high:
            command_ = (command_ & command_lower_half) | std::uint64_t{value >> identifier_shift}
                                                             << destination_shift;
            return std::nullopt;
        case interrupt_command: {
            auto sent = command((command_ & ~command_lower_half) | (value & writable(msr)));
            if (sent && *sent) (*sent)->destination = wide_destination((*sent)->destination);
            return sent;
        }
        case self_interrupt: return std::nullopt;  // the page has none
        default: break;
    }
    // What a value cannot be wrong about is read-only, or not there.
    return write(msr, value & writable(msr), now).value_or(std::nullopt);
}

/// The two models of a logical destination [amd/vol2 16.6.1].
bool X2Apic::is_in_logical_page(std::uint32_t destination) const {
    const std::uint32_t own = page_logical_id_ >> identifier_shift;
    if ((page_destination_format_ & format_bits) == format_bits) return (own & destination) != 0;
    constexpr std::uint32_t cluster = 0xf0, members = 0x0f;
    return ((own ^ destination) & cluster) == 0 && (own & destination & members) != 0;
}

}  // namespace vmm
