// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "kern/fs/block_device.hh"
#include "kern/lib/error.hh"

namespace kern {

// The image, little-endian, made by grader/testkit/images.py: block 0 holds an ImageHeader; the directory,
// an array of DirectoryEntry, follows from block 1 on; each file begins on a 4096-byte boundary.

/// The first bytes of an image.
struct ImageHeader {
    std::array<char, 8> magic;  ///< "NESTFS1\0"
    std::uint64_t file_count;   ///< entries of the directory
    std::uint64_t block_count;  ///< of the whole image
};

/// One file of an image.
struct DirectoryEntry {
    std::array<char, 48> name;  ///< padded with zero bytes
    std::uint64_t first_block;  ///< of its data
    std::uint64_t size;         ///< in bytes
};
static_assert(sizeof(ImageHeader) == 24 && sizeof(DirectoryEntry) == 64);

class FileSystem;

/// A file: a small value that may be copied. Files are read and written in place and do not grow.
/// Safe on several CPUs; no lock is held during a read.
class File {
   public:
    /// Size in bytes.
    std::uint64_t size() const { return size_; }
    /// The first block of its data on the device: file offset 0 is byte 0 of that block.
    std::uint64_t first_block() const { return first_block_; }

    /// Reads from byte `offset` on into `out`. Returns how many bytes were read: fewer than asked
    /// for at the end of the file, 0 beyond it. Errors: DeviceFailure, OutOfRange (a damaged
    /// image).
    std::expected<std::size_t, Error> read(std::uint64_t offset, std::span<std::byte> out) const;
    /// Writes in place from byte `offset` on; what would lie beyond the end is not written.
    /// Returns how many bytes were written. Two CPUs that write parts of one block at once may lose
    /// one of the parts.
    std::expected<std::size_t, Error> write(std::uint64_t offset,
                                            std::span<const std::byte> in) const;

   private:
    friend class FileSystem;
    File(BlockDevice& device, std::uint64_t first_block, std::uint64_t size)
        : device_{&device}, first_block_{first_block}, size_{size} {}
    BlockDevice* device_;
    std::uint64_t first_block_;
    std::uint64_t size_;
};

/// Names for files on a block device. No directories, no links.
class FileSystem {
   public:
    /// Checks the header. Errors: BadFormat, Truncated, DeviceFailure. `device` must outlive the
    /// file system and its files.
    static std::expected<FileSystem, Error> mount(BlockDevice& device);

    /// Errors: NotFound, DeviceFailure, OutOfRange (the file leaves the device, or lies over the
    /// directory).
    std::expected<File, Error> open(std::string_view name) const;
    /// How many files there are.
    std::uint64_t file_count() const { return file_count_; }
    /// The directory's entry number `index`, unchecked. Errors: OutOfRange, DeviceFailure.
    std::expected<DirectoryEntry, Error> entry(std::uint64_t index) const;

   private:
    FileSystem(BlockDevice& device, std::uint64_t file_count)
        : device_{&device}, file_count_{file_count} {}
    std::expected<File, Error> file_of(const DirectoryEntry& entry) const;

    BlockDevice* device_;
    std::uint64_t file_count_;
};

}  // namespace kern
