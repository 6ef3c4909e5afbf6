// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kern/arch/explore/explore.hh"
#include "kern/arch/host/fake.hh"
#include "vmm/tests/support/walker.hh"

/// What the explored cases of labs share: names for what lies in memory, and a verdict.
namespace vmm::test {

/// `0x...000`: a frame's address in words.
inline std::string frame_name(std::uint64_t frame) {
    std::string digits;
    for (; frame != 0; frame /= 16) digits.insert(digits.begin(), "0123456789abcdef"[frame % 16]);
    return "frame 0x" + digits;
}

/// What lies at `at` in the fake machine's memory: an entry of this table, or a frame. Empty if it
/// is elsewhere.
inline std::string name_in_memory(const TableInMemory& table, const void* at) {
    const auto* const begin = kern::arch::direct_map(kern::arch::fake::arena_begin);
    const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(at) - begin);
    const std::uint64_t address = kern::arch::fake::arena_begin.value() + offset;
    if (!kern::arch::fake::is_memory(kern::Hpa{address})) return {};
    const std::uint64_t frame = address & ~std::uint64_t{0xfff};
    std::vector<std::uint64_t> tables{table.root};
    for (unsigned level = 4; level >= 1 && !tables.empty(); --level) {
        std::vector<std::uint64_t> below;
        for (const std::uint64_t one : tables) {
            if (one == frame)
                return "entry " + std::to_string(address % 0x1000 / 8) + " of a level-" +
                       std::to_string(level) + " table";
            for (unsigned index = 0; index < 512; ++index) {
                const WalkedEntry entry = entry_at(one, index, table.is_ept);
                if (entry.present() && !(level < 4 && entry.large()) &&
                    kern::arch::fake::is_memory(kern::Hpa{entry.address()}))
                    below.push_back(entry.address());
            }
        }
        tables = std::move(below);
    }
    return frame_name(frame);
}

/// Whether nothing is broken in any schedule; the story of the first in which something is.
inline ::testing::AssertionResult holds(kern::explore::Exploration& exploration,
                                        unsigned preemptions = 2) {
    const auto result = exploration.run(preemptions);
    if (result.holds && result.story.empty()) {
        ::testing::Test::RecordProperty("schedules", static_cast<int>(result.schedules));
        return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << result.story;
}

}  // namespace vmm::test
