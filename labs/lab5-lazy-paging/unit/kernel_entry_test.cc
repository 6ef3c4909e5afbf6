// SPDX-License-Identifier: MIT
// Task lab5.kernel_entry.
#include "fixture.hh"

namespace lab {
namespace {

constexpr std::uint32_t pt_note = 4;
constexpr std::uint64_t kernel_base = 0xffff'ffff'8000'0000;
constexpr std::uint64_t gib = 1 << 30;

class KernelEntry : public PagerTest {
   protected:
    /// kernel_entry of an image with these headers.
    std::expected<Gpa, Error> entry_of(const ImageLayout& layout) {
        const Bytes image = make_image(layout, random());
        const kern::MemoryPeeker peeker{image};
        const auto executable = kern::elf::elf_decode(peeker);
        if (!executable) {
            ADD_FAILURE() << "the test's image was not accepted: " << describe(executable.error());
            return std::unexpected(executable.error());
        }
        return vmm::kernel_entry(*executable);
    }

    /// A segment of 16 to 64 pages, somewhere below 1 GiB, linked at `distance` above it: those whose distances
    /// are a GiB apart never meet.
    kern::elf::ProgramHeader segment(std::uint64_t distance) {
        const std::uint64_t paddr = random().page_between(0x100, 0x3'0000);
        const std::uint64_t bytes = random().page_between(16, 64);
        return load(0x1000, paddr + distance, paddr, bytes, bytes);
    }
};

::testing::AssertionResult is_entry(const std::expected<Gpa, Error>& seen, std::uint64_t wanted) {
    if (!seen)
        return ::testing::AssertionFailure() << "error \"" << describe(seen.error())
                                             << "\", wanted is the address " << hex(wanted);
    if (seen->value() == wanted) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "the entry is " << hex(seen->value()) << ", wanted is " << hex(wanted);
}

/// From where what was wanted follows, and perhaps what was seen.
std::string in_words(std::uint64_t entry, const kern::elf::ProgramHeader& holder) {
    return "e_entry is " + hex(entry) + "; the segment that holds it has p_vaddr " +
           hex(holder.p_vaddr) + ", p_paddr " + hex(holder.p_paddr) + ", p_offset " +
           hex(holder.p_offset) + ", p_memsz " + hex(holder.p_memsz);
}

TEST_F(KernelEntry, IsThePhysicalAddressOfTheFirstInstruction) {
    const auto only = segment(kernel_base);
    const std::uint64_t distance = random().between(1, only.p_memsz - 1);
    EXPECT_TRUE(is_entry(entry_of({.entry = only.p_vaddr + distance, .program_headers = {only}}),
                         only.p_paddr + distance))
        << in_words(only.p_vaddr + distance, only);
}

TEST_F(KernelEntry, ComesFromTheSegmentThatHoldsIt) {
    // Each segment has a distance of its own between virtual and physical, and none is in order.
    for (const bool is_64_bit : {true, false}) {
        const std::uint64_t base = is_64_bit ? kernel_base : 0x8000'0000;
        const std::vector<kern::elf::ProgramHeader> segments{segment(base), segment(base + gib),
                                                             segment(0), segment(base - gib)};
        for (const auto& holder : segments) {
            const std::uint64_t distance = random().between(1, holder.p_memsz - 1);
            EXPECT_TRUE(is_entry(entry_of({.is_64_bit = is_64_bit,
                                           .entry = holder.p_vaddr + distance,
                                           .program_headers = segments}),
                                 holder.p_paddr + distance))
                << (is_64_bit ? "ELF64: " : "ELF32: ")
                << in_words(holder.p_vaddr + distance, holder);
        }
    }
}

TEST_F(KernelEntry, MayBeTheFirstOrTheLastByteOfASegment) {
    const auto low = segment(kernel_base);
    auto high = segment(0);
    high.p_vaddr = low.p_vaddr + low.p_memsz;  // begins where the other ends
    const std::vector<kern::elf::ProgramHeader> both{low, high};
    EXPECT_TRUE(is_entry(entry_of({.entry = low.p_vaddr, .program_headers = both}), low.p_paddr));
    EXPECT_TRUE(
        is_entry(entry_of({.entry = low.p_vaddr + low.p_memsz - 1, .program_headers = both}),
                 low.p_paddr + low.p_memsz - 1));
    EXPECT_TRUE(is_entry(entry_of({.entry = high.p_vaddr, .program_headers = both}), high.p_paddr))
        << "one byte beyond the first segment";
}

TEST_F(KernelEntry, MayLieBehindTheBytesOfTheFile) {
    auto only = segment(kernel_base);
    only.p_filesz = 0x1000;
    const std::uint64_t distance = random().between(only.p_filesz, only.p_memsz - 1);
    EXPECT_TRUE(is_entry(entry_of({.entry = only.p_vaddr + distance, .program_headers = {only}}),
                         only.p_paddr + distance))
        << "p_filesz is 0x1000, p_memsz " << hex(only.p_memsz) << ", and the entry "
        << hex(distance) << " bytes into the segment";
}

TEST_F(KernelEntry, IsInNoEmptySegment) {
    const auto holder = segment(kernel_base);
    const std::uint64_t distance = random().between(1, holder.p_memsz - 1);
    auto empty = segment(0);
    empty.p_vaddr = holder.p_vaddr + distance;
    empty.p_filesz = empty.p_memsz = 0;
    EXPECT_TRUE(is_entry(entry_of({.entry = empty.p_vaddr, .program_headers = {empty, holder}}),
                         holder.p_paddr + distance))
        << "an empty segment before it has the entry for its p_vaddr";
}

TEST_F(KernelEntry, AsksNothingOfOtherSegments) {
    auto bad = segment(kernel_base - gib);
    bad.p_paddr = 0 - std::uint64_t{0x1000};  // beyond all memory, and p_paddr + p_memsz wraps
    const auto holder = segment(kernel_base);
    const std::uint64_t distance = random().between(1, holder.p_memsz - 1);
    for (const auto& headers : {std::vector{bad, holder}, std::vector{holder, bad}})
        EXPECT_TRUE(
            is_entry(entry_of({.entry = holder.p_vaddr + distance, .program_headers = headers}),
                     holder.p_paddr + distance))
            << "another segment has the p_paddr " << hex(bad.p_paddr);
}

TEST_F(KernelEntry, IgnoresHeadersThatLoadNothing) {
    const auto loaded = segment(kernel_base);
    auto note = segment(0);
    note.p_type = pt_note;
    note.p_vaddr = loaded.p_vaddr;
    note.p_memsz = loaded.p_memsz;
    const std::uint64_t distance = random().between(1, loaded.p_memsz - 1);
    EXPECT_TRUE(
        is_entry(entry_of({.entry = loaded.p_vaddr + distance, .program_headers = {note, loaded}}),
                 loaded.p_paddr + distance));
}

TEST_F(KernelEntry, OutsideEverySegmentIsNotFound) {
    const auto only = segment(kernel_base);
    for (const std::uint64_t entry :
         {only.p_vaddr - 1, only.p_vaddr + only.p_memsz, only.p_paddr, std::uint64_t{0}})
        EXPECT_TRUE(
            fails_with(entry_of({.entry = entry, .program_headers = {only}}), Error::NotFound))
            << "entry " << hex(entry) << ", the segment is [" << hex(only.p_vaddr) << ", "
            << hex(only.p_vaddr + only.p_memsz) << ")";
}

TEST_F(KernelEntry, BeyondGuestPhysicalMemoryIsOutOfRange) {
    auto high = segment(0);
    high.p_vaddr = kernel_base;
    high.p_paddr = vmm::guest_physical_end - 0x1000;
    high.p_memsz = 0x4000;
    EXPECT_TRUE(fails_with(entry_of({.entry = high.p_vaddr + 0x1000, .program_headers = {high}}),
                           Error::OutOfRange));
    EXPECT_TRUE(is_entry(entry_of({.entry = high.p_vaddr + 0xfff, .program_headers = {high}}),
                         high.p_paddr + 0xfff))
        << "the last byte below 2^40";

    high.p_paddr = 0 - std::uint64_t{0x1000};
    EXPECT_TRUE(fails_with(entry_of({.entry = high.p_vaddr + 0x2000, .program_headers = {high}}),
                           Error::OutOfRange))
        << "entry - p_vaddr + p_paddr wraps around 2^64";
}

TEST_F(KernelEntry, ASegmentThatWrapsHoldsNothing) {
    const auto holder = segment(kernel_base);
    const std::uint64_t distance = random().between(1, holder.p_memsz - 1);
    auto wraps = segment(kernel_base - gib);
    wraps.p_vaddr = holder.p_vaddr - random().page_between(1, 16);
    wraps.p_memsz = 0 - wraps.p_vaddr + random().page_between(1, 16);
    const std::uint64_t entry = holder.p_vaddr + distance;
    EXPECT_TRUE(fails_with(entry_of({.entry = entry, .program_headers = {wraps}}), Error::NotFound))
        << "a segment whose p_vaddr + p_memsz wraps holds nothing";
    EXPECT_TRUE(is_entry(entry_of({.entry = entry, .program_headers = {wraps, holder}}),
                         holder.p_paddr + distance))
        << "a good segment behind one that wraps";
    auto top = segment(kernel_base);
    top.p_vaddr = 0 - top.p_memsz;
    EXPECT_TRUE(
        fails_with(entry_of({.entry = top.p_vaddr + 1, .program_headers = {top}}), Error::NotFound))
        << "p_vaddr + p_memsz is 2^64, which is 0 in 64 bits";
}

}  // namespace
}  // namespace lab
