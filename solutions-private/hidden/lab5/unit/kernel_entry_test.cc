// SPDX-License-Identifier: MIT
// Task lab5.kernel_entry, staff's hidden test: many headers, of which few hold anything.
#include "labs/lab5-lazy-paging/unit/fixture.hh"

namespace lab {
namespace {

class HiddenKernelEntry : public PagerTest {};

TEST_F(HiddenKernelEntry, IsFoundAmongManyHeaders) {
    constexpr std::uint32_t pt_note = 4;
    for (std::size_t holder = 0; holder < 12; ++holder) {
        std::vector<kern::elf::ProgramHeader> headers;
        for (std::uint64_t i = 0; i < 12; ++i) {
            const std::uint64_t paddr = 0x100'0000 + i * 0x10'0000;
            headers.push_back(load(0x1000, paddr + 0xffff'ffff'8000'0000 - i * 0x3000, paddr,
                                   0x1000, random().page_between(16, 64)));
            if (i != holder && i % 3 == 0) headers.back().p_type = pt_note;
        }
        const auto& held = headers[holder];
        const std::uint64_t distance = random().between(0, held.p_filesz - 1);
        const Bytes image =
            make_image({.entry = held.p_vaddr + distance, .program_headers = headers}, random());
        const kern::MemoryPeeker peeker{image};
        const auto executable = kern::elf::elf_decode(peeker);
        ASSERT_TRUE(executable) << describe(executable.error());
        const auto entry = vmm::kernel_entry(*executable);
        ASSERT_TRUE(entry) << describe(entry.error()) << ", header " << holder << " holds it";
        EXPECT_EQ(entry->value(), held.p_paddr + distance) << "header " << holder << " holds it";
    }
}

}  // namespace
}  // namespace lab
