// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>

#include "kern/sync/spin_lock.hh"
#include "vmm/devices/mmio_bus.hh"
#include "vmm/devices/x2apic.hh"

namespace vmm {

/// An IO-APIC: turns the lines of devices into interrupts, as its redirection table says
/// [82093AA data sheet 3]. Two registers in memory, an index and the data behind it. The devices
/// here do not hold their lines: each raise() is one edge, also at an entry that is set to levels,
/// and a masked one is lost. Safe on several CPUs.
class IoApic final : public MmioDevice {
   public:
    /// Where a PC has its first one.
    static constexpr Gpa address{0xfec0'0000};
    /// Bytes of its registers.
    static constexpr std::uint64_t bytes = 0x20;
    /// How many lines it has.
    static constexpr unsigned lines = 24;

    /// Takes the interrupts.
    using Send = void (*)(void* context, const InterruptCommand& command);
    /// Gives each interrupt to `send`, with `context`.
    IoApic(Send send, void* context) : send_{send}, context_{context} {}

    /// IOREGSEL at 0x00 and IOWIN at 0x10, each accessed by 4 bytes. An index that means no
    /// register reads as 0, and is not written.
    std::expected<std::uint64_t, Error> read(const MmioAccess& access) override;
    std::expected<void, Error> write(const MmioAccess& access, std::uint64_t value) override;

    /// Any CPU: the device at `line`, below `lines`, wants an interrupt.
    void raise(unsigned line);

   private:
    static constexpr std::uint64_t masked = 1U << 16;

    std::uint32_t read_register() const;
    void write_register(std::uint32_t value);

    Send send_;
    void* context_;
    kern::SpinLock lock_;  // guards what follows
    std::uint32_t index_ = 0;
    std::uint32_t id_ = 0;
    std::array<std::uint64_t, lines> entries_ = [] {
        std::array<std::uint64_t, lines> all{};
        all.fill(masked);
        return all;
    }();
};

}  // namespace vmm
