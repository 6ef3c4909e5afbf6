// SPDX-License-Identifier: MIT
#include "kern/arch/explore/memory.hh"

namespace kern::explore {
namespace {

constexpr std::uintptr_t word_bytes = 8;

constexpr std::uintptr_t first_word(std::uintptr_t at) {
    return at & ~(word_bytes - 1);
}

/// Whether two CPUs are in the sets, and one of them writes.
constexpr bool collide(unsigned readers, unsigned writers) {
    const unsigned all = readers | writers;
    return writers != 0 && (all & (all - 1)) != 0;
}

}  // namespace

void Memory::note(std::uintptr_t at, std::size_t bytes, bool write, unsigned cpu, Locks held) {
    const auto mine = static_cast<std::uint8_t>(1U << cpu);
    const bool restore = write && is_restored(at);
    Page* words = nullptr;
    for (std::uintptr_t one = first_word(at); one < at + bytes; one += word_bytes) {
        if (!words || one % page_bytes == 0) words = &page(one);
        Word& touched = (*words)[one % page_bytes / word_bytes];
        if (touched.schedule != schedule_) {
            touched.schedule = schedule_;
            touched.readers = touched.writers = 0;
            touched.saved = false;
        }
        (write ? touched.writers : touched.readers) |= mine;
        if (restore && !touched.saved) {
            touched.saved = true;
            saved_.emplace_back(one, *reinterpret_cast<const std::uint64_t*>(one));
        }
        const bool was = touched.conflict && touched.always_held == 0;
        touched.always_held &= held;
        touched.conflict = touched.conflict || collide(touched.readers, touched.writers);
        if (!was && touched.conflict && touched.always_held == 0) ++conflicts_;
    }
}

void Memory::restore() {
    for (const auto& [at, value] : saved_) *reinterpret_cast<std::uint64_t*>(at) = value;
    saved_.clear();
}

bool Memory::in_conflict(std::uintptr_t at, std::size_t bytes) const {
    return any_word(at, bytes,
                    [](const Word& word) { return word.conflict && word.always_held == 0; });
}

bool Memory::shared_now(std::uintptr_t at, std::size_t bytes) const {
    return any_word(at, bytes, [this](const Word& word) {
        return word.schedule == schedule_ && word.always_held == 0 &&
               collide(word.readers, word.writers);
    });
}

template <class Is>
bool Memory::any_word(std::uintptr_t at, std::size_t bytes, Is is) const {
    const Page* words = nullptr;
    for (std::uintptr_t one = first_word(at); one < at + bytes; one += word_bytes) {
        if (!words || one % page_bytes == 0) words = find(one);
        if (words && is((*words)[one % page_bytes / word_bytes])) return true;
    }
    return false;
}

Memory::Page* Memory::find(std::uintptr_t at) const {
    const std::uintptr_t number = at / page_bytes;
    if (last_ && number == last_number_) return last_;
    const auto found = pages_.find(number);
    if (found == pages_.end()) return nullptr;
    last_number_ = number;
    return last_ = found->second.get();
}

Memory::Page& Memory::page(std::uintptr_t at) {
    if (Page* const known = find(at)) return *known;
    return *(pages_[at / page_bytes] = std::make_unique<Page>());
}

bool Memory::is_restored(std::uintptr_t at) const {
    for (const auto& [begin, end] : restored_)
        if (at >= begin && at < end) return true;
    return false;
}

}  // namespace kern::explore
