// SPDX-License-Identifier: MIT
// Task lab1.elf_decode.
#include <algorithm>
#include <cstring>
#include <optional>

#include "fixture.hh"
#include "kern/elf/elf.hh"

// Of AddressSanitizer's interface; not every compiler brings its header along.
// NOLINTNEXTLINE(readability-identifier-naming,bugprone-reserved-identifier)
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*,
                                                                           std::size_t),
                                                         void (*on_free)(const volatile void*));

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

    bool wide() const { return wide_; }
    /// What its header says, for who asks why it was refused.
    std::string in_words() const {
        std::ostringstream text;
        text << "a file of " << bytes.size() << " bytes: class " << number<std::uint8_t>(4)
             << " data " << number<std::uint8_t>(5) << " version " << number<std::uint8_t>(6)
             << " e_type " << number<std::uint16_t>(16) << " e_machine "
             << number<std::uint16_t>(18) << " e_version " << number<std::uint32_t>(20)
             << " e_phoff " << (wide_ ? number<std::uint64_t>(32) : number<std::uint32_t>(28))
             << " e_phentsize " << number<std::uint16_t>(wide_ ? 54 : 42) << " e_phnum "
             << number<std::uint16_t>(wide_ ? 56 : 44);
        return text.str();
    }

    std::uint64_t entry;
    Bytes bytes;

   private:
    template <class T>
    std::uint64_t number(std::uint64_t offset) const {
        T value;
        std::memcpy(&value, bytes.data() + offset, sizeof value);
        return value;
    }
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

/// The run's values in every field; of every type, loaded or not, the first one loaded. Addresses
/// of ELF32 are below 2^31 here.
std::vector<ProgramHeader> some_headers(bool wide, std::size_t count) {
    const auto word = [wide] { return random().next() >> (wide ? 0 : 33); };
    const auto type = [] {
        constexpr std::uint64_t gnu_stack = 0x6474'e551;
        return static_cast<std::uint32_t>(random().between(0, 3) == 0 ? gnu_stack
                                                                      : random().between(0, 7));
    };
    std::vector<ProgramHeader> headers;
    for (std::size_t i = 0; i < count; ++i)
        headers.push_back({.p_type = i == 0 ? kern::elf::pt_load : type(),
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

/// Whether what was read are headers of this file, whichever: for cases that are about something
/// else than their number and their order.
::testing::AssertionResult are_some_of(const kern::elf::Executable& seen,
                                       const std::vector<ProgramHeader>& wanted) {
    if (seen.program_headers().empty())
        return ::testing::AssertionFailure() << "no program header was read";
    for (const auto& header : seen.program_headers())
        if (std::ranges::none_of(wanted, [&](const ProgramHeader& one) {
                return std::memcmp(&one, &header, sizeof one) == 0;
            }))
            return ::testing::AssertionFailure()
                   << "a program header that was read is " << in_words(header)
                   << ", and none of the file's is; its first one is " << in_words(wanted[0]);
    return ::testing::AssertionSuccess();
}

/// A file that has another one of its class decoded in the middle of each read, as another CPU might
/// do it.
class BusyFile final : public kern::Peeker {
   public:
    BusyFile(const Peeker& file, bool wide)
        : file_{file}, other_{wide, some_headers(wide, random().between(1, 9))} {}
    std::uint64_t size() const override { return file_.size(); }
    std::expected<void, Error> peek(std::uint64_t offset, std::span<std::byte> out) const override {
        const auto done = file_.peek(offset, out);
        const MemoryPeeker other{other_.bytes};
        (void)kern::elf::elf_decode(other);
        return done;
    }

   private:
    const Peeker& file_;
    Image other_;
};

constexpr const char* all_is_right = "the file is as it must be: which check refuses it?";

/// The image is taken, and `right` says yes to what is in it; and so if another file is decoded at
/// the same time.
template <class Right>
void expect_read(const kern::Peeker& file, bool wide, Right right) {
    const auto executable = kern::elf::elf_decode(file);
    ASSERT_TRUE(succeeds(executable)) << all_is_right;
    EXPECT_TRUE(right(*executable));
    if (::testing::Test::HasFailure()) return;
    const BusyFile busy{file, wide};
    const auto again = kern::elf::elf_decode(busy);
    ASSERT_TRUE(succeeds(again))
        << "while another file was decoded: what is kept between two calls?";
    EXPECT_TRUE(right(*again)) << "while another file was decoded: what is kept between two calls?";
    EXPECT_TRUE(right(*executable)) << "the first result, after the second call";
}
template <class Right>
void expect_read(const Image& image, Right right) {
    SCOPED_TRACE(image.in_words());
    const MemoryPeeker file{image.bytes};
    expect_read(file, image.wide(), right);
}
void expect_some_of(const Image& image, const std::vector<ProgramHeader>& headers) {
    expect_read(image, [&](const auto& executable) { return are_some_of(executable, headers); });
}
void expect_all(const Image& image, const std::vector<ProgramHeader>& headers) {
    expect_read(image, [&](const auto& executable) { return are_headers(executable, headers); });
}

::testing::AssertionResult refused(const Bytes& bytes, Error wanted) {
    const MemoryPeeker file{bytes};
    return fails_with(kern::elf::elf_decode(file), wanted);
}

/// Whether the fields of the file's header were read; `table` is where its program headers are.
::testing::AssertionResult has_header(const kern::elf::Executable& seen, const Image& image,
                                      bool wide, std::size_t count, std::uint64_t table,
                                      std::uint16_t entry_size) {
    const auto& header = seen.header();
    std::ostringstream wrong;
    const auto look = [&](const char* name, std::uint64_t value, std::uint64_t wanted) {
        if (value != wanted)
            wrong << "\n  " << name << " is " << hex(value) << ", wanted is " << hex(wanted);
    };
    look("entry", header.entry, image.entry);
    look("program_header_offset", header.program_header_offset, table);
    look("program_header_count", header.program_header_count, count);
    look("program_header_size", header.program_header_size, entry_size);
    look("machine", header.machine, wide ? 62 : 3);
    look("is_64_bit", header.is_64_bit ? 1 : 0, wide ? 1 : 0);
    if (wrong.str().empty()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "in the header of an " << name_of(wide) << " file" << wrong.str();
}

TEST(ElfDecode, TakesAnElf64File) {
    const auto headers = some_headers(true, random().between(3, 9));
    const Image image{true, headers};
    const MemoryPeeker file{image.bytes};
    const auto executable = kern::elf::elf_decode(file);
    ASSERT_TRUE(succeeds(executable)) << all_is_right << '\n' << image.in_words();
    EXPECT_FALSE(executable->program_headers().empty()) << "no program header was read";
    EXPECT_EQ(&executable->peeker(), &file) << "the file itself, for who loads the segments";
}

TEST(ElfDecode, ReadsTheHeaderOfAnElf64File) {
    const auto headers = some_headers(true, random().between(2, 9));
    constexpr std::uint16_t entry_size = entry_size_64 + 0x108;  // more than a byte holds
    const Image image{true, headers, entry_size, 0x200};
    expect_read(image, [&](const auto& executable) {
        return has_header(executable, image, true, headers.size(), 0x200, entry_size);
    });
}

TEST(ElfDecode, ReadsEveryProgramHeaderInOrder) {
    for (const std::size_t count : {std::size_t{1}, random().between(3, 20)}) {
        const auto headers = some_headers(true, count);
        expect_all(Image{true, headers}, headers);
    }
}

TEST(ElfDecode, ReadsAnElf32File) {
    const auto headers = some_headers(false, random().between(2, 9));
    Image image{false, headers};
    image.word(24, 24, image.entry >>= 1);
    expect_read(image, [&](const auto& executable) {
        if (auto good =
                has_header(executable, image, false, headers.size(), header_size_32, entry_size_32);
            !good)
            return good;
        return are_some_of(executable, headers);
    });
}

TEST(ElfDecode, WidensAddressesOfElf32WithZeros) {
    auto headers = some_headers(false, 1);
    headers[0].p_offset = headers[0].p_vaddr = headers[0].p_paddr = 0xffff'f000;
    headers[0].p_filesz = headers[0].p_memsz = headers[0].p_align = 0x8000'0000;
    Image image{false, headers};
    image.word(24, 24, image.entry = 0xffff'fff0);
    expect_read(image, [&](const auto& executable) {
        if (executable.header().entry != image.entry)
            return ::testing::AssertionFailure() << "e_entry 0xfffffff0 of an ELF32 file became "
                                                 << hex(executable.header().entry);
        return are_some_of(executable, headers);
    });
}

TEST(ElfDecode, StepsThroughAnElf32FileByItsNumbers) {
    auto headers = some_headers(false, random().between(3, 9));
    expect_some_of(Image{false, headers, std::uint16_t(entry_size_32 + random().between(1, 90)),
                         random().between(100, 9'000)},
                   headers);
    headers = some_headers(false, kern::elf::max_program_headers);
    expect_some_of(Image{false, headers}, headers);
}

TEST(ElfDecode, StepsByTheFilesOwnEntrySize) {
    // More than a byte, and than 16 bits for the table, can count.
    for (const std::uint64_t more :
         std::initializer_list<std::uint64_t>{8, random().between(1, 90), 0x100, 0x2000 - 56}) {
        const auto headers = some_headers(true, random().between(9, 20));
        expect_some_of(Image{true, headers, std::uint16_t(entry_size_64 + more)}, headers);
    }
}

TEST(ElfDecode, FindsTheTableWhereverItStands) {
    for (const std::uint64_t table :
         std::initializer_list<std::uint64_t>{random().between(100, 9'000), 0x1'0040}) {
        const auto headers = some_headers(true, random().between(2, 9));
        expect_some_of(Image{true, headers, 0, table}, headers);
    }
}

/// A file of many GiB: a short beginning, then nothing but zeros, and a piece far behind.
class LargeFile final : public kern::Peeker {
   public:
    LargeFile(const Bytes& begin, const Bytes& piece, std::uint64_t at)
        : begin_{begin}, piece_{piece}, at_{at} {}
    std::uint64_t size() const override { return at_ + piece_.size(); }
    std::expected<void, Error> peek(std::uint64_t offset, std::span<std::byte> out) const override {
        if (offset > size() || out.size() > size() - offset)
            return std::unexpected(Error::Truncated);
        for (std::size_t i = 0; i < out.size(); ++i) {
            const std::uint64_t at = offset + i;
            out[i] = at < begin_.size() ? begin_[at] : at >= at_ ? piece_[at - at_] : std::byte{};
        }
        return {};
    }

   private:
    const Bytes& begin_;
    const Bytes& piece_;
    std::uint64_t at_;
};

TEST(ElfDecode, FindsTheTableFarIntoALargeFile) {
    constexpr std::uint64_t table_size = 2 * entry_size_64;
    for (const std::uint64_t at : std::initializer_list<std::uint64_t>{
             0x9000'0000, 0x7'0000'0040, 1ULL << 62,
             (1ULL << 32) - table_size}) {  // the file's size is 0 in 32 bits
        const auto headers = some_headers(true, 2);
        const Image near{true, headers};
        Bytes begin = Image{near}.word(28, 32, at).bytes;
        begin.resize(header_size_64);
        const Bytes table(near.bytes.begin() + header_size_64, near.bytes.end());
        const LargeFile file{begin, table, at};
        SCOPED_TRACE("e_phoff is " + hex(at) + ", the file's size " + hex(file.size()));
        expect_read(file, true, [&](const auto& executable) {
            if (executable.header().program_header_offset != at)
                return ::testing::AssertionFailure()
                       << "program_header_offset is "
                       << hex(executable.header().program_header_offset) << ", wanted is "
                       << hex(at);
            return are_some_of(executable, headers);
        });
    }
}

TEST(ElfDecode, TakesAsManyProgramHeadersAsAreAllowed) {
    const auto headers = some_headers(true, kern::elf::max_program_headers);
    expect_all(Image{true, headers}, headers);
}

/// Counts what is allocated while it is there.
std::size_t allocations = 0;
void note_allocation(const volatile void*, std::size_t) {
    ++allocations;
}

/// A file that notes whether anything but its headers is read.
class WatchedFile final : public kern::Peeker {
   public:
    WatchedFile(const Bytes& bytes, std::uint64_t header_end, std::uint64_t table)
        : memory_{bytes}, header_end_{header_end}, table_{table} {}
    std::uint64_t size() const override { return memory_.size(); }
    std::expected<void, Error> peek(std::uint64_t offset, std::span<std::byte> out) const override {
        const bool in_header = offset + out.size() <= header_end_;
        if (!in_header && offset < table_) strange_ = offset;
        return memory_.peek(offset, out);
    }
    std::optional<std::uint64_t> strange() const { return strange_; }

   private:
    MemoryPeeker memory_;
    std::uint64_t header_end_, table_;
    mutable std::optional<std::uint64_t> strange_;
};

TEST(ElfDecode, ReadsNothingButHeadersAndAllocatesNothing) {
    for (const bool wide : {true, false}) {
        const Image image{wide, some_headers(wide, 5), 0, 0x400};
        const WatchedFile file{image.bytes, wide ? header_size_64 : header_size_32, 0x400};
        ASSERT_NE(
            __sanitizer_install_malloc_and_free_hooks(note_allocation, [](const volatile void*) {}),
            0);
        allocations = 0;
        const auto executable = kern::elf::elf_decode(file);
        const std::size_t made = allocations;
        ASSERT_TRUE(succeeds(executable)) << name_of(wide);
        EXPECT_EQ(made, 0U) << "pieces of memory that were allocated on the way";
        EXPECT_FALSE(file.strange())
            << "byte " << *file.strange() << " of the file was read, which is in no header";
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
    for (const std::size_t size : {4U, 5U, 15U, 40U})
        EXPECT_TRUE(refused(Bytes(size, std::byte{'x'}), Error::BadFormat))
            << "a text of " << size << " letters";
}

TEST(ElfDecode, RefusesOtherByteOrdersAndVersions) {
    for (const bool wide : {true, false}) {
        const Image good{wide, some_headers(wide, 1)};
        EXPECT_TRUE(refused(Image{good}.byte(5, 2).bytes, Error::Unsupported)) << "big-endian";
        for (const unsigned data : {0U, 3U, 255U})
            EXPECT_TRUE(refused(Image{good}.byte(5, data).bytes, Error::BadFormat))
                << "data " << data;
        for (const unsigned version : {0U, 2U, 255U})
            EXPECT_TRUE(refused(Image{good}.byte(6, version).bytes, Error::BadFormat))
                << "version " << version << " in e_ident";
        for (const unsigned version : {0U, 2U, 255U, 0x101U, 0x1'0001U, 0x100'0001U})
            EXPECT_TRUE(
                refused(Image{good}.put<std::uint32_t>(20, version).bytes, Error::BadFormat))
                << "e_version " << hex(version);
    }
}

TEST(ElfDecode, RefusesOtherTypesAndMachines) {
    for (const bool wide : {true, false}) {
        const Image good{wide, some_headers(wide, 1)};
        for (const unsigned type : {0U, 1U, 3U, 4U, 0x102U, 0xffffU})
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
        for (const std::size_t count : {kern::elf::max_program_headers + 1, 0x100, 0x101, 0xffff})
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

        // The last entry's own bytes are there, and not what it has beyond them.
        Image last{wide, some_headers(wide, 2), std::uint16_t(fits + 8)};
        last.bytes.resize(last.bytes.size() - random().between(1, 8));
        EXPECT_TRUE(refused(last.bytes, Error::Truncated))
            << name_of(wide) << ": the last entry ends "
            << "beyond the file";
        // 16 times 0x1000 bytes are more than 16 bits can count.
        Image long_table{wide, some_headers(wide, 16), 0x1000};
        long_table.bytes.resize(fits + 15 * 0x1000 + 64);
        EXPECT_TRUE(refused(long_table.bytes, Error::Truncated))
            << name_of(wide) << ": the last of 16 entries of 0x1000 bytes ends"
            << " beyond the file";
    }
    // The same far into a large file, whose size minus e_phoff no 32 bits tell.
    for (const std::uint64_t at :
         std::initializer_list<std::uint64_t>{0x9000'0000, 0x7'0000'0040, 1ULL << 62}) {
        const Image near{true, some_headers(true, 2), entry_size_64 + 8};
        Bytes begin = Image{near}.word(28, 32, at).bytes;
        begin.resize(header_size_64);
        const Bytes table(near.bytes.begin() + header_size_64, near.bytes.end() - 1);
        const LargeFile file{begin, table, at};
        EXPECT_TRUE(fails_with(kern::elf::elf_decode(file), Error::Truncated))
            << "e_phoff is " << hex(at) << ", and the last entry's last byte is not in the file";
    }
}

TEST(ElfDecode, ReportsAFileThatEndsAnywhere) {
    for (const bool wide : {true, false}) {
        const Image good{wide, some_headers(wide, 2)};
        for (std::size_t size = 0; size < good.bytes.size(); ++size) {
            const Bytes cut(good.bytes.begin(),
                            good.bytes.begin() + static_cast<std::ptrdiff_t>(size));
            // One of less than four bytes does not begin with the magic either.
            if (size < kern::elf::elf_magic.size() && refused(cut, Error::BadFormat)) continue;
            EXPECT_TRUE(refused(cut, Error::Truncated))
                << "of the file's " << good.bytes.size() << " bytes there are " << size;
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
            for (const Error error : {Error::DeviceFailure, Error::Busy}) {
                TestFile bad{image.bytes};
                bad.fail_at(failing, error);
                EXPECT_TRUE(fails_with(kern::elf::elf_decode(bad), error))
                    << "read " << failing << " of " << all << " fails, this one alone";
            }
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
        ASSERT_LE(count, kern::elf::max_program_headers) << "e_phnum of a file that was taken";
        ASSERT_LE(header.program_header_offset + std::uint64_t{count} * header.program_header_size,
                  image.bytes.size())
            << "a table that was taken lies in the file";
    }
    EXPECT_GT(taken, 1'000U) << "most flipped bits change a value and nothing else";
}

}  // namespace
}  // namespace lab
