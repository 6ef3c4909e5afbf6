// SPDX-License-Identifier: MIT
// Task lab6.shadow_fill.
#include "vmm/soft/shadow_fill.hh"

#include "shadow_model.hh"

namespace lab {
namespace {

using Kind = Filled::Kind;

class ShadowFill : public ShadowModel {
   protected:
    void SetUp() override { begin(Shadows::Keeping::OnDemand); }
};

TEST_F(ShadowFill, LeadsFromTheGuestsPageToTheMachines) {
    map(3, 5);
    EXPECT_TRUE(fills(fill(area + 3 * page + 0x123, true)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 3 * page}), frame(data + 5 * page), true));
    EXPECT_EQ(kernels().entries.size(), 1U) << "one page is filled";
}

TEST_F(ShadowFill, AProgramsPageGoesIntoTheUsersTable) {
    map(3, 5);
    cpu.user_mode = true;
    EXPECT_TRUE(fills(fill(area + 3 * page, true)));
    EXPECT_TRUE(is_entry(users().get(Gva{area + 3 * page}), frame(data + 5 * page), true));
    EXPECT_TRUE(kernels().entries.empty()) << "the kernel's table has its own entries";
}

TEST_F(ShadowFill, AKernelsPageIsNotInTheUsersTable) {
    map(3, 5, p | rw);
    EXPECT_TRUE(fills(fill(area + 3 * page)));
    EXPECT_TRUE(users().entries.empty());
    cpu.user_mode = true;
    EXPECT_TRUE(reflects(fill(area + 3 * page), 5, area + 3 * page));
    EXPECT_TRUE(users().entries.empty()) << "a fault puts nothing in";
    map(4, 5);
    memory().put<std::uint32_t>(directory + 4, table | p | rw);
    EXPECT_TRUE(reflects(fill(area + 4 * page), 5, area + 4 * page))
        << "the directory's entry is the kernel's";
}

TEST_F(ShadowFill, AReadOnlyPageIsReadOnly) {
    map(3, 5, p | us | dirty);
    EXPECT_TRUE(fills(fill(area + 3 * page)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 3 * page}), frame(data + 5 * page), false));
    EXPECT_TRUE(reflects(fill(area + 3 * page, true), 3, area + 3 * page)) << "CR0.WP";
    map(4, 5, all | dirty);
    memory().put<std::uint32_t>(directory + 4, table | p | us);
    EXPECT_TRUE(fills(fill(area + 4 * page)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 4 * page}), frame(data + 5 * page), false))
        << "the directory's entry is read-only";
}

TEST_F(ShadowFill, WithoutWriteProtectTheKernelWritesAllPages) {
    cpu.cr0 &= ~cr0_wp;
    map(3, 5, p | us);
    EXPECT_TRUE(fills(fill(area + 3 * page, true)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 3 * page}), frame(data + 5 * page), true));
    cpu.user_mode = true;
    EXPECT_TRUE(reflects(fill(area + 3 * page, true), 7, area + 3 * page)) << "programs write none";
    EXPECT_TRUE(fills(fill(area + 3 * page)));
    EXPECT_TRUE(is_entry(users().get(Gva{area + 3 * page}), frame(data + 5 * page), false))
        << "and have no right to";
}

TEST_F(ShadowFill, TheFaultsErrorCodeIsThatOfTheGuestsTables) {
    EXPECT_TRUE(reflects(fill(area + 0x5abc), 0, area + 0x5abc)) << "not present, the kernel reads";
    EXPECT_TRUE(reflects(fill(area + 0x5abc, true), 2, area + 0x5abc)) << "the kernel writes";
    EXPECT_TRUE(reflects(fill(0x1234'5678), 0, 0x1234'5678)) << "no table";
    cpu.user_mode = true;
    EXPECT_TRUE(reflects(fill(area + 0x5abc, true), 6, area + 0x5abc)) << "a program writes";
    map(5, 5, p | us);
    EXPECT_TRUE(reflects(fill(area + 0x5abc, true), 7, area + 0x5abc)) << "it is present";
    EXPECT_TRUE(reflects(fill(area + 0x6abc, false, true), 4, area + 0x6abc))
        << "a fetch is not told without NX and SMEP";
}

TEST_F(ShadowFill, AccessedAndDirtyAreSetAsTheCpuSetsThem) {
    map(3, 5);
    EXPECT_TRUE(fills(fill(area + 3 * page)));
    EXPECT_EQ(entry(3) & (accessed | dirty), accessed) << "a read";
    EXPECT_NE(memory().get(directory + 4) & accessed, 0U) << "in the directory, too";
    EXPECT_TRUE(fills(fill(area + 3 * page, true)));
    EXPECT_EQ(entry(3) & (accessed | dirty), accessed | dirty) << "a write";
}

TEST_F(ShadowFill, APageThatIsNotDirtyWaitsForItsFirstWrite) {
    map(3, 5);
    EXPECT_TRUE(fills(fill(area + 3 * page)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 3 * page}), frame(data + 5 * page), false))
        << "the first write has to come here";
    EXPECT_TRUE(access(area + 3 * page, true).place.has_value());
    EXPECT_NE(entry(3) & dirty, 0U);
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 3 * page}), frame(data + 5 * page), true));
    map(4, 5, all | accessed | 0x180);  // all but the dirty bit: G and PAT, too
    EXPECT_TRUE(fills(fill(area + 4 * page)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 4 * page}), frame(data + 5 * page), false))
        << "accessed is not dirty";
}

TEST_F(ShadowFill, AFaultSetsNoBits) {
    map(3, 5, p | us);
    EXPECT_TRUE(reflects(fill(area + 3 * page, true), 3, area + 3 * page));
    EXPECT_EQ(entry(3) & dirty, 0U);
    EXPECT_TRUE(kernels().entries.empty());
}

TEST_F(ShadowFill, WithoutPagingAnAddressIsThePhysicalOne) {
    const std::uint32_t with_paging = cpu.cr0;
    cpu.cr0 = cr0_pe;
    EXPECT_TRUE(fills(fill(data + 0x123, true)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{data}), frame(data), true));
    map(3, 5);
    cpu.cr0 = with_paging;
    EXPECT_TRUE(fills(fill(area + 3 * page)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 3 * page}), frame(data + 5 * page), false))
        << "with paging, behind an access without: a page that is not dirty";
    cpu.cr0 = cr0_pe;
    EXPECT_TRUE(fills(fill(data + page, true)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{data + page}), frame(data + page), true))
        << "without paging again";
}

TEST_F(ShadowFill, WhereTheGuestHasNoMemoryIsNoMemory) {
    memory().put<std::uint32_t>(table + 4 * 3, 0x00ff'0000 | all);
    EXPECT_TRUE(comes_to(fill(area + 3 * page), {.kind = Kind::NoMemory}));
    EXPECT_TRUE(kernels().entries.empty());
    memory().put<std::uint32_t>(directory + 8, 0x00ff'0000 | all);
    EXPECT_TRUE(reflects(fill(0x0080'0000, true), 2, 0x0080'0000))
        << "a table that is not in memory has no present entries";
    cpu.user_mode = true;
    EXPECT_TRUE(reflects(fill(0x0080'0000), 4, 0x0080'0000));
}

TEST_F(ShadowFill, WithoutAFrameItIsNoFrame) {
    map(3, 5);
    kernels().fails = true;
    EXPECT_TRUE(comes_to(fill(area + 3 * page), {.kind = Kind::NoFrame}));
}

TEST_F(ShadowFill, WithOptionOneNothingIsTraced) {
    EXPECT_TRUE(fills(fill(table, true)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{table}), frame(table), true))
        << "the guest writes its tables as it likes";
    EXPECT_FALSE(shadows().is_traced(Gpa{table}));
}

TEST_F(ShadowFill, ATableThatIsTracedIsNotWritable) {
    begin(Shadows::Keeping::Traced);
    map(3, 5);
    EXPECT_TRUE(fills(fill(table, true))) << "it is no table yet, as far as the shadows know";
    EXPECT_TRUE(is_entry(kernels().get(Gva{table}), frame(table), true));
    EXPECT_TRUE(fills(fill(area + 3 * page)));
    EXPECT_TRUE(shadows().is_traced(Gpa{table})) << "the table of the entry";
    EXPECT_TRUE(shadows().is_traced(Gpa{directory})) << "the directory";
    EXPECT_TRUE(is_entry(kernels().get(Gva{table}), frame(table), false))
        << "what was there before has no right to write any more";
    EXPECT_TRUE(comes_to(fill(table, true), {.kind = Kind::Table}));
    EXPECT_TRUE(is_entry(kernels().get(Gva{table}), frame(table), false)) << "nothing is put in";
    EXPECT_TRUE(fills(fill(directory))) << "reading it is no trap";
    EXPECT_TRUE(is_entry(kernels().get(Gva{directory}), frame(directory), false));
    cpu.cr0 = cr0_pe;
    EXPECT_TRUE(comes_to(fill(table, true), {.kind = Kind::Table})) << "without paging, too";
}

TEST_F(ShadowFill, ATableThatMapsItselfIsTracedFirst) {
    begin(Shadows::Keeping::Traced);
    memory().put<std::uint32_t>(table + 4 * 7, table | all | dirty);
    EXPECT_TRUE(comes_to(fill(area + 7 * page, true), {.kind = Kind::Table}));
    EXPECT_TRUE(fills(fill(area + 7 * page)));
    EXPECT_TRUE(is_entry(kernels().get(Gva{area + 7 * page}), frame(table), false));
    memory().put<std::uint32_t>(directory + 4 * 1023, directory | all | dirty);
    EXPECT_TRUE(comes_to(fill(0xffff'f004, true), {.kind = Kind::Table}))
        << "a directory that is a table, too";
}

TEST_F(ShadowFill, ATableIsTracedForTheAddressThatItServed) {
    begin(Shadows::Keeping::Traced);
    constexpr std::uint32_t high_table = 0x2'0000, first = 0x48c0'0000;
    memory().put<std::uint32_t>(directory + 4 * (first >> 22), high_table | all);
    memory().put<std::uint32_t>(high_table + 4 * 0x345, data | all);
    EXPECT_TRUE(fills(fill(first + 0x34'5678)));
    const auto uses = shadows().uses(Gpa{high_table});
    ASSERT_EQ(uses.size(), 1U) << "the table is traced once";
    EXPECT_EQ(hex(uses[0].root.value()), hex(directory)) << "for this directory";
    EXPECT_EQ(hex(uses[0].first.value()), hex(first)) << "for the 4 MiB around the address";
    EXPECT_FALSE(uses[0].is_root) << "and it is no directory";
}

TEST_F(ShadowFill, GuestsByChanceMeetWhatTheirCpuMightShow) {
    run(Shadows::Keeping::OnDemand, 4000);
}

}  // namespace
}  // namespace lab
