// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kern/lib/address.hh"

namespace kern {

/// Bytes of physical memory from `begin` up to, but not including, `end`.
struct MemoryRange {
    ///@{
    /// First byte, and one beyond the last.
    Hpa begin{}, end{};
    ///@}
    /// In bytes.
    constexpr std::uint64_t size() const { return end - begin; }
    /// The same bytes.
    constexpr bool operator==(const MemoryRange&) const = default;
};

/// A set of bytes of physical memory, as at most `capacity` ranges: ascending, disjoint, with a gap
/// between any two. Kept in place: the boot loader's tables are read before there is a heap.
///
/// A map may have more ranges than that. Then the set is rounded, to the side that its user can
/// live with.
class MemoryRanges {
   public:
    /// Ranges at most.
    static constexpr std::size_t capacity = 64;
    /// What becomes of a set with a range too many.
    enum class Rounding : std::uint8_t {
        Down,  ///< it loses its smallest range: no byte is in it that was not added
        Up,    ///< its smallest gap is closed: every byte that was added stays in it
    };

    /// An empty set.
    explicit constexpr MemoryRanges(Rounding rounding) : rounding_{rounding} {}
    /// Adds the bytes of `range`; none if it ends before it begins.
    void add(const MemoryRange& range);

    /// How many ranges there are.
    std::size_t size() const { return size_; }
    /// How often a range was lost or a gap closed: 0 if the set is what was added.
    std::size_t rounded() const { return rounded_; }
    ///@{
    /// The ranges.
    const MemoryRange& operator[](std::size_t index) const { return ranges_[index]; }
    const MemoryRange* begin() const { return ranges_.data(); }
    const MemoryRange* end() const { return ranges_.data() + size_; }
    ///@}

   private:
    void round();
    void erase(std::size_t index, std::size_t count);

    std::array<MemoryRange, capacity + 1> ranges_{};
    std::size_t size_ = 0;
    std::size_t rounded_ = 0;
    Rounding rounding_;
};

}  // namespace kern
