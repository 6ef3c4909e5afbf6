// SPDX-License-Identifier: MIT
#include "kern/elf/elf.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <random>
#include <utility>

#include "recording_disk.hh"

namespace kern::elf {
namespace {

using test::Bytes;

/// An ELF file made field by field at the offsets that the specification gives.
class Image {
   public:
    explicit Image(bool is_64_bit, std::uint16_t count = 2, std::uint16_t entry_size = 0)
        : is_64_bit_{is_64_bit} {
        const std::uint16_t written = is_64_bit ? 56 : 32;
        if (entry_size == 0) entry_size = written;
        const std::size_t begin = is_64_bit ? 64 : 52;
        bytes.resize(begin + std::size_t{count} * entry_size +
                     static_cast<std::size_t>(std::max(written - entry_size, 0)));
        put<std::uint32_t>(0, 0x464c'457f);
        put<std::uint8_t>(4, is_64_bit ? 2 : 1);
        put<std::uint8_t>(5, 1);
        put<std::uint8_t>(6, 1);
        put<std::uint16_t>(16, 2);
        put<std::uint16_t>(18, is_64_bit ? 62 : 3);
        put<std::uint32_t>(20, 1);
        word(24, 24, 0x10'0123);
        word(28, 32, begin);
        put<std::uint16_t>(is_64_bit ? 54 : 42, entry_size);
        put<std::uint16_t>(is_64_bit ? 56 : 44, count);
        for (std::uint16_t i = 0; i < count; ++i) {
            const std::size_t at = begin + std::size_t{i} * entry_size;
            put<std::uint32_t>(at, pt_load);
            put<std::uint32_t>(at + (is_64_bit ? 4 : 24), pf_r | pf_x);
            word(at + 4, at + 8, 0x1000 + i);
            word(at + 8, at + 16, 0x2000 + i);
            word(at + 12, at + 24, 0x3000 + i);
            word(at + 16, at + 32, 0x4000 + i);
            word(at + 20, at + 40, 0x5000 + i);
            word(at + 28, at + 48, 0x1000);
        }
    }
    template <class T>
    Image& put(std::size_t offset, T value) {
        std::memcpy(bytes.data() + offset, &value, sizeof value);
        return *this;
    }
    /// A value of the class's word size, at the offset for ELF32 or for ELF64.
    Image& word(std::size_t offset_32, std::size_t offset_64, std::uint64_t value) {
        return is_64_bit_ ? put(offset_64, value)
                          : put(offset_32, static_cast<std::uint32_t>(value));
    }

    Bytes bytes;

   private:
    bool is_64_bit_;
};

/// The error of parsing; Busy, which parsing never gives, if there is none.
Error error_of(const Bytes& bytes) {
    const MemoryPeeker peeker{bytes};
    const auto result = Executable::parse(peeker);
    return result ? Error::Busy : result.error();
}
Error error_of(const Image& image) {
    return error_of(image.bytes);
}

class BothClasses : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Elf, BothClasses, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Elf64" : "Elf32"; });

TEST_P(BothClasses, ReadsHeaders) {
    const Image image{GetParam()};
    const MemoryPeeker peeker{image.bytes};
    const auto file = Executable::parse(peeker);
    ASSERT_TRUE(file);
    EXPECT_EQ(&file->peeker(), &peeker);
    EXPECT_EQ(file->header().entry, 0x10'0123U);
    EXPECT_EQ(file->header().is_64_bit, GetParam());
    EXPECT_EQ(file->header().machine, GetParam() ? 62U : 3U);
    EXPECT_EQ(file->header().program_header_count, 2U);
    for (std::uint16_t i = 0; i < 2; ++i) {
        const auto header = file->program_header(i);
        ASSERT_TRUE(header);
        EXPECT_EQ(header->p_type, pt_load);
        EXPECT_EQ(header->p_flags, pf_r | pf_x);
        EXPECT_EQ(header->p_offset, 0x1000U + i);
        EXPECT_EQ(header->p_vaddr, 0x2000U + i);
        EXPECT_EQ(header->p_paddr, 0x3000U + i);
        EXPECT_EQ(header->p_filesz, 0x4000U + i);
        EXPECT_EQ(header->p_memsz, 0x5000U + i);
        EXPECT_EQ(header->p_align, 0x1000U);
    }
    EXPECT_EQ(file->program_header(2).error(), Error::OutOfRange);
    EXPECT_EQ(file->program_header(0xffff).error(), Error::OutOfRange);
}

TEST_P(BothClasses, StepsByTheFilesOwnEntrySize) {
    const Image image{GetParam(), 3, 80};
    const MemoryPeeker peeker{image.bytes};
    const auto file = Executable::parse(peeker);
    ASSERT_TRUE(file);
    EXPECT_EQ(file->program_header(2)->p_paddr, 0x3002U);
    EXPECT_EQ(error_of(Image{GetParam(), 2, static_cast<std::uint16_t>(GetParam() ? 55 : 31)}),
              Error::BadFormat);
}

TEST_P(BothClasses, CountsProgramHeaders) {
    EXPECT_EQ(error_of(Image{GetParam(), 0}), Error::BadFormat);
    EXPECT_EQ(error_of(Image{GetParam(), 1}), Error::Busy);
    EXPECT_EQ(error_of(Image{GetParam(), 128}), Error::Busy);
    EXPECT_EQ(error_of(Image{GetParam(), 129}), Error::Unsupported);
    EXPECT_EQ(error_of(Image{GetParam(), 0xffff}), Error::Unsupported);
}

TEST_P(BothClasses, RefusesWhatItDoesNotServe) {
    const bool wide = GetParam();
    EXPECT_EQ(error_of(Image{wide}.put<std::uint8_t>(0, 0)), Error::BadFormat);
    EXPECT_EQ(error_of(Image{wide}.put<std::uint8_t>(4, 0)), Error::BadFormat);
    EXPECT_EQ(error_of(Image{wide}.put<std::uint8_t>(4, 3)), Error::BadFormat);
    EXPECT_EQ(error_of(Image{wide}.put<std::uint8_t>(5, 2)), Error::Unsupported) << "big-endian";
    EXPECT_EQ(error_of(Image{wide}.put<std::uint8_t>(5, 0)), Error::BadFormat);
    EXPECT_EQ(error_of(Image{wide}.put<std::uint8_t>(6, 2)), Error::BadFormat);
    EXPECT_EQ(error_of(Image{wide}.put<std::uint32_t>(20, 0)), Error::BadFormat);
    for (const std::uint16_t type : {0, 1, 3, 4}) {
        EXPECT_EQ(error_of(Image{wide}.put(16, type)), Error::Unsupported) << type;
    }
    for (const std::uint16_t machine : {0, 40, wide ? 3 : 62, 183}) {
        EXPECT_EQ(error_of(Image{wide}.put(18, machine)), Error::Unsupported) << machine;
    }
}

TEST_P(BothClasses, TheTableLiesInTheFile) {
    const bool wide = GetParam();
    const std::uint64_t size = Image{wide}.bytes.size();
    const std::uint64_t begin = wide ? 64 : 52;
    for (const std::uint64_t offset : std::initializer_list<std::uint64_t>{
             size, size + 1, size - 1, begin + 1, ~0ULL, ~0ULL - 100}) {
        EXPECT_EQ(error_of(Image{wide}.word(28, 32, offset)), Error::Truncated) << offset;
    }
}

TEST_P(BothClasses, TruncationAnywhereIsAnError) {
    const Image image{GetParam()};
    for (std::size_t size = 0; size < image.bytes.size(); ++size) {
        const Bytes cut(image.bytes.begin(),
                        image.bytes.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_EQ(error_of(cut), Error::Truncated) << size;
    }
}

TEST_P(BothClasses, FlippedBitsAreHarmless) {
    std::mt19937 random{9};
    const Image whole{GetParam()};
    unsigned accepted = 0;
    for (int round = 0; round < 50'000; ++round) {
        Bytes bytes = whole.bytes;
        for (unsigned i = 1 + random() % 4; i > 0; --i) {
            bytes[random() % bytes.size()] ^= static_cast<std::byte>(1U << random() % 8);
        }
        const MemoryPeeker peeker{bytes};
        const auto file = Executable::parse(peeker);
        if (!file) continue;
        ++accepted;
        for (std::uint16_t i = 0; i < file->header().program_header_count; ++i) {
            EXPECT_TRUE(file->program_header(i)) << "the table was checked";
        }
    }
    EXPECT_GT(accepted, 0U);
}

TEST(Elf, TextIsNoElf) {
    const Bytes text(5, std::byte{'x'});
    EXPECT_EQ(error_of(text), Error::BadFormat);
    EXPECT_EQ(error_of(Bytes{}), Error::Truncated);
}

TEST(Peekers, ServeOnlyWhatTheyHold) {
    const Bytes contents = test::numbered_bytes(1000);
    test::RecordingDisk disk{test::make_image({{"file", contents}})};
    const FilePeeker file{*FileSystem::mount(disk)->open("file")};
    const MemoryPeeker memory{contents};
    for (const Peeker* peeker :
         {static_cast<const Peeker*>(&file), static_cast<const Peeker*>(&memory)}) {
        EXPECT_EQ(peeker->size(), 1000U);
        Bytes out(10);
        ASSERT_TRUE(peeker->peek(990, out));
        EXPECT_EQ(out.back(), contents.back());
        EXPECT_TRUE(peeker->peek(1000, {}));
        EXPECT_EQ(peeker->peek(991, out).error(), Error::Truncated);
        EXPECT_EQ(peeker->peek(~0ULL, out).error(), Error::Truncated);
        EXPECT_EQ(peeker->peek(1001, {}).error(), Error::Truncated);
    }
    disk.fail_from(1);
    Bytes out(10);
    EXPECT_EQ(file.peek(0, out).error(), Error::DeviceFailure);
    EXPECT_EQ(Executable::parse(file).error(), Error::DeviceFailure);
}

}  // namespace
}  // namespace kern::elf
