// SPDX-License-Identifier: MIT
#include <cstring>

#include "kern/fs/block_device.hh"

namespace kern {
namespace {

/// Whether `bytes` bytes from block `first` on are whole blocks and lie on a device of `count`
/// blocks.
std::expected<void, Error> check_blocks(std::uint64_t first, std::size_t bytes,
                                        std::uint64_t count) {
    if (bytes % block_size != 0) return std::unexpected{Error::InvalidArgument};
    if (first > count || bytes / block_size > count - first)
        return std::unexpected{Error::OutOfRange};
    return {};
}

}  // namespace

std::expected<void, Error> RamDisk::read(std::uint64_t first, std::span<std::byte> out) {
    const auto checked = check_blocks(first, out.size(), block_count());
    if (checked && !out.empty())
        std::memcpy(out.data(), memory_.data() + first * block_size, out.size());
    return checked;
}

std::expected<void, Error> RamDisk::write(std::uint64_t first, std::span<const std::byte> in) {
    const auto checked = check_blocks(first, in.size(), block_count());
    if (checked && !in.empty())
        std::memcpy(memory_.data() + first * block_size, in.data(), in.size());
    return checked;
}

}  // namespace kern
