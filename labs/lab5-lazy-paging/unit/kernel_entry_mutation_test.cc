// SPDX-License-Identifier: MIT
// Task lab5.kernel_entry: numbers that only some of its mutants get wrong.
#include "fixture.hh"

namespace lab {
namespace {

constexpr std::uint64_t vaddr = 0xffff'fff0'8000'0000;
constexpr std::uint64_t gib = 1ULL << 30;

class KernelEntryNumbers : public PagerTest {
   protected:
    /// kernel_entry of a kernel with its entry `distance` bytes behind `vaddr`.
    std::expected<Gpa, Error> entry_at(std::uint64_t distance,
                                       std::vector<kern::elf::ProgramHeader> headers) {
        const Bytes image = make_image(
            {.entry = vaddr + distance, .program_headers = std::move(headers)}, random());
        const kern::MemoryPeeker peeker{image};
        const auto executable = kern::elf::elf_decode(peeker);
        if (!executable) return std::unexpected(executable.error());
        return vmm::kernel_entry(*executable);
    }
};

kern::elf::ProgramHeader segment(std::uint64_t paddr, std::uint64_t memsz) {
    return load(0x1000, vaddr, paddr, 0, memsz);
}

::testing::AssertionResult is_address(const std::expected<Gpa, Error>& seen, std::uint64_t wanted) {
    if (seen && seen->value() == wanted) return ::testing::AssertionSuccess();
    if (!seen)
        return ::testing::AssertionFailure()
               << "error \"" << describe(seen.error()) << "\", wanted is " << hex(wanted);
    return ::testing::AssertionFailure()
           << "the entry is " << hex(seen->value()) << ", wanted is " << hex(wanted);
}

TEST_F(KernelEntryNumbers, MayBeMoreThan4GiBIntoASegment) {
    const std::uint64_t distance = 5 * gib + random().between(1, gib - 1);
    EXPECT_TRUE(is_address(entry_at(distance, {segment(0x20'0000, 7 * gib)}), 0x20'0000 + distance))
        << hex(distance) << " bytes into a segment of 7 GiB";
    EXPECT_TRUE(is_address(entry_at(0, {segment(0x20'0000, 4 * gib)}), 0x20'0000))
        << "the first byte of a segment of 4 GiB";
}

TEST_F(KernelEntryNumbers, MayBeTheLastByteOfGuestPhysicalMemory) {
    const std::uint64_t last = vmm::guest_physical_end - 1;
    EXPECT_TRUE(is_address(entry_at(0, {segment(last, 0x1000)}), last))
        << "of a segment that begins there";
}

TEST_F(KernelEntryNumbers, ALongSegmentThatWrapsHoldsNothing) {
    // The lower halves of p_vaddr and p_memsz alone do not wrap.
    const std::uint64_t memsz = 0 - vaddr + (4 + random().between(1, 100)) * gib;
    EXPECT_TRUE(fails_with(entry_at(0x1000, {segment(0x20'0000, memsz)}), Error::NotFound))
        << "p_vaddr is " << hex(vaddr) << ", p_memsz " << hex(memsz);
}

TEST_F(KernelEntryNumbers, IgnoresEveryOtherKindOfHeader) {
    for (const std::uint32_t type : {0U, 2U, 3U, 4U, 6U, 7U, 0x6474'e551U, 0xffff'ffffU}) {
        auto other = segment(0x80'0000, 0x4000);
        other.p_type = type;
        EXPECT_TRUE(is_address(entry_at(0x1234, {other, segment(0x20'0000, 0x4000)}), 0x20'1234))
            << "behind a header of type " << hex(type);
    }
}

}  // namespace
}  // namespace lab
