// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "fixture.hh"
#include "labs/unit_threads.hh"

namespace lab {

/// No condition below takes longer than this, unless the answer is wrong: then the test goes on, so
/// that it can say what it saw.
inline constexpr std::chrono::seconds wait_limit{4};

/// Waits until `condition` holds; false if the limit came first. It reads relaxed atomics only, so
/// that waiting orders nothing and ThreadSanitizer sees races behind it.
template <class Condition>
bool wait_until(Condition condition, std::chrono::milliseconds limit = wait_limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::yield();
    }
    return true;
}

/// What one CPU did with one fault.
struct Fault {
    std::expected<void, Error> result{};
    Signal begun, returned;
};

/// A page that is filled by a function, whose fills a test can hold and fail one by one.
class ScriptedPage {
   public:
    explicit ScriptedPage(Bytes bytes) : bytes_{std::move(bytes)} {}

    /// Called in each fill, on the filling CPU, with the fill's number from 1 on; false makes it
    /// fail. To be set before other threads run.
    std::function<bool(unsigned number)> script;

    vmm::PageLoader loader() {
        return {.fill =
                    [](void* page, Gpa, std::span<std::byte, kern::page_size> frame) {
                        return static_cast<ScriptedPage*>(page)->fill(frame);
                    },
                .context = this};
    }
    const Bytes& bytes() const { return bytes_; }
    unsigned fills() const { return begun_.count(); }
    /// Whether CPU `cpu` has begun a fill.
    bool filled_by(unsigned cpu) const { return by_cpu_[cpu].raised(); }

   private:
    bool fill(std::span<std::byte, kern::page_size> frame) {
        by_cpu_[kern::arch::cpu_index()].raise();
        const unsigned number = number_.fetch_add(1, std::memory_order_relaxed) + 1;
        begun_.raise();
        const bool good = !script || script(number);
        std::ranges::copy(bytes_, frame.begin());
        return good;
    }

    Bytes bytes_;
    std::atomic<unsigned> number_{0};
    Signal begun_;
    std::array<Signal, kern::arch::max_cpus> by_cpu_;
};

/// Whether CPU `cpu` waits for another one, as far as can be seen from outside: it has said so to
/// the processor many times since `before`.
inline bool is_waiting(unsigned cpu, std::uint64_t before) {
    constexpr std::uint64_t many = 200;
    return kern::arch::fake::relaxes(cpu) >= before + many;
}

/// PagerTest with several CPUs. A frame that was lost is the affair of the cases that say so, by
/// frames_count().
class RaceTest : public PagerTest {
   protected:
    void TearDown() override {
        destroy_pager();
        if (frames_count_) PagerTest::TearDown();
    }
    void frames_count() { frames_count_ = true; }
    void SetUp() override {
        PagerTest::SetUp();
        make_pager();
        page_ = Gpa{random().page_between(0x100, 0x4000)};
    }
    Gpa page() const { return page_; }

    /// Takes a fault on `gpa`, on the calling CPU.
    void take(Fault& fault, Gpa gpa) {
        fault.begun.raise();
        fault.result = pager().load_page(gpa);
        fault.returned.raise();
    }
    /// Waits until the CPU with this fault can go no further before the first fill ends: it fills
    /// too, it waits, or it is back. A second fill is not asked for: an answer that lets the second
    /// CPU wait is as good. An answer that waits silently costs the (short) limit.
    void until_settled(unsigned cpu, const Fault& fault, const ScriptedPage& scripted) {
        const std::uint64_t before = kern::arch::fake::relaxes(cpu);
        constexpr std::chrono::milliseconds silent_wait{1500};
        wait_until([&] { return fault.begun.raised(); });
        wait_until(
            [&] {
                return fault.returned.raised() || scripted.filled_by(cpu) ||
                       is_waiting(cpu, before);
            },
            silent_wait);
    }

   private:
    Gpa page_;
    bool frames_count_ = false;
};

}  // namespace lab
