// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "kern/lib/error.hh"

namespace kern {

/// Bytes per block.
inline constexpr std::size_t block_size = 512;

/// A device that reads and writes whole blocks. Tests wrap one to delay, hold or fail a read.
/// Every method may be called on several CPUs at once.
class BlockDevice {
   public:
    virtual ~BlockDevice() = default;
    /// How many blocks it has.
    virtual std::uint64_t block_count() const = 0;
    /// Reads blocks from `first` on; `out` is a multiple of block_size long.
    /// Errors: InvalidArgument (no multiple), OutOfRange, DeviceFailure.
    virtual std::expected<void, Error> read(std::uint64_t first, std::span<std::byte> out) = 0;
    /// Writes blocks from `first` on, in the same way.
    virtual std::expected<void, Error> write(std::uint64_t first,
                                             std::span<const std::byte> in) = 0;
};

/// Blocks that lie in memory: a boot module, or an array in a test.
class RamDisk final : public BlockDevice {
   public:
    /// Serves `memory`; a tail shorter than a block is left out.
    explicit RamDisk(std::span<std::byte> memory) : memory_{memory} {}
    std::uint64_t block_count() const override { return memory_.size() / block_size; }
    std::expected<void, Error> read(std::uint64_t first, std::span<std::byte> out) override;
    std::expected<void, Error> write(std::uint64_t first, std::span<const std::byte> in) override;

   private:
    std::span<std::byte> memory_;
};

}  // namespace kern
