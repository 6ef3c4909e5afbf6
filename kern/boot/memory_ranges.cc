// SPDX-License-Identifier: MIT
#include "kern/boot/memory_ranges.hh"

#include <algorithm>

namespace kern {

void MemoryRanges::add(const MemoryRange& range) {
    if (range.begin >= range.end) return;
    // Those that overlap or touch it become one with it, in the place of the first of them.
    std::size_t first = 0;
    while (first < size_ && ranges_[first].end < range.begin) ++first;
    std::size_t beyond = first;
    MemoryRange merged = range;
    for (; beyond < size_ && ranges_[beyond].begin <= range.end; ++beyond)
        merged = {std::min(merged.begin, ranges_[beyond].begin),
                  std::max(merged.end, ranges_[beyond].end)};
    if (first == beyond) {
        std::copy_backward(begin() + first, end(), ranges_.data() + size_ + 1);
        ++size_;
    } else {
        erase(first + 1, beyond - first - 1);
    }
    ranges_[first] = merged;
    if (size_ > capacity) round();
}

void MemoryRanges::round() {
    ++rounded_;
    std::size_t smallest = 0;
    if (rounding_ == Rounding::Down) {
        for (std::size_t i = 1; i < size_; ++i)
            if (ranges_[i].size() < ranges_[smallest].size()) smallest = i;
    } else {
        const auto gap_behind = [&](std::size_t i) {
            return ranges_[i + 1].begin - ranges_[i].end;
        };
        for (std::size_t i = 1; i + 1 < size_; ++i)
            if (gap_behind(i) < gap_behind(smallest)) smallest = i;
        ranges_[smallest + 1].begin = ranges_[smallest].begin;
    }
    erase(smallest, 1);
}

void MemoryRanges::erase(std::size_t index, std::size_t count) {
    std::copy(begin() + index + count, end(), ranges_.data() + index);
    size_ -= count;
}

}  // namespace kern
