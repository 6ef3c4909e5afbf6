// SPDX-License-Identifier: MIT
// Task lab2.copy_guest_kern_gpa.
#include <algorithm>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "kern/elf/format.hh"
#include "program.hh"

namespace lab {
namespace {

namespace elf = kern::elf;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t greatest = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kernel_base = 0xffff'ffff'c000'0000;  // virtual minus physical

/// A guest kernel's file: headers, and the run's bytes elsewhere.
struct KernelFile {
    elf::FileHeader64 header{.e_ident = {.magic = elf::elf_magic,
                                         .file_class = elf::class_64,
                                         .data = elf::little_endian,
                                         .version = elf::current_version,
                                         .padding = {}},
                             .e_type = elf::et_exec,
                             .e_machine = elf::em_x86_64,
                             .e_version = elf::current_version,
                             .e_entry = kernel_base + 0x20'0000,
                             .e_phoff = sizeof(elf::FileHeader64),
                             .e_shoff = 0,
                             .e_flags = 0,
                             .e_ehsize = sizeof(elf::FileHeader64),
                             .e_phentsize = sizeof(elf::ProgramHeader),
                             .e_phnum = 0,
                             .e_shentsize = 0,
                             .e_shnum = 0,
                             .e_shstrndx = 0};
    std::vector<elf::ProgramHeader> segments{};
    std::uint64_t size = 32 * page;

    /// The file's bytes. e_phnum is that of the segments, unless the case has set one.
    Bytes bytes() const {
        Bytes file = random().bytes(size);
        elf::FileHeader64 written = header;
        if (written.e_phnum == 0) written.e_phnum = static_cast<std::uint16_t>(segments.size());
        std::memcpy(file.data(), &written, sizeof written);
        for (std::size_t i = 0; i < segments.size(); ++i) {
            const std::uint64_t at = header.e_phoff + i * header.e_phentsize;
            if (at < header.e_phoff) break;  // wraps: it would spoil the file's header
            if (at <= file.size() && file.size() - at >= sizeof segments[i])
                std::memcpy(file.data() + at, &segments[i], sizeof segments[i]);
        }
        return file;
    }
};

elf::ProgramHeader load(std::uint64_t offset, std::uint64_t paddr, std::uint64_t filesz,
                        std::uint64_t memsz,
                        std::uint32_t flags = elf::pf_r | elf::pf_w | elf::pf_x) {
    return {.p_type = elf::pt_load,
            .p_flags = flags,
            .p_offset = offset,
            .p_vaddr = paddr,
            .p_paddr = paddr,
            .p_filesz = filesz,
            .p_memsz = memsz,
            .p_align = page};
}

/// Code and data, as of a real kernel.
KernelFile usual_kernel() {
    KernelFile kernel;
    const std::uint64_t text = random().between(2 * page, 4 * page);
    const std::uint64_t data = random().between(page, 2 * page);
    kernel.segments = {load(page, 0x20'0000, text, text),
                       load(8 * page, 0x21'0000, data, data + 2 * page)};
    return kernel;
}

std::uint64_t rights_of(std::uint32_t flags) {
    return user::right_read | ((flags & elf::pf_w) != 0 ? user::right_write : 0) |
           ((flags & elf::pf_x) != 0 ? user::right_execute : 0);
}

class CopyGuestKernGpa : public ProgramTest {
   protected:
    void SetUp() override {
        // So that the kernel's descriptor is not 0, as its first offset is.
        world().put_file("other", other_);
        (void)world().open("other");
    }
    std::int64_t copy(const KernelFile& kernel) { return copy(kernel.bytes()); }
    std::int64_t copy(Bytes bytes) {
        contents_ = std::move(bytes);
        world().put_file("kernel", contents_);
        return user::copy_guest_kern_gpa(FakeWorld::guest, "kernel");
    }
    /// Copies it, and looks whether the guest has each PT_LOAD segment and no other page. Rights
    /// are another case's affair.
    void copy_and_compare(const KernelFile& kernel) {
        ASSERT_TRUE(is_done(copy(kernel)));
        compare(kernel);
    }
    void compare(const KernelFile& kernel) {
        std::size_t pages = 0;
        for (const auto& segment : kernel.segments) {
            if (segment.p_type != elf::pt_load || segment.p_memsz == 0) continue;
            const std::uint64_t end = segment.p_paddr + segment.p_memsz;
            for (std::uint64_t at = segment.p_paddr & ~(page - 1); at < end; at += page) {
                ++pages;
                const auto found = world().guest_pages().find(at);
                ASSERT_TRUE(found != world().guest_pages().end())
                    << "the guest has no page at " << hex(at)
                    << ", which is of the segment at p_paddr " << hex(segment.p_paddr);
            }
            EXPECT_TRUE(guest_has(
                segment.p_paddr, std::span{contents_}.subspan(segment.p_offset, segment.p_filesz)));
            EXPECT_TRUE(
                guest_has_zeros(segment.p_paddr + segment.p_filesz, (end + page - 1) & ~(page - 1)))
                << "behind the file's bytes";
        }
        EXPECT_EQ(world().guest_pages().size(), pages) << "pages of the guest";
    }
    /// The usual kernel with one thing spoilt is refused, and the guest has got nothing.
    void expect_bad(const std::function<void(KernelFile&)>& spoil, const std::string& what) {
        KernelFile kernel = usual_kernel();
        spoil(kernel);
        expect_bad(kernel.bytes(), what);
    }
    void expect_bad(const Bytes& bytes, const std::string& what) {
        FakeWorld fresh;  // few files can be open at a time, and none can be closed
        fresh.put_file("kernel", bytes);
        EXPECT_TRUE(
            is_error(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel"), Failure::bad_format))
            << what;
        EXPECT_EQ(fresh.guest_pages().size(), 0U)
            << "pages that the guest got of a kernel that was refused: " << what;
    }

   private:
    Bytes contents_;
    Bytes other_ = Bytes(1);
};

TEST_F(CopyGuestKernGpa, LoadsCodeAndData) {
    copy_and_compare(usual_kernel());
}

TEST_F(CopyGuestKernGpa, PhysicalAddressesCount) {
    KernelFile kernel = usual_kernel();
    for (auto& segment : kernel.segments) segment.p_vaddr = segment.p_paddr + 0x100'0000;
    ASSERT_TRUE(is_done(copy(kernel))) << "p_vaddr is p_paddr + 0x1000000";
    compare(kernel);
    for (auto& segment : kernel.segments) {
        segment.p_vaddr = kernel_base + segment.p_paddr;
        segment.p_paddr += 0x200'0000;
    }
    FakeWorld fresh;
    fresh.put_file("kernel", kernel.bytes());
    EXPECT_TRUE(is_done(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel")))
        << "p_vaddr is " << hex(kernel.segments[0].p_vaddr) << ", p_paddr "
        << hex(kernel.segments[0].p_paddr);
    for (auto& segment : kernel.segments) segment.p_paddr += 1ULL << 32;
    FakeWorld high;
    high.put_file("kernel", kernel.bytes());
    EXPECT_TRUE(is_done(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel")))
        << "p_paddr is " << hex(kernel.segments[0].p_paddr);
    EXPECT_TRUE(high.guest_pages().contains(kernel.segments[0].p_paddr))
        << "the guest has no page at p_paddr, " << hex(kernel.segments[0].p_paddr);
}

TEST_F(CopyGuestKernGpa, TheFlagsBecomeRights) {
    KernelFile kernel;
    for (std::uint32_t flags = 0; flags < 8; ++flags)
        kernel.segments.push_back(
            load((1 + flags) * page, 0x10'0000 + flags * (2 * page), page, page + 1, flags));
    ASSERT_TRUE(is_done(copy(kernel))) << "segments with p_flags 0 to 7";
    compare(kernel);
    for (const auto& segment : kernel.segments)
        for (const std::uint64_t at : {segment.p_paddr, segment.p_paddr + page}) {
            const auto found = world().guest_pages().find(at);
            ASSERT_TRUE(found != world().guest_pages().end()) << "no page at " << hex(at);
            EXPECT_EQ(found->second.perm, rights_of(segment.p_flags))
                << "rights (1 read, 2 write, 4 execute) of the page at " << hex(at)
                << "; p_flags is " << segment.p_flags << " (4 read, 2 write, 1 execute)";
        }
}

TEST_F(CopyGuestKernGpa, OnlyPtLoadIsLoaded) {
    KernelFile kernel = usual_kernel();
    auto note = load(3 * page, 0x40'0000, page, page);
    note.p_type = elf::pt_note;
    auto hostile = load(greatest, greatest, greatest, 1);
    hostile.p_type = 0x6474'e551;  // PT_GNU_STACK
    auto nothing = load(0, 0x50'0000, 9, 0);
    nothing.p_type = 0;
    kernel.segments.insert(kernel.segments.begin(), {note, hostile});
    kernel.segments.push_back(nothing);
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, TheTableMayLieAnywhere) {
    KernelFile kernel = usual_kernel();
    kernel.header.e_phoff = random().between(20 * page, 21 * page);
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, TheTableMayEndTheFile) {
    KernelFile kernel = usual_kernel();
    kernel.header.e_phoff = kernel.size - 2 * sizeof(elf::ProgramHeader);
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, TheFileSaysHowFarToTheNextHeader) {
    KernelFile kernel = usual_kernel();
    kernel.header.e_phentsize = sizeof(elf::ProgramHeader) + 24;
    kernel.segments.push_back(load(14 * page, 0x30'0000, 100, 100));
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, TheHeadersMayBeFarApart) {
    KernelFile kernel = usual_kernel();
    kernel.size = 64 * page;
    kernel.header.e_phentsize = 0x7001;  // the third one is more than 2^16 bytes from the first
    for (std::uint64_t i = 0; i < 4; ++i)
        kernel.segments.push_back(load((50 + i) * page, 0x30'0000 + i * page, page, page));
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, TheRestOfTheHeaderIsNotLookedAt) {
    KernelFile kernel = usual_kernel();
    kernel.header.e_ident.version = 9;
    kernel.header.e_version = 7;
    kernel.header.e_entry = 0;
    kernel.header.e_flags = ~0U;
    kernel.header.e_ehsize = 1;
    kernel.header.e_shoff = greatest;
    kernel.header.e_shentsize = kernel.header.e_shnum = kernel.header.e_shstrndx = 0xffff;
    for (auto& segment : kernel.segments) segment.p_align = 3;
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, TheNameIsAsLongAsItSays) {
    const KernelFile kernel = usual_kernel();
    const Bytes good = kernel.bytes();
    world().put_file("kernel", good);
    world().put_file("kernel.old", Bytes(100));
    constexpr std::string_view longer = "kernel.old";
    EXPECT_TRUE(is_done(user::copy_guest_kern_gpa(FakeWorld::guest, longer.substr(0, 6))))
        << "the name is \"kernel\"; behind its end in memory stands \".old\"";
}

TEST_F(CopyGuestKernGpa, ASecondKernelIsLoadedLikeTheFirst) {
    KernelFile first = usual_kernel();
    for (std::uint64_t i = 0; i < 4; ++i)
        first.segments.push_back(load((10 + i) * page, 0x30'0000 + i * page, page, page));
    {
        FakeWorld other;
        other.put_file("kernel", first.bytes());
        ASSERT_TRUE(is_done(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel")));
    }
    copy_and_compare(usual_kernel());
}

TEST_F(CopyGuestKernGpa, LeavesNothingAtUtemp) {
    ASSERT_TRUE(is_done(copy(usual_kernel())));
    ASSERT_FALSE(world().guest_pages().empty()) << "the guest has got nothing";
    expect_nothing_left("after a kernel that was loaded");
    for (const auto& [call, name] : {std::pair{Call::page_alloc, "page_alloc"},
                                     {Call::read, "read"},
                                     {Call::seek, "seek"},
                                     {Call::ept_map, "sys_ept_map"}})
        for (unsigned number = 1; number <= 5; ++number) {
            FakeWorld fresh;
            fresh.put_file("kernel", usual_kernel().bytes());
            fresh.fail(call, number, Failure::failed);
            user::copy_guest_kern_gpa(FakeWorld::guest, "kernel");
            expect_nothing_left(std::string{"after an error: "} + name + " number " +
                                std::to_string(number) + " failed");
        }
}

TEST_F(CopyGuestKernGpa, ThereMayBeAsManySegmentsAsAreAllowed) {
    KernelFile kernel;
    for (std::uint64_t i = 0; i < user::max_guest_segments; ++i)
        kernel.segments.push_back(load((1 + i) * page, 0x20'0000 + i * page, page / 2, page));
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, SegmentsMayStandInAnyOrder) {
    KernelFile kernel = usual_kernel();
    std::ranges::reverse(kernel.segments);
    kernel.segments.insert(kernel.segments.begin(), load(20 * page, 0x80'0000, 3000, 9000));
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, SegmentsNeedNotBeginOnAPage) {
    KernelFile kernel;
    kernel.segments = {load(page + 0x123, 0x20'0123, 2 * page, 2 * page),
                       load(9 * page + 5, 0x21'0400, 700, 2 * page, elf::pf_r | elf::pf_w)};
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, AnEmptySegmentHasNoPages) {
    KernelFile kernel = usual_kernel();
    // Nowhere in particular; within another one; beyond the guest's memory; at the very end.
    for (const std::uint64_t paddr :
         {std::uint64_t{0x70'0321}, std::uint64_t{0x20'0010}, FakeWorld::guest_bytes + 5, greatest})
        for (const std::uint64_t offset : {std::uint64_t{123}, kernel.size + 9, greatest})
            kernel.segments.insert(kernel.segments.begin(), load(offset, paddr, 0, 0));
    copy_and_compare(kernel);
}

TEST_F(CopyGuestKernGpa, ASegmentOfZerosNeedsNoFile) {
    KernelFile kernel;
    kernel.segments = {load(greatest - 9, 0x60'0000, 0, page)};
    ASSERT_TRUE(is_done(copy(kernel))) << "p_filesz is 0, p_memsz 0x1000, and p_offset 2^64 - 10";
    EXPECT_TRUE(guest_has_zeros(0x60'0000, 0x60'1000));
}

TEST_F(CopyGuestKernGpa, AShortReadIsNotTheEnd) {
    world().read_at_most(random().between(9, 40));
    copy_and_compare(usual_kernel());
}

TEST_F(CopyGuestKernGpa, AFileThatIsNotThere) {
    EXPECT_TRUE(is_error(user::copy_guest_kern_gpa(FakeWorld::guest, "no such kernel"),
                         Failure::not_found));
    world().put_file("kernel", usual_kernel().bytes());
    world().fail(Call::open, world().calls(Call::open) + 1, Failure::out_of_memory);
    EXPECT_TRUE(
        is_error(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel"), Failure::out_of_memory))
        << "open failed";
    EXPECT_EQ(world().guest_pages().size(), 0U) << "pages of the guest";
}

TEST_F(CopyGuestKernGpa, AFileThatIsShorterThanItsHeaders) {
    const Bytes whole = usual_kernel().bytes();
    for (const std::size_t size : {0, 1, 4, 16, 63, 64, 65, 64 + 55, 64 + 56, 64 + 111})
        expect_bad(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)),
                   "the file has only " + std::to_string(size) + " bytes");
}

TEST_F(CopyGuestKernGpa, AFileOfAnotherKind) {
    for (std::size_t i = 0; i < 4; ++i)
        expect_bad([i](KernelFile& kernel) { kernel.header.e_ident.magic[i] ^= 0x20; },
                   "another byte " + std::to_string(i) + " in the magic");
    for (const std::uint8_t value : {0, 1, 3, 255})
        expect_bad([value](KernelFile& kernel) { kernel.header.e_ident.file_class = value; },
                   "class " + std::to_string(value));
    for (const std::uint8_t value : {0, 2, 255})
        expect_bad([value](KernelFile& kernel) { kernel.header.e_ident.data = value; },
                   "byte order " + std::to_string(value));
    for (const std::uint16_t value : {0, 1, 3, 4, 0x102})
        expect_bad([value](KernelFile& kernel) { kernel.header.e_type = value; },
                   "type " + std::to_string(value));
    for (const std::uint16_t value : {0, 3, 183, 0x13e})
        expect_bad([value](KernelFile& kernel) { kernel.header.e_machine = value; },
                   "machine " + std::to_string(value));
}

TEST_F(CopyGuestKernGpa, TooManySegmentsOrNone) {
    expect_bad([](KernelFile& kernel) { kernel.segments.clear(); }, "no program headers");
    for (const std::uint16_t count :
         {std::uint16_t{user::max_guest_segments + 1}, std::uint16_t{0x100}, std::uint16_t{0xffff}})
        expect_bad(
            [count](KernelFile& kernel) {
                kernel.segments.resize(user::max_guest_segments + 1, load(page, 0, 0, 0));
                kernel.header.e_phnum = count;
            },
            std::to_string(count) + " program headers");
}

TEST_F(CopyGuestKernGpa, HeadersThatAreTooSmall) {
    for (const std::uint16_t size : {0, 1, 32, 55})
        expect_bad(
            [size](KernelFile& kernel) {
                kernel.segments.resize(1);
                kernel.header.e_phentsize = size;
            },
            "program headers of " + std::to_string(size) + " bytes");
}

TEST_F(CopyGuestKernGpa, ATableThatIsNotInTheFile) {
    constexpr std::uint64_t entry = sizeof(elf::ProgramHeader);
    for (const std::uint64_t offset : std::initializer_list<std::uint64_t>{
             32 * page - 2 * entry + 1, 32 * page - entry, 32 * page, 33 * page, 1ULL << 40,
             1ULL << 63, greatest - 2 * entry, greatest - entry, greatest - 3, greatest})
        expect_bad([offset](KernelFile& kernel) { kernel.header.e_phoff = offset; },
                   "the table is at " + hex(offset));
}

TEST_F(CopyGuestKernGpa, SegmentsWithBadNumbers) {
    struct Bad {
        const char* what;
        elf::ProgramHeader segment;
    };
    for (const auto& [what, segment] :
         {Bad{"p_filesz is greater than p_memsz", load(page, 0x80'0000, page + 1, page)},
          Bad{"p_filesz is greater than p_memsz", load(page, 0x80'0000, (1ULL << 32) + page, page)},
          Bad{"p_filesz is 1 and p_memsz 0", load(page, 0x80'0000, 1, 0)},
          Bad{"p_paddr + p_memsz wraps", load(page, greatest - page + 1, page, page)},
          Bad{"p_paddr + p_memsz wraps", load(page, 0x80'0000, page, greatest)},
          Bad{"p_offset + p_filesz wraps", load(greatest - 9, 0x80'0000, 10, 10)},
          Bad{"p_offset + p_filesz wraps",
              load(greatest - (1ULL << 32) + 1, 0x80'0000, 1ULL << 32, 1ULL << 32)},
          Bad{"p_offset + p_filesz wraps", load(greatest, 0x80'0000, page, page)}}) {
        const elf::ProgramHeader last = segment;
        expect_bad([&last](KernelFile& kernel) { kernel.segments.push_back(last); },
                   std::string{what} + ", in the last segment");
    }
}

TEST_F(CopyGuestKernGpa, ASegmentThatTheFileHasNot) {
    KernelFile kernel = usual_kernel();
    constexpr std::uint64_t much = (1ULL << 32) + page;
    for (const auto& segment :
         {load(kernel.size - page + 1, 0x80'0000, page, page), load(much, 0x80'0000, page, page),
          load(page, 0x80'0000, much, much)}) {
        kernel.segments.push_back(segment);
        FakeWorld fresh;
        fresh.put_file("kernel", kernel.bytes());
        EXPECT_TRUE(
            is_error(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel"), Failure::bad_format))
            << "p_offset " << hex(segment.p_offset) << ", p_filesz " << hex(segment.p_filesz)
            << ", and the file has " << hex(kernel.size) << " bytes";
        kernel.segments.pop_back();
    }
}

TEST_F(CopyGuestKernGpa, ASegmentBeyondTheGuestsMemory) {
    for (const std::uint64_t paddr :
         {FakeWorld::guest_bytes, kernel_base + 0x20'0000, greatest - page}) {
        KernelFile kernel = usual_kernel();
        kernel.segments = {load(page, paddr, page, page), load(page, 0x30'0000, page, page)};
        FakeWorld fresh;  // whoever maps the other one first must find its page free each time
        fresh.put_file("kernel", kernel.bytes());
        EXPECT_TRUE(
            is_error(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel"), Failure::bad_address))
            << "p_paddr " << hex(paddr);
    }
    KernelFile kernel = usual_kernel();
    kernel.segments = {load(page, FakeWorld::guest_bytes - page, page, (1ULL << 32) + 1)};
    FakeWorld fresh;
    fresh.put_file("kernel", kernel.bytes());
    EXPECT_TRUE(
        is_error(user::copy_guest_kern_gpa(FakeWorld::guest, "kernel"), Failure::bad_address))
        << "p_memsz is 0x100000001, and its first page is the guest's last";
}

TEST_F(CopyGuestKernGpa, AnErrorOfAnySegmentIsHandedOn) {
    for (const auto& [call, name] : {std::pair{Call::page_alloc, "page_alloc"},
                                     {Call::ept_map, "sys_ept_map"},
                                     {Call::read, "read"},
                                     {Call::seek, "seek"}})
        for (unsigned number = 1; number <= 5; ++number) {
            FakeWorld fresh;
            fresh.put_file("kernel", usual_kernel().bytes());
            fresh.fail(call, number, Failure::out_of_memory);
            const auto answer = user::copy_guest_kern_gpa(FakeWorld::guest, "kernel");
            // Who reads on where he has stopped needs no seek.
            if (call == Call::seek && fresh.calls(call) < number) break;
            EXPECT_TRUE(is_error(answer, Failure::out_of_memory))
                << name << " number " << number << " failed";
        }
}

}  // namespace
}  // namespace lab
