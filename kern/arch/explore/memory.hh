// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace kern::explore {

/// A set of held locks, one bit each. The 64th and all further locks share a bit.
using Locks = std::uint64_t;

/// What schedules do with memory, word by word (8 bytes): which CPUs touched it, and what it held
/// before.
class Memory {
   public:
    /// Addresses.
    using Ranges = std::vector<std::pair<std::uintptr_t, std::uintptr_t>>;  // first, beyond last

    /// Forgets everything. Words in `restored` are put back by restore().
    explicit Memory(Ranges restored) : restored_{std::move(restored)} {}

    /// A new schedule begins: nobody has touched anything.
    void begin() {
        ++schedule_;
        saved_.clear();
    }
    /// CPU `cpu`, which holds `held`, is about to read or write these bytes.
    void note(std::uintptr_t at, std::size_t bytes, bool write, unsigned cpu, Locks held);
    /// Puts back what the schedule has written.
    void restore();

    /// Whether it matters when a CPU touches these bytes: in some schedule so far two CPUs did, at
    /// least one of them wrote, and no lock was held whenever they did.
    bool in_conflict(std::uintptr_t at, std::size_t bytes) const;
    /// Whether two CPUs touched one of these words in this schedule, and one wrote.
    bool shared_now(std::uintptr_t at, std::size_t bytes) const;
    /// Words that came to be in conflict since the start: while it grows, there is more to try.
    std::size_t conflicts() const { return conflicts_; }

   private:
    struct Word {
        Locks always_held = ~0ULL;   // by whoever touched it, in all schedules
        std::uint32_t schedule = 0;  // the last that touched it, for the next three
        std::uint8_t readers = 0;    // CPUs, one bit each
        std::uint8_t writers = 0;
        bool saved = false;
        bool conflict = false;
    };
    static constexpr std::uintptr_t page_bytes = 4096;
    using Page = std::array<Word, page_bytes / 8>;
    /// The words of the page that holds `at`; null if nobody has touched it yet.
    Page* find(std::uintptr_t at) const;
    Page& page(std::uintptr_t at);
    /// Whether `is(word)` for a word of these bytes.
    template <class Is>
    bool any_word(std::uintptr_t at, std::size_t bytes, Is is) const;
    bool is_restored(std::uintptr_t at) const;

    Ranges restored_;
    std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;  // by number
    mutable std::uintptr_t last_number_ = 0;
    mutable Page* last_ = nullptr;  // the one found last
    std::size_t conflicts_ = 0;
    std::uint32_t schedule_ = 0;
    std::vector<std::pair<std::uintptr_t, std::uint64_t>> saved_;
};

}  // namespace kern::explore
