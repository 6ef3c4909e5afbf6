// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstdint>

namespace kern {

///@{
/// Sizes of pages, in bytes (page_shift: in bits of the address).
inline constexpr std::uint64_t page_shift = 12;
inline constexpr std::uint64_t page_size = 1ULL << page_shift;
inline constexpr std::uint64_t large_page_size = 1ULL << 21;
///@}

/// `value` rounded down to a multiple of `unit`, a power of two.
constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t unit) {
    return value & ~(unit - 1);
}

/// `value` rounded up to a multiple of `unit`, a power of two. Wraps to 0 beyond the last multiple.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t unit) {
    return align_down(value + unit - 1, unit);
}

/// An address in one address space. `Space` is an empty tag: addresses of two spaces neither
/// convert, nor compare, nor subtract. Arithmetic is modulo 2^64, like the hardware's; whoever
/// takes addresses from an untrusted image checks for wrap-around first.
template <class Space>
class Address {
   public:
    constexpr Address() = default;
    /// Claims that `value` is an address of this space.
    constexpr explicit Address(std::uint64_t value) : value_{value} {}

    /// The plain number.
    constexpr std::uint64_t value() const { return value_; }

    /// The first byte of the 4 KiB page that holds this address.
    constexpr Address page() const { return Address{align_down(value_, page_size)}; }
    /// Bytes from the start of that page, 0 to 4095.
    constexpr std::uint64_t page_offset() const { return value_ & (page_size - 1); }
    /// Whether it is a multiple of `unit`, a power of two.
    constexpr bool is_aligned(std::uint64_t unit = page_size) const {
        return (value_ & (unit - 1)) == 0;
    }

    /// By number, within one space.
    constexpr auto operator<=>(const Address&) const = default;
    ///@{
    /// So many bytes further on, or back; wraps.
    constexpr Address operator+(std::uint64_t bytes) const { return Address{value_ + bytes}; }
    constexpr Address operator-(std::uint64_t bytes) const { return Address{value_ - bytes}; }
    ///@}
    /// The distance in bytes from `other` up to this address.
    constexpr std::uint64_t operator-(Address other) const { return value_ - other.value_; }
    /// Moves on by so many bytes; wraps.
    constexpr Address& operator+=(std::uint64_t bytes) {
        value_ += bytes;
        return *this;
    }

   private:
    std::uint64_t value_ = 0;
};

/// Host-physical address: what the machine's memory controller sees.
using Hpa = Address<struct HostPhysical>;
/// Host-virtual address: a pointer of this kernel, as a number.
using Hva = Address<struct HostVirtual>;
/// User-virtual address: a pointer of a user program, as a number. The kernel never follows one.
using Uva = Address<struct UserVirtual>;

}  // namespace kern
