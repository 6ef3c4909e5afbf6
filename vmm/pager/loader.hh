// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "kern/fs/file_system.hh"
#include "vmm/address.hh"

namespace vmm {

/// Fills `page`, the zeroed frame for the guest page at `gpa`. Returns false if it cannot.
struct PageLoader {
    bool (*fill)(void* context, Gpa gpa, std::span<std::byte, page_size> page) = nullptr;
    void* context = nullptr;
};

/// Knows what the bytes of one guest-physical range are, before anybody has touched them. The range
/// need not begin or end on a page boundary: two segments may share a page, each with a loader of its
/// own for its part.
class Loader {
   public:
    /// [begin, end) holds zeros.
    static Loader zeros(Gpa begin, Gpa end);
    /// [begin, end) holds the bytes of `file` from `offset` on: the byte at `begin` is the one at
    /// `offset`.
    static Loader bytes_of(kern::File file, std::uint64_t offset, Gpa begin, Gpa end);
    /// The page at `gpa` is filled by a function.
    static Loader call(Gpa gpa, PageLoader loader);

    Gpa begin() const { return begin_; }  ///< first byte
    Gpa end() const { return end_; }      ///< one beyond the last byte

    /// Fills those bytes of the guest page at `page` that lie in [begin(), end()) and leaves the others
    /// of `frame` as they are. May take long (it reads a file): call it without a lock. Errors:
    /// ShortRead (the file ends too early), the file's, or DeviceFailure if a PageLoader says false.
    std::expected<void, Error> fill(Gpa page, std::span<std::byte, page_size> frame) const;

   private:
    enum class Kind : std::uint8_t { Zeros, FileBytes, Call };
    Kind kind_ = Kind::Zeros;
    Gpa begin_{};
    Gpa end_{};
    std::uint64_t offset_ = 0;
    alignas(kern::File) std::byte file_[sizeof(kern::File)]{};
    PageLoader call_{};
};

/// The loaders of one VM, ordered by address; no two share a byte. Registering a range costs the same
/// whatever its length. Filled while the VM is built, only read once it runs.
class LoaderMap {
   public:
    static constexpr std::size_t capacity = 512;

    /// Errors: InvalidArgument (empty), OutOfRange (it wraps, or ends beyond 2^40), Overlap (a byte
    /// already has a loader), OutOfMemory (capacity). On an error nothing is registered.
    std::expected<void, Error> add(const Loader& loader);
    /// Removes the byte range [begin, end) from every loader, cutting those that reach beyond it.
    std::expected<void, Error> remove(Gpa begin, Gpa end);

    /// Whether a byte of [begin, end) has a loader.
    bool overlaps(Gpa begin, Gpa end) const;
    /// The loaders that have a byte in the 4 KiB page at `page`, in order of address; empty if none.
    std::span<const Loader> on_page(Gpa page) const;
    std::span<const Loader> all() const;

   private:
    // see loader_map.cc
    alignas(Loader) std::byte storage_[capacity * sizeof(Loader)];
    std::size_t count_ = 0;
};

}  // namespace vmm
