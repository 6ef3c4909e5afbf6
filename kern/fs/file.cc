// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>

#include "kern/fs/file_system.hh"

namespace kern {
namespace {

using Block = std::array<std::byte, block_size>;

/// The part of a transfer that one device request can serve.
struct Piece {
    std::uint64_t block;  ///< relative to the file's first
    std::size_t skip;     ///< bytes of that block before the piece; 0 if whole
    std::size_t length;
    bool whole;  ///< whole blocks: goes straight between the device and the caller's memory
};

/// The first piece of the `count` bytes (not 0) at file offset `offset`: the rest of a block that
/// the transfer enters in its middle, then all whole blocks at once, then the beginning of the last
/// block.
Piece first_piece(std::uint64_t offset, std::size_t count) {
    const std::size_t skip = offset % block_size;
    const std::uint64_t block = offset / block_size;
    if (skip == 0 && count >= block_size) return {block, 0, count - count % block_size, true};
    return {block, skip, std::min(count, block_size - skip), false};
}

/// How many of `wanted` bytes from `offset` on lie in a file of `size` bytes.
std::size_t bytes_within(std::uint64_t offset, std::size_t wanted, std::uint64_t size) {
    return offset < size ? std::min<std::uint64_t>(wanted, size - offset) : 0;
}

std::expected<void, Error> read_piece(BlockDevice& device, std::uint64_t first_block,
                                      const Piece& piece, std::span<std::byte> out) {
    if (piece.whole) return device.read(first_block + piece.block, out);
    Block block;
    const auto result = device.read(first_block + piece.block, block);
    if (result) std::memcpy(out.data(), block.data() + piece.skip, out.size());
    return result;
}

std::expected<void, Error> write_piece(BlockDevice& device, std::uint64_t first_block,
                                       const Piece& piece, std::span<const std::byte> in) {
    if (piece.whole) return device.write(first_block + piece.block, in);
    Block block;
    const auto result = device.read(first_block + piece.block, block);
    if (!result) return result;
    std::memcpy(block.data() + piece.skip, in.data(), in.size());
    return device.write(first_block + piece.block, block);
}

}  // namespace

std::expected<std::size_t, Error> File::read(std::uint64_t offset, std::span<std::byte> out) const {
    const std::size_t count = bytes_within(offset, out.size(), size_);
    for (std::size_t done = 0; done < count;) {
        const Piece piece = first_piece(offset + done, count - done);
        const auto result =
            read_piece(*device_, first_block_, piece, out.subspan(done, piece.length));
        if (!result) return std::unexpected{result.error()};
        done += piece.length;
    }
    return count;
}

std::expected<std::size_t, Error> File::write(std::uint64_t offset,
                                              std::span<const std::byte> in) const {
    const std::size_t count = bytes_within(offset, in.size(), size_);
    for (std::size_t done = 0; done < count;) {
        const Piece piece = first_piece(offset + done, count - done);
        const auto result =
            write_piece(*device_, first_block_, piece, in.subspan(done, piece.length));
        if (!result) return std::unexpected{result.error()};
        done += piece.length;
    }
    return count;
}

}  // namespace kern
