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
    for (std::uintptr_t one = first_word(at); one < at + bytes; one += word_bytes) {
        Word& touched = word(one);
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
    for (std::uintptr_t one = first_word(at); one < at + bytes; one += word_bytes)
        if (const Word* touched = find(one);
            touched && touched->conflict && touched->always_held == 0)
            return true;
    return false;
}

bool Memory::shared_now(std::uintptr_t at, std::size_t bytes) const {
    for (std::uintptr_t one = first_word(at); one < at + bytes; one += word_bytes)
        if (const Word* touched = find(one); touched && touched->schedule == schedule_ &&
                                             touched->always_held == 0 &&
                                             collide(touched->readers, touched->writers))
            return true;
    return false;
}

Memory::Word& Memory::word(std::uintptr_t at) {
    if (used_ * 2 > words_.size()) grow();
    std::size_t index = slot(at);
    while (words_[index].at != at && words_[index].at != 0)
        index = (index + 1) & (words_.size() - 1);
    if (words_[index].at == 0) {
        words_[index].at = at;
        ++used_;
    }
    return words_[index];
}

const Memory::Word* Memory::find(std::uintptr_t at) const {
    std::size_t index = slot(at);
    while (words_[index].at != at && words_[index].at != 0)
        index = (index + 1) & (words_.size() - 1);
    return words_[index].at == at ? &words_[index] : nullptr;
}

void Memory::grow() {
    std::vector<Word> old(words_.size() * 2);
    old.swap(words_);
    for (const Word& one : old) {
        if (one.at == 0) continue;
        std::size_t index = slot(one.at);
        while (words_[index].at != 0) index = (index + 1) & (words_.size() - 1);
        words_[index] = one;
    }
}

bool Memory::is_restored(std::uintptr_t at) const {
    for (const auto& [begin, end] : restored_)
        if (at >= begin && at < end) return true;
    return false;
}

}  // namespace kern::explore
