// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/clock.hh"

#include <algorithm>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/apic.hh"
#include "kern/arch/x86_64/guest.hh"
#include "kern/arch/x86_64/registers.hh"

namespace kern::arch {
namespace {

// Channel 2 of the 8254 PIT: the one whose gate software opens, and that interrupts nobody.
constexpr std::uint16_t pit_channel_2 = 0x42, pit_command = 0x43, pit_gate = 0x61;
constexpr std::uint8_t gate_on = 1, speaker_on = 2, channel_2_out = 1 << 5;
constexpr std::uint8_t no_device = 0xff;             // what a port gives that nobody has
constexpr std::uint8_t channel_2_count_down = 0xb0;  // mode 0, low byte then high byte
constexpr std::uint8_t latch_channel_2 = 0x80;
constexpr std::uint64_t pit_rate = 1'193'182;
constexpr std::uint16_t pit_start = 0xffff;
constexpr std::uint16_t shortest_measurement = 2400;  // PIT ticks, 2 ms: 0.1 % of error is 2 us
constexpr unsigned measurements = 20;                 // of which each may be held up

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t fastest_cpu = 8 * second;     // Hz
constexpr std::uint64_t emulated_apic_rate = second;  // QEMU's

std::uint64_t timestamp_hz = second;
std::uint64_t apic_hz = second;
std::uint64_t boot_timestamp = 0;
std::uint64_t ns_per_tick_32 = 1ULL << 32;  // nanoseconds a tick, with 32 bits after the point

/// One look at all three clocks.
struct Sample {
    std::uint64_t timestamp = 0;
    std::uint32_t apic_left = 0;
    std::uint16_t pit = 0;
    bool pit_ran_out = false;  ///< it has come to 0, and counts on from 0xffff
};
Sample first;

/// An emulator may lose its processor between two instructions, so the best of a few tries is
/// taken: the one whose readings lie closest together.
Sample take_sample() {
    constexpr unsigned tries = 5;
    Sample best;
    std::uint64_t best_width = ~0ULL;
    for (unsigned i = 0; i < tries; ++i) {
        Sample sample;
        const std::uint64_t before = timestamp();
        out8(pit_command, latch_channel_2);
        sample.timestamp = timestamp();
        sample.apic_left = apic::timer_left();
        const std::uint64_t width = timestamp() - before;
        const std::uint8_t low = in8(pit_channel_2);
        sample.pit = static_cast<std::uint16_t>(in8(pit_channel_2) << 8 | low);
        const std::uint8_t gate = in8(pit_gate);
        sample.pit_ran_out = gate != no_device && (gate & channel_2_out) != 0;
        if (width < best_width) {
            best_width = width;
            best = sample;
        }
    }
    return best;
}

/// Lets the PIT count down from pit_start, and takes `first`.
void start_counting() {
    apic::start_timer(~0U, true);
    out8(pit_gate, static_cast<std::uint8_t>((in8(pit_gate) & ~speaker_on) | gate_on));
    out8(pit_command, channel_2_count_down);
    out8(pit_channel_2, pit_start & 0xff);
    out8(pit_channel_2, pit_start >> 8);
    first = take_sample();
}

bool is_measured(const Sample& last) {
    return !last.pit_ran_out && first.pit >= last.pit + shortest_measurement;
}

/// Looks until enough has been counted, or the PIT has run out.
Sample finish_counting() {
    constexpr unsigned patience = 10'000;  // looks; a PIT that is not there never gets on
    Sample last = take_sample();
    for (unsigned i = 0; i < patience && !last.pit_ran_out && !is_measured(last); ++i)
        last = take_sample();
    return last;
}

void set_timestamp_rate(std::uint64_t hz) {
    timestamp_hz = hz != 0 ? hz : second;
    ns_per_tick_32 = (second << 32) / timestamp_hz;
}

}  // namespace

void clock::begin_measurement() {
    boot_timestamp = timestamp();
    if (const auto host = host_of_this_guest()) {
        set_timestamp_rate(host->timestamp_khz * 1000ULL);
        apic_hz = std::max(host->apic_timer_khz * 1000ULL, 1ULL);
        return;
    }
    start_counting();
}

void clock::finish_measurement() {
    if (host_of_this_guest()) return;
    Sample last = finish_counting();
    // The PIT runs out after 55 ms, and a busy host may hold up its emulator for longer than that.
    for (unsigned i = 1; i < measurements && last.pit_ran_out; ++i) {
        start_counting();
        last = finish_counting();
    }
    const std::uint64_t apic_ticks = first.apic_left - last.apic_left;
    const std::uint64_t ticks = last.timestamp - first.timestamp;
    apic::start_timer(0);
    if (is_measured(last)) {
        const std::uint64_t pit_ticks = first.pit - last.pit;
        set_timestamp_rate(ticks * pit_rate / pit_ticks);
        apic_hz = std::max(apic_ticks * pit_rate / pit_ticks, std::uint64_t{1});
    } else if (apic_ticks != 0) {
        // No PIT (QEMU's microvm): believe in the emulated APIC's rate.
        apic_hz = emulated_apic_rate;
        set_timestamp_rate(ticks * (emulated_apic_rate / 1000) / apic_ticks * 1000);
    }
}

bool clock::has_passed(std::uint64_t since, std::uint64_t ns) {
    return timestamp() - since > ns * (fastest_cpu / second);
}

std::uint64_t timestamp_rate() {
    return timestamp_hz;
}

[[gnu::hot]] std::uint64_t nanoseconds() {
    using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(
        (Wide{x86::read_timestamp() - boot_timestamp} * ns_per_tick_32) >> 32);
}

void set_timer(std::uint64_t nanoseconds) {
    if (nanoseconds == 0) {
        apic::start_timer(0);
        return;
    }
    // At least one tick, at most what the counter holds: a timer that comes early is asked for
    // again.
    const std::uint64_t longest = std::uint64_t{~0U} * second / apic_hz;
    const std::uint64_t bounded = std::min({nanoseconds, longest, 16 * second});
    const std::uint64_t ticks = bounded * (apic_hz / 1000) / (second / 1000);
    apic::start_timer(static_cast<std::uint32_t>(std::clamp<std::uint64_t>(ticks + 1, 1, ~0U)));
}

}  // namespace kern::arch
