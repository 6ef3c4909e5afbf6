// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <utility>

#include "kern/fs/block_device.hh"
#include "kern/fs/file_system.hh"
#include "vmm/tests/support/image.hh"

namespace vmm::test {

/// A disk with one file, `kernel`, whose reads a test can count, watch, hold and fail.
class TestDisk final : public kern::BlockDevice {
   public:
    explicit TestDisk(const Bytes& file) {
        const std::size_t padded = (file.size() + kern::block_size - 1) / kern::block_size;
        bytes_.resize((first_block + padded) * kern::block_size);
        const kern::ImageHeader header{{'N', 'E', 'S', 'T', 'F', 'S', '1', '\0'}, 1, block_count()};
        const kern::DirectoryEntry entry{{"kernel"}, first_block, file.size()};
        std::memcpy(bytes_.data(), &header, sizeof header);
        std::memcpy(bytes_.data() + kern::block_size, &entry, sizeof entry);
        std::ranges::copy(file, bytes_.begin() + first_block * kern::block_size);
    }

    /// The file. Mounting reads the disk.
    kern::File open() { return *kern::FileSystem::mount(*this)->open("kernel"); }

    /// Reads so far.
    std::uint64_t reads() const { return reads_.load(std::memory_order_relaxed); }
    /// The read number `count` from now (1 is the next) fails, and each one after it. 0: none.
    void fail_from(std::uint64_t count) {
        fail_at_.store(count == 0 ? never : reads() + count, std::memory_order_relaxed);
    }
    /// Called on the reading thread before each read, with the bytes of the file that it will
    /// serve. To be set before any other thread runs.
    void on_read(std::function<void(std::uint64_t offset, std::size_t bytes)> hook) {
        hook_ = std::move(hook);
    }

    std::uint64_t block_count() const override { return bytes_.size() / kern::block_size; }
    std::expected<void, kern::Error> read(std::uint64_t first, std::span<std::byte> out) override {
        const std::uint64_t number = reads_.fetch_add(1, std::memory_order_relaxed) + 1;
        if (hook_ && first >= first_block)
            hook_((first - first_block) * kern::block_size, out.size());
        if (number >= fail_at_.load(std::memory_order_relaxed))
            return std::unexpected(kern::Error::DeviceFailure);
        if (first > block_count() || out.size() / kern::block_size > block_count() - first)
            return std::unexpected(kern::Error::OutOfRange);
        std::memcpy(out.data(), bytes_.data() + first * kern::block_size, out.size());
        return {};
    }
    std::expected<void, kern::Error> write(std::uint64_t, std::span<const std::byte>) override {
        return std::unexpected(kern::Error::Unsupported);
    }

   private:
    static constexpr std::uint64_t first_block = 8;
    static constexpr std::uint64_t never = ~std::uint64_t{0};
    Bytes bytes_;
    std::atomic<std::uint64_t> reads_{0};
    std::atomic<std::uint64_t> fail_at_{never};
    std::function<void(std::uint64_t, std::size_t)> hook_;
};

}  // namespace vmm::test
