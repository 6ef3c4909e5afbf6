// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kern/fs/block_device.hh"
#include "kern/fs/file_system.hh"

namespace kern::test {

using Bytes = std::vector<std::byte>;

/// A RamDisk that remembers the requests and fails when told.
class RecordingDisk final : public BlockDevice {
   public:
    struct Request {
        std::uint64_t first;
        std::uint64_t blocks;
        bool write;
        bool operator==(const Request&) const = default;
    };

    explicit RecordingDisk(Bytes bytes) : bytes_{std::move(bytes)}, disk_{bytes_} {}

    std::uint64_t block_count() const override { return disk_.block_count(); }
    std::expected<void, Error> read(std::uint64_t first, std::span<std::byte> out) override {
        if (!accept({first, out.size() / block_size, false}))
            return std::unexpected{Error::DeviceFailure};
        return disk_.read(first, out);
    }
    std::expected<void, Error> write(std::uint64_t first, std::span<const std::byte> in) override {
        if (!accept({first, in.size() / block_size, true}))
            return std::unexpected{Error::DeviceFailure};
        return disk_.write(first, in);
    }

    /// The request number `count` from now (1 is the next), and every one after it, fails. 0: none.
    void fail_from(std::uint64_t count) {
        requests.clear();
        fail_from_ = count;
    }
    const Bytes& bytes() const { return bytes_; }

    std::vector<Request> requests;

   private:
    bool accept(const Request& request) {
        requests.push_back(request);
        return fail_from_ == 0 || requests.size() < fail_from_;
    }
    Bytes bytes_;
    RamDisk disk_;
    std::uint64_t fail_from_ = 0;
};

/// An image as kern/fs/file_system.hh describes it.
inline Bytes make_image(const std::vector<std::pair<std::string, Bytes>>& files) {
    const auto page = [](std::size_t size) { return (size + 4095) / 4096 * 4096; };
    Bytes image(page(block_size + files.size() * sizeof(DirectoryEntry)));
    std::size_t at = block_size;
    for (const auto& [name, contents] : files) {
        DirectoryEntry entry{};
        std::memcpy(entry.name.data(), name.data(), name.size());
        entry.first_block = image.size() / block_size;
        entry.size = contents.size();
        std::memcpy(image.data() + at, &entry, sizeof entry);
        at += sizeof entry;
        image.insert(image.end(), contents.begin(), contents.end());
        image.resize(page(image.size()));
    }
    const ImageHeader header{
        {'N', 'E', 'S', 'T', 'F', 'S', '1', '\0'}, files.size(), image.size() / block_size};
    std::memcpy(image.data(), &header, sizeof header);
    return image;
}

/// `count` bytes that differ from their neighbours and from block to block.
inline Bytes numbered_bytes(std::size_t count) {
    Bytes bytes(count);
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 512 * 3);
    return bytes;
}

}  // namespace kern::test
