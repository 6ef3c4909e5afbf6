// SPDX-License-Identifier: MIT
#include "vmm/devices/io_apic.hh"

#include <optional>

namespace vmm {
namespace {

constexpr std::uint64_t index_offset = 0x00, data_offset = 0x10;

// Registers by index.
constexpr std::uint32_t id_register = 0x00, version_register = 0x01, arbitration_register = 0x02,
                        first_entry = 0x10;
constexpr std::uint32_t version = (IoApic::lines - 1) << 16 | 0x11;
constexpr std::uint32_t id_bits = 0x0f00'0000;

// An entry of the redirection table.
constexpr std::uint64_t vector_bits = 0xff;
constexpr unsigned delivery_shift = 8, destination_shift = 56;
constexpr std::uint64_t delivery_bits = 7;
constexpr std::uint64_t delivery_fixed = 0, delivery_lowest_priority = 1, delivery_nmi = 4;
constexpr std::uint64_t logical = 1U << 11;
/// All but delivery status (12) and remote IRR (14), which are the IO-APIC's own, and 0 here.
constexpr std::uint64_t entry_bits = 0xff00'0000'0001'afff;

constexpr std::uint64_t lower_half = 0xffff'ffff;

/// What the entry makes of an edge; nothing: nobody gets it.
std::optional<InterruptCommand> command_of(std::uint64_t entry) {
    InterruptCommand command{
        .vector = static_cast<std::uint8_t>(entry & vector_bits),
        .logical = (entry & logical) != 0,
        .destination = X2Apic::wide_destination(entry >> destination_shift),
    };
    switch (entry >> delivery_shift & delivery_bits) {
        case delivery_fixed: break;
        case delivery_lowest_priority: command.kind = InterruptCommand::Kind::LowestPriority; break;
        case delivery_nmi: command.kind = InterruptCommand::Kind::NonMaskable; break;
        default: return std::nullopt;
    }
    return command;
}

}  // namespace

std::expected<std::uint64_t, Error> IoApic::read(const MmioAccess& access) {
    if (access.size != sizeof(std::uint32_t)) return std::unexpected{Error::Unsupported};
    const kern::LockGuard guard{lock_};
    switch (access.offset) {
        case index_offset: return index_;
        case data_offset: return read_register();
        default: return std::unexpected{Error::Unsupported};
    }
}

std::expected<void, Error> IoApic::write(const MmioAccess& access, std::uint64_t value) {
    if (access.size != sizeof(std::uint32_t)) return std::unexpected{Error::Unsupported};
    const kern::LockGuard guard{lock_};
    switch (access.offset) {
        case index_offset: index_ = static_cast<std::uint32_t>(value & 0xff); return {};
        case data_offset: write_register(static_cast<std::uint32_t>(value)); return {};
        default: return std::unexpected{Error::Unsupported};
    }
}

std::uint32_t IoApic::read_register() const {
    if (index_ == id_register || index_ == arbitration_register) return id_;
    if (index_ == version_register) return version;
    if (index_ < first_entry || index_ >= first_entry + 2 * lines) return 0;
    const std::uint64_t entry = entries_[(index_ - first_entry) / 2];
    return static_cast<std::uint32_t>(index_ % 2 == 0 ? entry : entry >> 32);
}

void IoApic::write_register(std::uint32_t value) {
    if (index_ == id_register) id_ = value & id_bits;
    if (index_ < first_entry || index_ >= first_entry + 2 * lines) return;
    std::uint64_t& entry = entries_[(index_ - first_entry) / 2];
    entry = index_ % 2 == 0 ? (entry & ~lower_half) | value
                            : (entry & lower_half) | std::uint64_t{value} << 32;
    entry &= entry_bits;
}

void IoApic::raise(unsigned line) {
    std::uint64_t entry = 0;
    {
        const kern::LockGuard guard{lock_};
        entry = entries_[line];
    }
    if ((entry & masked) != 0) return;
    if (const auto command = command_of(entry)) send_(context_, *command);
}

}  // namespace vmm
