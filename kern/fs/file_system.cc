// SPDX-License-Identifier: MIT
#include "kern/fs/file_system.hh"

#include <algorithm>
#include <bit>
#include <cstring>

namespace kern {
namespace {

constexpr std::array<char, 8> image_magic{'N', 'E', 'S', 'T', 'F', 'S', '1', '\0'};
constexpr std::uint64_t directory_block = 1;
constexpr std::uint64_t entries_per_block = block_size / sizeof(DirectoryEntry);
using DirectoryBlock = std::array<DirectoryEntry, entries_per_block>;
static_assert(sizeof(DirectoryBlock) == block_size);

/// `bytes` / `unit`, rounded up, for any `bytes`.
constexpr std::uint64_t units(std::uint64_t bytes, std::uint64_t unit) {
    return bytes / unit + (bytes % unit != 0 ? 1 : 0);
}

std::expected<DirectoryBlock, Error> read_directory(BlockDevice& device, std::uint64_t number) {
    DirectoryBlock block{};
    const auto result =
        device.read(directory_block + number, std::as_writable_bytes(std::span{block}));
    if (!result) return std::unexpected{result.error()};
    return block;
}

std::string_view name_of(const DirectoryEntry& entry) {
    const auto* const end = std::ranges::find(entry.name, '\0');
    return {entry.name.begin(), end};
}

}  // namespace

std::expected<FileSystem, Error> FileSystem::mount(BlockDevice& device) {
    if (device.block_count() == 0) return std::unexpected{Error::Truncated};
    std::array<std::byte, block_size> block;
    if (const auto result = device.read(0, block); !result) return std::unexpected{result.error()};
    ImageHeader header;
    std::memcpy(&header, block.data(), sizeof header);

    if (header.magic != image_magic || header.block_count < directory_block)
        return std::unexpected{Error::BadFormat};
    if (header.block_count > device.block_count()) return std::unexpected{Error::Truncated};
    if (units(header.file_count, entries_per_block) > header.block_count - directory_block)
        return std::unexpected{Error::BadFormat};
    return FileSystem{device, header.file_count};
}

std::expected<DirectoryEntry, Error> FileSystem::entry(std::uint64_t index) const {
    if (index >= file_count_) return std::unexpected{Error::OutOfRange};
    const auto block = read_directory(*device_, index / entries_per_block);
    if (!block) return std::unexpected{block.error()};
    return (*block)[index % entries_per_block];
}

std::expected<File, Error> FileSystem::open(std::string_view name) const {
    if (name.empty()) return std::unexpected{Error::NotFound};
    for (std::uint64_t index = 0; index < file_count_; index += entries_per_block) {
        const auto block = read_directory(*device_, index / entries_per_block);
        if (!block) return std::unexpected{block.error()};
        const auto count = std::min(entries_per_block, file_count_ - index);
        for (const DirectoryEntry& entry : std::span{*block}.first(count)) {
            if (name_of(entry) == name) return file_of(entry);
        }
    }
    return std::unexpected{Error::NotFound};
}

std::expected<File, Error> FileSystem::file_of(const DirectoryEntry& entry) const {
    const std::uint64_t data_begin = directory_block + units(file_count_, entries_per_block);
    const std::uint64_t data_end = device_->block_count();
    if (entry.first_block < data_begin || entry.first_block > data_end ||
        units(entry.size, block_size) > data_end - entry.first_block)
        return std::unexpected{Error::OutOfRange};
    return File{*device_, entry.first_block, entry.size};
}

}  // namespace kern
