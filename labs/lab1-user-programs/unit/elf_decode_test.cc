// SPDX-License-Identifier: MIT
// Task lab1.elf_decode.
#include <algorithm>
#include <cstring>

#include "fixture.hh"
#include "kern/elf/elf.hh"

namespace lab {
namespace {

using kern::elf::ProgramHeader;

// Offsets and sizes are written out as the specification gives them, not taken from format.hh.
constexpr std::uint64_t header_size_64 = 64, header_size_32 = 52;
constexpr std::uint16_t entry_size_64 = 56, entry_size_32 = 32;

/// An ELF file made field by field.
class Image {
   public:
    Image(bool wide, const std::vector<ProgramHeader>& headers, std::uint16_t entry_size = 0,
          std::uint64_t table = 0)
        : entry{random().next() >> (wide ? 0 : 32)}, wide_{wide} {
        if (entry_size == 0) entry_size = wide ? entry_size_64 : entry_size_32;
        if (table == 0) table = wide ? header_size_64 : header_size_32;
        bytes = random().bytes(table + std::max<std::uint64_t>(headers.size() * entry_size, 1));
        put<std::uint32_t>(0, 0x464c'457f);  // magic
        put<std::uint8_t>(4, wide ? 2 : 1);  // class
        put<std::uint8_t>(5, 1);             // little-endian
        put<std::uint8_t>(6, 1);             // version
        put<std::uint16_t>(16, 2);           // ET_EXEC
        put<std::uint16_t>(18, wide ? 62 : 3);
        put<std::uint32_t>(20, 1);  // version
        word(24, 24, entry);
        word(28, 32, table);
        put(wide ? 54 : 42, entry_size);
        put(wide ? 56 : 44, static_cast<std::uint16_t>(headers.size()));
        for (const auto& header : headers) {
            put_header(table, header, entry_size);
            table += entry_size;
        }
    }

    template <class T>
    Image& put(std::uint64_t offset, T value) {
        std::memcpy(bytes.data() + offset, &value, sizeof value);
        return *this;
    }
    Image& byte(std::uint64_t offset, unsigned value) {
        return put(offset, static_cast<std::uint8_t>(value));
    }
    Image& half(std::uint64_t offset, unsigned value) {
        return put(offset, static_cast<std::uint16_t>(value));
    }
    /// A value of the class's word size, at the offset for ELF32 or for ELF64.
    Image& word(std::uint64_t offset_32, std::uint64_t offset_64, std::uint64_t value) {
        return wide_ ? put(offset_64, value) : put(offset_32, static_cast<std::uint32_t>(value));
    }

    std::uint64_t entry;
    Bytes bytes;

   private:
    void put_header(std::uint64_t at, const ProgramHeader& header, std::uint16_t room) {
        const std::uint64_t flags_at = wide_ ? 4 : 24;
        if (room < (wide_ ? entry_size_64 : entry_size_32)) return;
        put(at, header.p_type);
        put(at + flags_at, header.p_flags);
        word(at + 4, at + 8, header.p_offset);
        word(at + 8, at + 16, header.p_vaddr);
        word(at + 12, at + 24, header.p_paddr);
        word(at + 16, at + 32, header.p_filesz);
        word(at + 20, at + 40, header.p_memsz);
        word(at + 28, at + 48, header.p_align);
    }

    bool wide_;
};

/// The run's values in every field; of every type, loaded or not.
std::vector<ProgramHeader> some_headers(bool wide, std::size_t count) {
    const auto word = [wide] { return random().next() >> (wide ? 0 : 32); };
    std::vector<ProgramHeader> headers;
    for (std::size_t i = 0; i < count; ++i)
        headers.push_back({.p_type = static_cast<std::uint32_t>(random().between(0, 7)),
                           .p_flags = static_cast<std::uint32_t>(random().next()),
                           .p_offset = word(),
                           .p_vaddr = word(),
                           .p_paddr = word(),
                           .p_filesz = word(),
                           .p_memsz = word(),
                           .p_align = word()});
    return headers;
}

const char* name_of(bool wide) {
    return wide ? "ELF64" : "ELF32";
}

std::string in_words(const ProgramHeader& header) {
    std::ostringstream text;
    text << std::hex << "type 0x" << header.p_type << " flags 0x" << header.p_flags << " offset 0x"
         << header.p_offset << " vaddr 0x" << header.p_vaddr << " paddr 0x" << header.p_paddr
         << " filesz 0x" << header.p_filesz << " memsz 0x" << header.p_memsz << " align 0x"
         << header.p_align;
    return text.str();
}

/// Whether `seen` are these headers, one by one.
::testing::AssertionResult are_headers(const kern::elf::Executable& seen,
                                       const std::vector<ProgramHeader>& wanted) {
    const auto headers = seen.program_headers();
    if (headers.size() != wanted.size())
        return ::testing::AssertionFailure() << headers.size() << " program headers were read, the "
                                             << "file has " << wanted.size();
    for (std::size_t i = 0; i < wanted.size(); ++i)
        if (std::memcmp(&headers[i], &wanted[i], sizeof wanted[i]) != 0)
            return ::testing::AssertionFailure()
                   << "program header " << i << " of " << wanted.size() << " is "
                   << in_words(headers[i]) << ", wanted is " << in_words(wanted[i]);
    return ::testing::AssertionSuccess();
}

/// The image is taken, and all that is in it is found.
void expect_read(const Image& image, bool wide, const std::vector<ProgramHeader>& headers) {
    const MemoryPeeker file{image.bytes};
    const auto executable = kern::elf::elf_decode(file);
    ASSERT_TRUE(succeeds(executable)) << name_of(wide);
    EXPECT_EQ(hex(executable->header().entry), hex(image.entry)) << name_of(wide);
    EXPECT_TRUE(are_headers(*executable, headers)) << name_of(wide);
}

::testing::AssertionResult refused(const Bytes& bytes, Error wanted) {
    const MemoryPeeker file{bytes};
    return fails_with(kern::elf::elf_decode(file), wanted);
}

TEST(ElfDecode, ReadsTheHeaderOfAnElf64File) {
    const auto headers = some_headers(true, random().between(2, 9));
    const Image image{true, headers};
    const MemoryPeeker file{image.bytes};
    const auto executable = kern::elf::elf_decode(file);
    ASSERT_TRUE(succeeds(executable));
    EXPECT_EQ(hex(executable->header().entry), hex(image.entry)) << "e_entry";
    EXPECT_EQ(executable->header().program_header_offset, header_size_64) << "e_phoff";
    EXPECT_EQ(executable->header().program_header_count, headers.size()) << "e_phnum";
    EXPECT_EQ(executable->header().program_header_size, entry_size_64) << "e_phentsize";
    EXPECT_EQ(executable->header().machine, 62) << "e_machine";
    EXPECT_TRUE(executable->header().is_64_bit);
    EXPECT_EQ(&executable->peeker(), &file) << "the file itself, for who loads the segments";
}

TEST(ElfDecode, ReadsEveryProgramHeaderInOrder) {
    for (const std::size_t count : {std::size_t{1}, random().between(2, 20)}) {
        const auto headers = some_headers(true, count);
        expect_read(Image{true, headers}, true, headers);
    }
}

TEST(ElfDecode, ReadsAnElf32File) {
    const auto headers = some_headers(false, random().between(2, 9));
    const Image image{false, headers};
    const MemoryPeeker file{image.bytes};
    const auto executable = kern::elf::elf_decode(file);
    ASSERT_TRUE(succeeds(executable));
    EXPECT_EQ(hex(executable->header().entry), hex(image.entry)) << "e_entry";
    EXPECT_EQ(executable->header().program_header_offset, header_size_32) << "e_phoff";
    EXPECT_EQ(executable->header().program_header_count, headers.size()) << "e_phnum";
    EXPECT_EQ(executable->header().program_header_size, entry_size_32) << "e_phentsize";
    EXPECT_EQ(executable->header().machine, 3) << "e_machine";
    EXPECT_FALSE(executable->header().is_64_bit);
    EXPECT_TRUE(are_headers(*executable, headers));
}

TEST(ElfDecode, WidensAddressesOfElf32WithZeros) {
    auto headers = some_headers(false, 1);
    headers[0].p_vaddr = headers[0].p_paddr = headers[0].p_memsz = 0xffff'f000;
    expect_read(Image{false, headers}, false, headers);
}

TEST(ElfDecode, StepsByTheFilesOwnEntrySize) {
    for (const bool wide : {true, false})
        for (const std::uint16_t more :
             {std::uint16_t{8}, std::uint16_t(random().between(1, 90))}) {
            const auto headers = some_headers(wide, random().between(2, 9));
            const auto size = std::uint16_t((wide ? entry_size_64 : entry_size_32) + more);
            expect_read(Image{wide, headers, size}, wide, headers);
        }
}

TEST(ElfDecode, FindsTheTableWhereverItStands) {
    for (const bool wide : {true, false}) {
        const auto headers = some_headers(wide, random().between(1, 9));
        expect_read(Image{wide, headers, 0, random().between(100, 9'000)}, wide, headers);
    }
}

TEST(ElfDecode, TakesAsManyProgramHeadersAsAreAllowed) {
    for (const bool wide : {true, false}) {
        const auto headers = some_headers(wide, kern::elf::max_program_headers);
        expect_read(Image{wide, headers}, wide, headers);
    }
}

TEST(ElfDecode, RefusesWhatIsNoElfFile) {
    for (const bool wide : {true, false}) {
        for (const unsigned at : {0U, 1U, 2U, 3U}) {
            Image image{wide, some_headers(wide, 1)};
            image.bytes[at] ^= std::byte(random().between(1, 255));
            EXPECT_TRUE(refused(image.bytes, Error::BadFormat)) << "byte " << at << " of the magic";
        }
        for (const unsigned file_class : {0U, 3U, 255U})
            EXPECT_TRUE(refused(Image{wide, some_headers(wide, 1)}.byte(4, file_class).bytes,
                                Error::BadFormat))
                << "class " << file_class;
    }
    EXPECT_TRUE(refused(Bytes(5, std::byte{'x'}), Error::BadFormat)) << "a text of five letters";
}

TEST(ElfDecode, RefusesOtherByteOrdersAndVersions) {
    for (const bool wide : {true, false}) {
        const Image good{wide, some_headers(wide, 1)};
        EXPECT_TRUE(refused(Image{good}.byte(5, 2).bytes, Error::Unsupported)) << "big-endian";
        for (const unsigned data : {0U, 3U, 255U})
            EXPECT_TRUE(refused(Image{good}.byte(5, data).bytes, Error::BadFormat))
                << "data " << data;
        for (const unsigned version : {0U, 2U, 255U}) {
            EXPECT_TRUE(refused(Image{good}.byte(6, version).bytes, Error::BadFormat))
                << "version " << version << " in e_ident";
            EXPECT_TRUE(
                refused(Image{good}.put<std::uint32_t>(20, version).bytes, Error::BadFormat))
                << "e_version " << version;
        }
    }
}

TEST(ElfDecode, RefusesOtherTypesAndMachines) {
    for (const bool wide : {true, false}) {
        const Image good{wide, some_headers(wide, 1)};
        for (const unsigned type : {0U, 1U, 3U, 4U, 0xffffU})
            EXPECT_TRUE(refused(Image{good}.half(16, type).bytes, Error::Unsupported))
                << name_of(wide) << " with e_type " << type;
        for (const unsigned machine : {0U, wide ? 3U : 62U, 40U, 183U, 0xff00U + (wide ? 62 : 3)})
            EXPECT_TRUE(refused(Image{good}.half(18, machine).bytes, Error::Unsupported))
                << name_of(wide) << " with e_machine " << machine;
    }
}

TEST(ElfDecode, RefusesTooFewAndTooManyProgramHeaders) {
    for (const bool wide : {true, false}) {
        EXPECT_TRUE(refused(Image{wide, {}}.bytes, Error::BadFormat)) << "e_phnum 0";
        for (const std::size_t count : {kern::elf::max_program_headers + 1, 0xffff})
            EXPECT_TRUE(refused(Image{wide, some_headers(wide, count)}.bytes, Error::Unsupported))
                << "e_phnum " << count;
    }
}

TEST(ElfDecode, RefusesEntriesThatAreTooSmall) {
    for (const bool wide : {true, false})
        for (const unsigned size : {0U, 1U, (wide ? entry_size_64 : entry_size_32) - 1U}) {
            Image image{wide, some_headers(wide, 3)};
            EXPECT_TRUE(refused(image.half(wide ? 54 : 42, size).bytes, Error::BadFormat))
                << name_of(wide) << " with e_phentsize " << size;
        }
}

TEST(ElfDecode, RefusesATableThatLeavesTheFile) {
    for (const bool wide : {true, false}) {
        const Image good{wide, some_headers(wide, 2)};
        const std::uint64_t size = good.bytes.size();
        const std::uint64_t fits = wide ? header_size_64 : header_size_32;
        const std::uint64_t top = wide ? ~0ULL : 0xffff'ffffULL;
        for (const std::uint64_t offset :
             {fits + 1, size - 1, size, size + 1, top, top - 100, top - 2 * entry_size_64 + 1,
              top - 2 * entry_size_32 + 1})
            EXPECT_TRUE(refused(Image{good}.word(28, 32, offset).bytes, Error::Truncated))
                << name_of(wide) << " of " << size << " bytes with e_phoff " << hex(offset);
        EXPECT_TRUE(refused(Image{good}.half(wide ? 56 : 44, 3).bytes, Error::Truncated))
            << "three entries where the file ends after two";
    }
}

TEST(ElfDecode, ReportsAFileThatEndsAnywhere) {
    for (const bool wide : {true, false}) {
        const Image good{wide, some_headers(wide, 2)};
        for (std::size_t size = 0; size < good.bytes.size(); ++size) {
            const Bytes cut(good.bytes.begin(),
                            good.bytes.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_TRUE(refused(cut, Error::Truncated)) << size << " of " << good.bytes.size();
        }
    }
}

TEST(ElfDecode, ReportsAReadThatFailsWhicheverItIs) {
    for (const bool wide : {true, false}) {
        const Image image{wide, some_headers(wide, 5)};
        TestFile file{image.bytes};
        ASSERT_TRUE(succeeds(kern::elf::elf_decode(file)));
        const unsigned all = file.reads();
        for (unsigned failing = 1; failing <= all; ++failing) {
            TestFile bad{image.bytes};
            bad.fail_at(failing, Error::DeviceFailure);
            EXPECT_TRUE(fails_with(kern::elf::elf_decode(bad), Error::DeviceFailure))
                << "read " << failing << " of " << all << " fails";
        }
    }
}

TEST(ElfDecode, WithstandsAnyBytes) {
    unsigned taken = 0;
    for (int round = 0; round < 20'000; ++round) {
        const bool wide = round % 2 == 0;
        Image image{wide, some_headers(wide, random().between(1, 3))};
        for (auto flips = random().between(1, 4); flips > 0; --flips)
            image.bytes[random().between(0, 79)] ^= std::byte(1U << random().between(0, 7));
        const MemoryPeeker file{image.bytes};
        const auto executable = kern::elf::elf_decode(file);
        if (!executable) continue;
        ++taken;
        const auto& header = executable->header();
        const bool is_wide = header.is_64_bit;
        std::uint16_t count = 0;
        std::memcpy(&count, image.bytes.data() + (is_wide ? 56 : 44), sizeof count);
        ASSERT_EQ(executable->program_headers().size(), count);
        ASSERT_LE(header.program_header_offset + std::uint64_t{count} * header.program_header_size,
                  image.bytes.size())
            << "a table that was taken lies in the file";
    }
    EXPECT_GT(taken, 1'000U) << "most flipped bits change a value and nothing else";
}

}  // namespace
}  // namespace lab
