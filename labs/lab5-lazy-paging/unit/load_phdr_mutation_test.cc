// SPDX-License-Identifier: MIT
// Task lab5.load_phdr: numbers that only some of its mutants get wrong.
#include <cstring>

#include "fixture.hh"

namespace lab {
namespace {

using kern::page_size;
constexpr std::uint64_t gib = 1ULL << 30;
constexpr std::uint64_t hole_end = vmm::mmio_hole_end.value();

/// A disk with one file of 16 GiB, each word of which is its own offset.
class FarDisk final : public kern::BlockDevice {
   public:
    static constexpr std::uint64_t file_bytes = 16 * gib;

    std::uint64_t block_count() const override { return data + file_bytes / kern::block_size; }
    std::expected<void, Error> read(std::uint64_t first, std::span<std::byte> out) override {
        for (std::size_t at = 0; at < out.size(); at += 8) {
            const std::uint64_t offset = (first - data) * kern::block_size + at;
            std::memcpy(out.data() + at, &offset, sizeof offset);
        }
        if (first == 0) {
            const kern::ImageHeader header{
                .magic = {'N', 'E', 'S', 'T', 'F', 'S', '1'}, .file_count = 1, .block_count = data};
            std::memcpy(out.data(), &header, sizeof header);
        } else if (first < data) {
            const kern::DirectoryEntry entry{
                .name = {'f', 'a', 'r'}, .first_block = data, .size = file_bytes};
            std::memcpy(out.data(), &entry, sizeof entry);
        }
        return {};
    }
    std::expected<void, Error> write(std::uint64_t, std::span<const std::byte>) override {
        return std::unexpected(Error::DeviceFailure);
    }

   private:
    static constexpr std::uint64_t data = 8;  // the first block of the file
};

kern::elf::ProgramHeader segment(std::uint64_t offset, std::uint64_t paddr, std::uint64_t filesz,
                                 std::uint64_t memsz) {
    return load(offset, paddr, paddr, filesz, memsz);
}

class LoadPhdrNumbers : public PagerTest {
   protected:
    void SetUp() override {
        PagerTest::SetUp();
        make_pager();
    }

    std::expected<void, Error> register_segment(const kern::elf::ProgramHeader& phdr) {
        return pager().load_phdr(phdr, *kern::FileSystem::mount(disk_)->open("far"));
    }

    /// The first word of a page, by its loaders.
    std::uint64_t word_at(Gpa page) {
        alignas(8) std::array<std::byte, page_size> bytes{};
        for (const Loader& loader : loaders().on_page(page))
            EXPECT_TRUE(succeeds(loader.fill(page, bytes)));
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), sizeof word);
        return word;
    }

   private:
    FarDisk disk_;
};

TEST_F(LoadPhdrNumbers, TakesMoreThan4GiBOfALongFile) {
    const std::uint64_t offset = 5 * gib + random().page_between(1, 1000);
    ASSERT_TRUE(succeeds(register_segment(segment(offset, hole_end, 6 * gib, 7 * gib))));
    for (const std::uint64_t distance : {std::uint64_t{0}, 5 * gib, 6 * gib - page_size})
        EXPECT_EQ(word_at(Gpa{hole_end + distance}), offset + distance)
            << hex(distance) << " bytes into the segment: each word of the file is its own offset";
    EXPECT_EQ(word_at(Gpa{hole_end + 6 * gib}), 0U) << "behind the file's bytes";
}

TEST_F(LoadPhdrNumbers, MayEndALongFileAndGuestPhysicalMemory) {
    EXPECT_TRUE(succeeds(register_segment(segment(FarDisk::file_bytes - 8 * gib, hole_end, 8 * gib,
                                                  vmm::guest_physical_end - hole_end))))
        << "p_filesz is 8 GiB, p_offset + p_filesz the file's size, p_paddr + p_memsz is 2^40";
}

TEST_F(LoadPhdrNumbers, MayBeTheLastByteOfGuestPhysicalMemory) {
    EXPECT_TRUE(succeeds(register_segment(segment(0, vmm::guest_physical_end - 1, 1, 1))));
}

TEST_F(LoadPhdrNumbers, RefusesMoreThan4GiBInTheFileThanInMemory) {
    EXPECT_TRUE(fails_with(register_segment(segment(0, hole_end, 4 * gib + 0x10, 0x1000)),
                           Error::BadFormat))
        << "p_filesz is 4 GiB and 0x10 bytes, which the file has, and p_memsz 0x1000";
}

TEST_F(LoadPhdrNumbers, RefusesBytesBeyondALongFile) {
    EXPECT_TRUE(fails_with(register_segment(segment(12 * gib, hole_end, 8 * gib, 8 * gib)),
                           Error::Truncated))
        << "8 GiB from 12 GiB on, of a file of 16 GiB";
}

TEST_F(LoadPhdrNumbers, IsWholeOrNothingWhereTheMapHasOnePlaceLeft) {
    for (std::uint64_t i = 0; i + 1 < vmm::LoaderMap::capacity; ++i)
        add_loader(Loader::zeros(Gpa{i * 0x2000}, Gpa{i * 0x2000 + 0x1000}));
    const Gpa begin{0x4000'0000}, end{0x4000'3000};
    const bool whole = register_segment(segment(0, begin.value(), 0x1800, 0x3000)).has_value();
    EXPECT_EQ(loaders().overlaps(begin, begin + 1), whole) << "the first byte has a loader or not";
    EXPECT_EQ(loaders().overlaps(end - 1, end), whole)
        << "the last byte of the zeros has a loader or not; load_phdr says "
        << (whole ? "that it has registered the segment" : "that it has not");
}

}  // namespace
}  // namespace lab
