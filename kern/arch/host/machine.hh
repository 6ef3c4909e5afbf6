// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kern/arch/host/fake.hh"

namespace kern::arch::fake {

/// A mapping of zeros that stands for physical memory.
class Arena {
   public:
    explicit Arena(std::size_t bytes);
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    std::byte* begin() const { return bytes_; }
    std::size_t size() const { return size_; }

   private:
    std::byte* bytes_;
    std::size_t size_;
};

/// A CPU of the fake machine: the thread that runs its work, and what may wake it.
struct Cpu {
    std::thread thread;
    std::atomic<bool> idle{true};
    bool interrupt_pending = false;  // under Machine::lock
    std::condition_variable interrupted;
    unsigned kicks = 0;
    std::atomic<std::uint64_t> relaxes{0};
    std::uint64_t timer_deadline = 0;
    std::map<std::uint32_t, std::uint64_t> msrs;
};

struct Port {
    std::uint32_t value = ~0U;
    std::function<std::uint32_t()> on_read;
    std::function<void(std::uint32_t)> on_write;
};

/// The state of the fake machine. `lock` guards all that is not atomic and that changes after
/// reset. The arena is read without it: a lock there would hide races from ThreadSanitizer.
struct Machine {
    explicit Machine(const Options& options)
        : arena{options.arena_bytes}, cpu_count{options.cpus} {}
    ~Machine() {
        for (Cpu& cpu : cpus) {
            if (cpu.thread.joinable()) cpu.thread.join();
        }
    }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    const Arena arena;
    const unsigned cpu_count;

    std::mutex lock;
    std::array<Cpu, max_cpus> cpus;
    std::map<std::uint16_t, Port> ports;
    std::vector<PortWrite> port_writes;
    std::map<std::uint32_t, std::function<void(std::uint64_t)>> on_msr_write;
    std::map<std::pair<std::uint32_t, std::uint32_t>, CpuidResult> cpuid;
    std::vector<std::uint64_t> shootdowns;
    std::function<void(std::uint64_t)> on_interrupt_and_wait;
    std::function<TrapFrame(const TrapFrame&)> on_enter_user;
    std::string console;
    std::atomic<std::uint64_t> timestamp{0};
    std::atomic<std::uint64_t> timestamp_step{1000};
};

/// The machine of the last reset; one with the default options if there was none.
Machine& machine();

///@{
/// With the machine's lock held.
void record_port_write(const PortWrite& write);
void record_shootdown(std::uint64_t cpus);
///@}

}  // namespace kern::arch::fake
