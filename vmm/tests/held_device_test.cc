// SPDX-License-Identifier: MIT
#include "vmm/main/held_device.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "kern/elf/elf.hh"
#include "vmm/frame_owners.hh"

namespace vmm {
namespace {

using kern::block_size;

constexpr std::uint64_t file_block = 8;  // where the one file begins
constexpr Gpa image_begin{0x20'0000};
constexpr std::uint64_t image_offset = 0x1234;  // in the file; an unaligned one
constexpr std::uint64_t image_size = 4 * page_size;

template <class T>
void put(std::vector<std::byte>& bytes, std::uint64_t offset, const T& value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// A file-system image with the file `guest`: an ELF64 header and one segment.
class HeldDeviceTest : public testing::Test {
   protected:
    void SetUp() override {
        kern::arch::fake::reset(4 << 20);
        kern::arch::fake::enter_cpu(0);
        bytes_.resize(file_block * block_size + image_offset + image_size + block_size);
        const kern::ImageHeader header{.magic = {'N', 'E', 'S', 'T', 'F', 'S', '1', 0},
                                       .file_count = 1,
                                       .block_count = bytes_.size() / block_size};
        put(bytes_, 0, header);
        const kern::DirectoryEntry entry{
            .name = {'g'}, .first_block = file_block, .size = image_offset + image_size};
        put(bytes_, block_size, entry);
        const std::uint64_t file = file_block * block_size;
        const unsigned char ident[16] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
        std::memcpy(bytes_.data() + file, ident, sizeof ident);
        put<std::uint16_t>(bytes_, file + 16, 2);   // ET_EXEC
        put<std::uint16_t>(bytes_, file + 18, 62);  // x86-64
        put<std::uint32_t>(bytes_, file + 20, 1);
        put<std::uint64_t>(bytes_, file + 32, 64);  // e_phoff
        put<std::uint16_t>(bytes_, file + 52, 64);
        put<std::uint16_t>(bytes_, file + 54, sizeof(kern::elf::ProgramHeader));
        put<std::uint16_t>(bytes_, file + 56, 1);
        const kern::elf::ProgramHeader segment{.p_type = kern::elf::pt_load,
                                               .p_offset = image_offset,
                                               .p_vaddr = image_begin.value(),
                                               .p_paddr = image_begin.value(),
                                               .p_filesz = image_size,
                                               .p_memsz = 2 * image_size};
        put(bytes_, file + 64, segment);
    }

    kern::File open() {
        auto files = kern::FileSystem::mount(device_);
        EXPECT_TRUE(files);
        return *files->open("g");
    }
    /// Reads the bytes of the page as a loader does.
    std::expected<std::size_t, Error> fill(const kern::File& file, Gpa page) {
        std::array<std::byte, page_size> frame{};
        return file.read(image_offset + (page - image_begin), frame);
    }
    SecondLevelTable table() { return std::move(*SecondLevelTable::create(npt_format)); }

    std::vector<std::byte> bytes_;
    kern::RamDisk disk_{[this] {
        bytes_.resize(file_block * block_size + image_offset + image_size + block_size);
        return std::span<std::byte>{bytes_};
    }()};
    HeldDevice device_{disk_};
};

TEST_F(HeldDeviceTest, EachPageHasABlockOfItsOwn) {
    const auto file = open();
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < 4; ++i) {
        const auto block = block_of_page(file, image_begin + i * page_size);
        ASSERT_TRUE(block);
        const std::uint64_t begin = (*block - file_block) * block_size;
        EXPECT_GE(begin, image_offset + i * page_size);
        EXPECT_LE(begin + block_size, image_offset + (i + 1) * page_size);
        EXPECT_GT(*block, last);
        last = *block;
    }
    EXPECT_EQ(block_of_page(file, image_begin + 4 * page_size).error(), Error::NotFound);
    EXPECT_EQ(block_of_page(file, image_begin - page_size).error(), Error::NotFound);
}

TEST_F(HeldDeviceTest, FailsTheReadsOfOnePageOnly) {
    const auto file = open();
    const auto pages = table();
    ASSERT_TRUE(device_.arm({.has_fail = true, .fail = image_begin + page_size}, file, pages));
    EXPECT_TRUE(fill(file, image_begin));
    EXPECT_EQ(fill(file, image_begin + page_size).error(), Error::DeviceFailure);
    EXPECT_TRUE(fill(file, image_begin + 2 * page_size));
    EXPECT_EQ(device_.disarm().failed_reads, 1U);
    EXPECT_TRUE(fill(file, image_begin + page_size));
}

TEST_F(HeldDeviceTest, HoldsNothingIfItsPlanIsRefused) {
    const auto file = open();
    const auto pages = table();
    const VmPlan plan{.hold = {.kind = HoldPlan::Kind::Faults, .page = image_begin, .faults = 8},
                      .hold_limit_ms = 1,
                      .has_fail = true,
                      .fail = image_begin - page_size};
    EXPECT_EQ(device_.arm(plan, file, pages).error(), Error::NotFound);
    EXPECT_TRUE(fill(file, image_begin));
    EXPECT_EQ(device_.disarm().fills, 0U);
}

TEST_F(HeldDeviceTest, HoldsAReadUntilEnoughFaultsWereCounted) {
    const auto file = open();
    const auto pages = table();
    ASSERT_TRUE(
        device_.arm({.hold = {.kind = HoldPlan::Kind::Faults, .page = image_begin, .faults = 2},
                     .hold_limit_ms = 60'000},
                    file, pages));
    device_.count_fault(image_begin, 0);
    device_.count_fault(image_begin, 0);  // the same vCPU once more: does not count
    std::atomic<bool> read{false};
    std::thread reader{[&] {
        kern::arch::fake::enter_cpu(1);
        EXPECT_TRUE(fill(file, image_begin));
        read.store(true);
    }};
    device_.count_fault(image_begin + page_size, 1);  // another page: does not count
    EXPECT_TRUE(fill(file, image_begin + page_size));
    EXPECT_FALSE(read.load());
    device_.count_fault(image_begin, 1);
    reader.join();
    const auto record = device_.disarm();
    EXPECT_EQ(record.hold_faults, 2U);
    EXPECT_EQ(record.hold_expired, 0U);
    EXPECT_EQ(record.fills, 1U);
}

TEST_F(HeldDeviceTest, AHoldEndsAtItsTimeLimit) {
    const auto file = open();
    const auto pages = table();
    ASSERT_TRUE(
        device_.arm({.hold = {.kind = HoldPlan::Kind::Faults, .page = image_begin, .faults = 2},
                     .hold_limit_ms = 1},
                    file, pages));
    device_.count_fault(image_begin, 0);
    EXPECT_TRUE(fill(file, image_begin));
    const auto record = device_.disarm();
    EXPECT_EQ(record.hold_expired, 1U);
    EXPECT_EQ(record.held_reads, 1U);
    EXPECT_EQ(record.hold_faults, 1U);
}

TEST_F(HeldDeviceTest, HoldsTwoPagesUntilBothAreUnderWay) {
    const Gpa other = image_begin + 2 * page_size;
    const auto file = open();
    auto pages = table();
    ASSERT_TRUE(
        device_.arm({.hold = {.kind = HoldPlan::Kind::Until, .page = image_begin, .until = other},
                     .hold_limit_ms = 60'000},
                    file, pages));
    std::thread reader{[&] {
        kern::arch::fake::enter_cpu(1);
        EXPECT_TRUE(fill(file, other));  // must wait for the other read to begin
        auto frame = kern::Frame::allocate(frame_owner::guest_memory);
        ASSERT_TRUE(frame);
        ASSERT_TRUE(pages.map(other, frame->release(), read_write_execute));
    }};
    EXPECT_TRUE(fill(file, image_begin));  // must wait for the other page to be present
    EXPECT_TRUE(pages.lookup(other));
    reader.join();
    EXPECT_EQ(device_.disarm().hold_expired, 0U);
}

TEST_F(HeldDeviceTest, RefusesAPageThatNoFileByteServes) {
    const auto file = open();
    const auto pages = table();
    const auto armed = device_.arm({.has_fail = true, .fail = Gpa{0}}, file, pages);
    ASSERT_FALSE(armed);
    EXPECT_EQ(armed.error(), Error::NotFound);
}

}  // namespace
}  // namespace vmm
