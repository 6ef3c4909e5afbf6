// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/sync/spin_lock.hh"
#include "vmm/devices/line_writer.hh"
#include "vmm/devices/mmio_bus.hh"

namespace vmm {

class IoApic;

/// A console of our own, whose registers are in memory: the smallest device that a driver can talk
/// to. What the guest writes is printed by whole lines, with the VM's name before them. Safe on
/// several CPUs.
///
/// | offset | size | register |
/// |---|---|---|
/// | 0x00 | 1, 2, 4, 8 | data: each byte that is written, the lowest one first, is a character; reads as 0 |
/// | 0x08 | 4 | status, read-only: bit 0 is 1, ready; bits 31:8 count the characters, modulo 2^24 |
/// | 0x0c | 4 | control: bit 0: behind each write of data, line `line` of the IO-APIC is raised |
/// | 0x10 to 0x17 | 1, 2, 4, 8, aligned | scratch: 8 bytes that mean nothing |
class MmioConsole final : public MmioDevice {
   public:
    /// Where it is.
    static constexpr Gpa address{0xfe00'0000};
    /// Bytes of its registers.
    static constexpr std::uint64_t bytes = 0x18;
    /// Its line of the IO-APIC.
    static constexpr unsigned line = 5;

    /// Gives each line to `sink`, with `context`; raises its line at `io_apic`.
    MmioConsole(LineSink sink, void* context, IoApic& io_apic)
        : io_apic_{io_apic}, line_{sink, context} {}

    /// See the table; anything else is Unsupported.
    std::expected<std::uint64_t, Error> read(const MmioAccess& access) override;
    std::expected<void, Error> write(const MmioAccess& access, std::uint64_t value) override;

    /// Prints a line that has no end yet.
    void flush();

   private:
    IoApic& io_apic_;
    kern::SpinLock lock_;  // guards what follows
    LineWriter line_;
    std::uint32_t characters_ = 0;
    std::uint32_t control_ = 0;
    std::uint64_t scratch_ = 0;
};

}  // namespace vmm
