// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <variant>

#include "kern/fs/file_system.hh"
#include "vmm/address.hh"

namespace vmm {

/// A function that fills `page`, the zeroed frame for the guest page at `gpa`. It returns false if
/// it cannot. It may be called on several CPUs at once, also for one page.
struct PageLoader {
    /// The function.
    bool (*fill)(void* context, Gpa gpa, std::span<std::byte, page_size> page) = nullptr;
    void* context = nullptr;  ///< its first argument
};

/// Knows what the bytes of one guest-physical range are, before anybody has touched them. A small
/// value that may be copied. The range need not begin or end on a page boundary: two segments may
/// share a page, each with a loader of its own for its part.
class Loader {
   public:
    /// An empty range.
    Loader() = default;

    /// [begin, end) holds zeros.
    static Loader zeros(Gpa begin, Gpa end);
    /// [begin, end) holds the bytes of `file` from `offset` on: the byte at `begin` is the one at
    /// `offset`.
    static Loader bytes_of(kern::File file, std::uint64_t offset, Gpa begin, Gpa end);
    /// The page at `gpa`, page-aligned, is filled by a function.
    static Loader call(Gpa gpa, PageLoader loader);

    Gpa begin() const { return begin_; }  ///< first byte
    Gpa end() const { return end_; }      ///< one beyond the last byte
    /// Whether the range is zeros: memory, and no part of an image.
    bool is_zeros() const { return std::holds_alternative<Zeros>(source_); }

    /// Fills those bytes of the guest page at `page` that lie in [begin(), end()) and leaves the
    /// others of `frame` as they are. May take long (it reads a file): call it without a lock.
    ///
    /// @param page   page-aligned
    /// @param frame  the page's frame, zeroed as the allocator gives it: zeros are not written
    /// again
    /// @note Errors: ShortRead (the file ends too early), the file's, or DeviceFailure if a
    ///       PageLoader says false.
    std::expected<void, Error> fill(Gpa page, std::span<std::byte, page_size> frame) const;

   private:
    friend class LoaderMap;
    struct Zeros {};
    struct FileBytes {
        kern::File file;
        std::uint64_t offset;  // of the byte at begin_
    };
    using Source = std::variant<Zeros, FileBytes, PageLoader>;

    Loader(Gpa begin, Gpa end, Source source) : begin_{begin}, end_{end}, source_{source} {}
    /// The part of this range from `begin` to `end`.
    Loader cut_to(Gpa begin, Gpa end) const;

    Gpa begin_{};
    Gpa end_{};
    Source source_{};
};

/// The loaders of one VM, ordered by address; no two share a byte. Registering a range costs the
/// same whatever its length. Filled by one CPU while the VM is built, only read once it runs.
class LoaderMap {
   public:
    /// Loaders at most.
    static constexpr std::size_t capacity = 512;

    /// Errors: InvalidArgument (empty), OutOfRange (its end is before its begin, or beyond 2^40),
    /// Overlap (a byte already has a loader), OutOfMemory (capacity). On an error nothing is
    /// registered.
    std::expected<void, Error> add(const Loader& loader);
    /// Removes the byte range [begin, end) from every loader, cutting those that reach beyond it.
    /// Errors: InvalidArgument (it would cut a page that a function fills), OutOfMemory (capacity:
    /// a loader would fall in two). On an error nothing is removed.
    std::expected<void, Error> remove(Gpa begin, Gpa end);

    /// Whether a byte of [begin, end) has a loader.
    bool overlaps(Gpa begin, Gpa end) const { return !in_range(begin, end).empty(); }
    /// The loaders that have a byte in the 4 KiB page at `page`, in order of address; empty if
    /// none.
    std::span<const Loader> on_page(Gpa page) const {
        return in_range(page.page(), page.page() + page_size);
    }
    /// The loaders that have a byte in [begin, end), in order of address.
    std::span<const Loader> in_range(Gpa begin, Gpa end) const;
    /// Every loader, in order of address.
    std::span<const Loader> all() const { return {loaders_.data(), count_}; }

   private:
    void insert(std::size_t index, const Loader& loader);
    void erase(std::size_t index, std::size_t count);

    std::array<Loader, capacity> loaders_{};
    std::size_t count_ = 0;
};

}  // namespace vmm
