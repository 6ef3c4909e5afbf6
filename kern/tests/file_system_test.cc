// SPDX-License-Identifier: MIT
#include "kern/fs/file_system.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "recording_disk.hh"

namespace kern {
namespace {

using test::Bytes;
using test::make_image;
using test::numbered_bytes;
using test::RecordingDisk;
using Request = RecordingDisk::Request;

constexpr std::uint64_t data_block = 4096 / block_size;  // of the first file

TEST(RamDisk, ServesWholeBlocksWithinItself) {
    Bytes memory = numbered_bytes(3 * block_size + 100);
    RamDisk disk{memory};
    EXPECT_EQ(disk.block_count(), 3U) << "the tail is left out";
    Bytes out(2 * block_size);
    ASSERT_TRUE(disk.read(1, out));
    EXPECT_TRUE(std::equal(out.begin(), out.end(), memory.begin() + block_size));
    EXPECT_TRUE(disk.read(3, {}));
    EXPECT_EQ(disk.read(2, out).error(), Error::OutOfRange);
    EXPECT_EQ(disk.read(~0ULL, out).error(), Error::OutOfRange);
    EXPECT_EQ(disk.read(0, std::span{out}.first(100)).error(), Error::InvalidArgument);
    EXPECT_EQ(disk.write(2, out).error(), Error::OutOfRange);
    ASSERT_TRUE(disk.write(0, out));
    EXPECT_TRUE(std::equal(out.begin(), out.end(), memory.begin()));
}

class FileTest : public ::testing::Test {
   protected:
    static constexpr std::size_t size = 5 * block_size + 100;
    Bytes contents_ = numbered_bytes(size);
    RecordingDisk disk_{make_image({{"other", Bytes(10)}, {"data", contents_}})};
    std::uint64_t first_ = 2 * data_block;
    File file_ = *FileSystem::mount(disk_)->open("data");
};

TEST_F(FileTest, ReadsEveryRange) {
    EXPECT_EQ(file_.size(), size);
    EXPECT_EQ(file_.first_block(), first_);
    std::mt19937 random{6};
    for (int round = 0; round < 3000; ++round) {
        const std::size_t offset = random() % (size + 50);
        Bytes out(random() % (size + 50), std::byte{0xee});
        const std::size_t wanted = offset < size ? std::min(out.size(), size - offset) : 0;
        ASSERT_EQ(file_.read(offset, out), wanted);
        ASSERT_TRUE(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(wanted),
                               contents_.begin() + static_cast<std::ptrdiff_t>(offset)));
        ASSERT_TRUE(std::all_of(out.begin() + static_cast<std::ptrdiff_t>(wanted), out.end(),
                                [](std::byte byte) { return byte == std::byte{0xee}; }))
            << "bytes beyond the count are left alone";
    }
    Bytes out(10);
    EXPECT_EQ(file_.read(size, out), 0U);
    EXPECT_EQ(file_.read(~0ULL, out), 0U);
    EXPECT_EQ(file_.read(0, {}), 0U);
}

TEST_F(FileTest, ReadsNoBlockThatIsNotNeeded) {
    const auto requests = [&](std::uint64_t offset, std::size_t count) {
        disk_.requests.clear();
        Bytes out(count);
        EXPECT_TRUE(file_.read(offset, out));
        return disk_.requests;
    };
    using Requests = std::vector<Request>;
    EXPECT_EQ(requests(0, 2 * block_size), (Requests{{first_, 2, false}})) << "one direct read";
    EXPECT_EQ(requests(block_size, block_size), (Requests{{first_ + 1, 1, false}}));
    EXPECT_EQ(requests(10, 20), (Requests{{first_, 1, false}}));
    EXPECT_EQ(requests(500, 20), (Requests{{first_, 1, false}, {first_ + 1, 1, false}}));
    EXPECT_EQ(requests(500, 12 + 2 * block_size + 1),
              (Requests{{first_, 1, false}, {first_ + 1, 2, false}, {first_ + 3, 1, false}}));
    EXPECT_EQ(requests(5 * block_size, 4096), (Requests{{first_ + 5, 1, false}}));
    EXPECT_EQ(requests(size, 100), Requests{});
    EXPECT_EQ(requests(0, 0), Requests{});
}

TEST_F(FileTest, WritesInPlaceAndDoesNotGrow) {
    std::mt19937 random{7};
    const Bytes image = disk_.bytes();
    for (int round = 0; round < 2000; ++round) {
        const std::size_t offset = random() % (size + 50);
        Bytes in(random() % (size + 50));
        for (std::byte& byte : in) byte = static_cast<std::byte>(random());
        const std::size_t wanted = offset < size ? std::min(in.size(), size - offset) : 0;
        ASSERT_EQ(file_.write(offset, in), wanted);
        std::copy_n(in.begin(), wanted, contents_.begin() + static_cast<std::ptrdiff_t>(offset));
        Bytes out(size);
        ASSERT_EQ(file_.read(0, out), size);
        ASSERT_EQ(out, contents_);
    }
    const auto begin = static_cast<std::ptrdiff_t>(first_ * block_size);
    const auto& now = disk_.bytes();
    EXPECT_TRUE(std::equal(now.begin(), now.begin() + begin, image.begin()));
    const auto end = begin + static_cast<std::ptrdiff_t>(size);
    EXPECT_TRUE(std::equal(now.begin() + end, now.end(), image.begin() + end))
        << "nothing beyond the file is written";
}

TEST_F(FileTest, ReportsAFailureAtEachRequest) {
    Bytes buffer(2 * block_size + 100);
    for (std::uint64_t count = 1; count <= 3; ++count) {
        disk_.fail_from(count);
        EXPECT_EQ(file_.read(500, buffer).error(), Error::DeviceFailure) << count;
    }
    disk_.fail_from(4);
    EXPECT_EQ(file_.read(500, buffer), buffer.size());
    for (std::uint64_t count = 1; count <= 5; ++count) {  // the head and the tail are read first
        disk_.fail_from(count);
        EXPECT_EQ(file_.write(500, buffer).error(), Error::DeviceFailure) << count;
    }
    disk_.fail_from(6);
    EXPECT_EQ(file_.write(500, buffer), buffer.size());
}

TEST(FileSystem, FindsFilesByName) {
    std::vector<std::pair<std::string, Bytes>> files;
    for (int i = 0; i < 20; ++i) {
        files.emplace_back("file" + std::to_string(i), Bytes(static_cast<std::size_t>(i)));
    }
    files.emplace_back(std::string(48, 'n'), Bytes(99));
    files.emplace_back("empty", Bytes{});
    RecordingDisk disk{make_image(files)};
    const auto system = FileSystem::mount(disk);
    ASSERT_TRUE(system);
    EXPECT_EQ(system->file_count(), files.size());
    for (const auto& [name, contents] : files) {
        const auto file = system->open(name);
        ASSERT_TRUE(file) << name;
        EXPECT_EQ(file->size(), contents.size());
    }
    EXPECT_EQ(system->open("file").error(), Error::NotFound) << "a prefix is another name";
    EXPECT_EQ(system->open("file00").error(), Error::NotFound);
    EXPECT_EQ(system->open("").error(), Error::NotFound);
    EXPECT_EQ(system->open(std::string(1000, 'n')).error(), Error::NotFound);
    EXPECT_EQ(system->entry(3)->size, 3U);
    EXPECT_EQ(system->entry(files.size()).error(), Error::OutOfRange);
    disk.fail_from(1);
    EXPECT_EQ(system->open("file1").error(), Error::DeviceFailure);
    EXPECT_EQ(system->entry(0).error(), Error::DeviceFailure);
    EXPECT_EQ(FileSystem::mount(disk).error(), Error::DeviceFailure);
}

/// The error of mounting an image whose header was changed.
template <class Change>
Error mount_error(Change change) {
    Bytes image = make_image({{"a", Bytes(100)}});
    ImageHeader header;
    std::memcpy(&header, image.data(), sizeof header);
    change(header);
    std::memcpy(image.data(), &header, sizeof header);
    RamDisk disk{image};
    return FileSystem::mount(disk).error();
}

TEST(FileSystem, RefusesDamagedHeaders) {
    EXPECT_EQ(mount_error([](ImageHeader& header) { header.magic[6] = '2'; }), Error::BadFormat);
    EXPECT_EQ(mount_error([](ImageHeader& header) { header.block_count = 0; }), Error::BadFormat);
    EXPECT_EQ(mount_error([](ImageHeader& header) { ++header.block_count; }), Error::Truncated);
    EXPECT_EQ(mount_error([](ImageHeader& header) { header.block_count = ~0ULL; }),
              Error::Truncated);
    EXPECT_EQ(mount_error([](ImageHeader& header) { header.file_count = ~0ULL; }),
              Error::BadFormat);
    EXPECT_EQ(mount_error([](ImageHeader& header) {
                  header.file_count = (header.block_count - 1) * 8 + 1;
              }),
              Error::BadFormat);
    Bytes little(block_size - 1);
    RamDisk disk{little};
    EXPECT_EQ(FileSystem::mount(disk).error(), Error::Truncated);
}

TEST(FileSystem, RefusesEntriesThatLeaveTheDevice) {
    const auto open_error = [](std::uint64_t first_block, std::uint64_t size) {
        Bytes image = make_image({{"a", Bytes(4096)}});
        DirectoryEntry entry{{'a'}, first_block, size};
        std::memcpy(image.data() + block_size, &entry, sizeof entry);
        RamDisk disk{image};
        const auto file = FileSystem::mount(disk)->open("a");
        return file ? Error::Busy : file.error();
    };
    EXPECT_EQ(open_error(data_block, 4097), Error::OutOfRange);
    EXPECT_EQ(open_error(data_block + 1, 4096), Error::OutOfRange);
    EXPECT_EQ(open_error(~0ULL, 1), Error::OutOfRange);
    EXPECT_EQ(open_error(~0ULL, ~0ULL), Error::OutOfRange);
    EXPECT_EQ(open_error(data_block, ~0ULL), Error::OutOfRange);
    EXPECT_EQ(open_error(0, 512), Error::OutOfRange) << "over the header";
    EXPECT_EQ(open_error(1, 512), Error::OutOfRange) << "over the directory";
    EXPECT_EQ(open_error(data_block, 4096), Error::Busy) << "no error";
}

TEST(FileSystem, AnyDamageIsAnErrorOrARead) {
    const Bytes whole =
        make_image({{"one", numbered_bytes(600)}, {"two", {}}, {"three", Bytes(5000)}});
    const auto use = [](Bytes image) {
        RamDisk disk{image};
        const auto system = FileSystem::mount(disk);
        if (!system) return;
        for (const char* name : {"one", "two", "three", "four"}) {
            const auto file = system->open(name);
            if (!file) continue;
            Bytes out(6000);
            static_cast<void>(file->read(3, out));
            static_cast<void>(file->write(3, out));
        }
        static_cast<void>(system->entry(2));
    };
    for (std::size_t size = 0; size < 1200; ++size) {
        use(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    }
    std::mt19937 random{8};
    for (int round = 0; round < 4000; ++round) {
        Bytes image = whole;
        for (int i = 0; i < 3; ++i) {
            image[random() % (block_size + 4 * sizeof(DirectoryEntry))] ^=
                static_cast<std::byte>(1U << random() % 8);
        }
        use(std::move(image));
    }
}

}  // namespace
}  // namespace kern
