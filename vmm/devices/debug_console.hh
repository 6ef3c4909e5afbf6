// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/sync/spin_lock.hh"
#include "vmm/devices/line_writer.hh"

namespace vmm {

/// The port to which one writes a byte to have it printed, as QEMU and Bochs have it: without a
/// rate, a state, or anything to wait for. What a guest sends is printed by whole lines, with the
/// VM's name before them. Safe on several CPUs.
class DebugConsole {
   public:
    /// Its port. It reads as its own number, by which kernels find out that it is there.
    static constexpr std::uint16_t port = 0xe9;

    /// Gives each line to `sink`, with `context`.
    DebugConsole(LineSink sink, void* context) : line_{sink, context} {}

    /// What OUT of one byte does.
    void write(std::uint8_t value) {
        const kern::LockGuard guard{lock_};
        line_.put(static_cast<char>(value));
    }
    /// Prints a line that has no end yet.
    void flush() {
        const kern::LockGuard guard{lock_};
        line_.flush();
    }

   private:
    kern::SpinLock lock_;  // guards what follows
    LineWriter line_;
};

}  // namespace vmm
