// SPDX-License-Identifier: MIT
// Task lab6.shadow_trace.
#include "vmm/soft/shadow_trace.hh"

#include "shadow_model.hh"

namespace lab {
namespace {

class ShadowTrace : public ShadowModel {
   protected:
    void SetUp() override {
        begin(Shadows::Keeping::Traced);
        for (std::uint32_t i = 0; i < 8; ++i) {
            map(i, i);
            map(i, 7 - i, all, other_table);
        }
        cpu.registers.rip = 0x9000;
        see();
    }
    /// All pages are in the shadows of the active directory, of both modes.
    void see() {
        for (const bool user : {false, true}) {
            cpu.user_mode = user;
            for (std::uint32_t i = 0; i < 8; ++i) access(area + i * page, false);
        }
        cpu.user_mode = false;
        access(table, false);
        access(directory, false);
    }
    bool is_kept(std::uint32_t index, std::uint32_t root = directory) {
        bool kept = true;
        for (const bool user : {false, true}) {
            const auto* const shadow = shadows().of(Gpa{root}, user);
            kept &= shadow != nullptr && shadow->get(Gva{area + index * page}).has_value();
        }
        return kept;
    }
    /// Whether all of the guest that matters sees page `number` of the data at `index`.
    ::testing::AssertionResult sees(std::uint32_t index, std::uint32_t number) {
        for (const bool user : {false, true}) {
            cpu.user_mode = user;
            const Met met = access(area + index * page, false);
            cpu.user_mode = false;
            if (!met.place || *met.place != frame(data + number * page))
                return ::testing::AssertionFailure()
                       << (user ? "a program" : "the kernel") << " sees "
                       << (met.place ? hex(met.place->value()) : "a fault") << " at page " << index
                       << ", wanted is " << hex(frame(data + number * page).value());
        }
        return ::testing::AssertionSuccess();
    }
    ::testing::AssertionResult comes_to(Traced seen, Traced wanted) {
        if (seen == wanted) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "the write is " << (seen == Traced::Done ? "done" : "dropped") << ", wanted is "
               << (wanted == Traced::Done ? "done" : "dropped");
    }
    Traced trace(std::uint32_t address, std::initializer_list<unsigned> bytes) {
        Bytes made;
        for (const unsigned each : bytes) made.push_back(std::byte(each));
        EXPECT_EQ(fill(address, true).kind, Filled::Kind::Table) << "given: it is a table";
        return shadow_trace(cpu, memory(), shadows(), Gva{address}, made);
    }
    static constexpr std::uint32_t new_entry = (data + 5 * page) | all;
};

TEST_F(ShadowTrace, AStoreIsDoneInTheGuestsTable) {
    cpu.registers.rcx = new_entry;
    cpu.registers.rdi = table + 4;
    const auto registers = cpu.registers;
    EXPECT_TRUE(comes_to(trace(table + 4, {0x89, 0x0f}), Traced::Done));
    EXPECT_EQ(entry(1), new_entry) << "the guest's table";
    EXPECT_EQ(cpu.registers.rip, 0x9002U) << "EIP is behind it";
    EXPECT_EQ(cpu.registers.rcx, registers.rcx);
    EXPECT_EQ(cpu.registers.rdi, registers.rdi);
    EXPECT_EQ(cpu.registers.rflags, registers.rflags);
}

TEST_F(ShadowTrace, TheShadowsSayWhatTheTableSays) {
    EXPECT_TRUE(store(table + 4, new_entry).traced);
    EXPECT_TRUE(sees(1, 5)) << "no INVLPG is needed";
    EXPECT_TRUE(store(table + 4, 0).traced);
    EXPECT_TRUE(access(area + page, false).fault.has_value()) << "it is not present any more";
    EXPECT_FALSE(kernels().get(Gva{area + page}));
    EXPECT_FALSE(users().get(Gva{area + page})) << "the user's table, too";
}

TEST_F(ShadowTrace, ARightThatIsTakenIsTakenFromTheShadows) {
    access(area + page, true);
    EXPECT_TRUE(store(table + 4, (data + page) | p | us | dirty | accessed).traced);
    EXPECT_TRUE(access(area + page, true).fault.has_value()) << "read-only now";
    EXPECT_TRUE(store(table + 4, (data + page) | p | rw | dirty | accessed).traced);
    cpu.user_mode = true;
    EXPECT_TRUE(access(area + page, false).fault.has_value()) << "the kernel's now";
}

TEST_F(ShadowTrace, EverythingElseStays) {
    EXPECT_TRUE(store(table + 4, new_entry).traced);
    for (const std::uint32_t i : {0U, 2U, 3U, 7U})
        EXPECT_TRUE(is_kept(i)) << "page " << i << " is still in the shadows";
}

TEST_F(ShadowTrace, AStoreOverTwoEntriesChangesBoth) {
    const std::uint32_t low = entry(1);
    const std::uint32_t high = entry(2);
    const std::uint64_t both = std::uint64_t{high} << 32 | low;
    // Bytes 2 to 5 of the two entries: the upper halves of the first, the lower of the second.
    const auto value = static_cast<std::uint32_t>((data >> 16) + 1) | ((high & 0xf000U) | all)
                                                                          << 16;
    cpu.registers.rcx = value;
    cpu.registers.rdi = table + 6;
    EXPECT_TRUE(comes_to(trace(table + 6, {0x89, 0x0f}), Traced::Done));
    EXPECT_EQ(memory().get<std::uint64_t>(table + 4),
              (both & 0xffff'0000'0000'ffffULL) | std::uint64_t{value} << 16);
    EXPECT_FALSE(kernels().get(Gva{area + page})) << "the first entry";
    EXPECT_FALSE(kernels().get(Gva{area + 2 * page})) << "the second entry";
    EXPECT_FALSE(users().get(Gva{area + 2 * page})) << "the second entry, the user's table";
    EXPECT_TRUE(is_kept(0));
    EXPECT_TRUE(is_kept(3));
    cpu.registers.rdi = table + 4 * 3 + 1;
    EXPECT_TRUE(comes_to(trace(table + 4 * 3 + 1, {0x89, 0x0f}), Traced::Done));
    EXPECT_FALSE(kernels().get(Gva{area + 4 * page})) << "one byte of it was written";
}

TEST_F(ShadowTrace, StoresOfEachForm) {
    cpu.registers.rcx = 0x1234'5678;
    cpu.registers.rdi = table;
    EXPECT_TRUE(comes_to(trace(table + 0x25, {0x88, 0x6f, 0x25}), Traced::Done)) << "CH";
    EXPECT_EQ(memory().get<std::uint8_t>(table + 0x25), 0x56);
    EXPECT_TRUE(comes_to(trace(table + 0x30, {0x66, 0x89, 0x4f, 0x30}), Traced::Done)) << "CX";
    EXPECT_EQ(entry(12), 0x5678U);
    EXPECT_TRUE(
        comes_to(trace(table + 0x34, {0xc7, 0x47, 0x34, 0x07, 0x50, 0x01, 0}), Traced::Done))
        << "an immediate";
    EXPECT_EQ(entry(13), 0x1'5007U);
    cpu.registers.rax = 0xabcd'e007;
    EXPECT_TRUE(comes_to(trace(table + 0x38, {0xa3, 0x38, 0xc0, 0, 0}), Traced::Done)) << "EAX";
    EXPECT_EQ(entry(14), 0xabcd'e007U);
    EXPECT_EQ(cpu.registers.rip, 0x9000U + 3 + 4 + 7 + 5);
}

TEST_F(ShadowTrace, AnEntryOfTheDirectoryIsFourMib) {
    access(data, false);
    see();  // all of it is in the TLB as well
    EXPECT_TRUE(store(directory + 4, other_table | all).traced);
    for (std::uint32_t i = 0; i < 8; ++i) EXPECT_TRUE(sees(i, 7 - i)) << "the other table's";
    EXPECT_TRUE(kernels().get(Gva{data})) << "the other 4 MiB stay";
}

TEST_F(ShadowTrace, APageThatIsNoTableAnyMoreIsOrdinaryMemory) {
    EXPECT_TRUE(shadows().is_traced(Gpa{table}));
    EXPECT_TRUE(store(directory + 4, 0).traced);
    EXPECT_FALSE(shadows().is_traced(Gpa{table})) << "no entry leads to it";
    const Met met = store(table, 0x1234);
    EXPECT_FALSE(met.traced) << "its writes are no traps";
    EXPECT_TRUE(is_entry(kernels().get(Gva{table}), frame(table), true));
    EXPECT_TRUE(shadows().is_traced(Gpa{directory})) << "the directory is one still";
    EXPECT_TRUE(shadows().is_traced(Gpa{low_table}));
}

TEST_F(ShadowTrace, ATableOfSeveralDirectoriesIsTracedForAll) {
    memory().put<std::uint32_t>(other_directory + 4, table | all);
    write_cr3(other_directory);
    see();
    EXPECT_TRUE(store(table + 4, new_entry).traced);
    EXPECT_FALSE(is_kept(1)) << "the pair that is not active has lost it, too";
    EXPECT_TRUE(is_kept(2)) << "shadows are kept when CR3 changes";
    EXPECT_TRUE(sees(1, 5));
    write_cr3(directory);
    EXPECT_TRUE(sees(1, 5)) << "after a switch";
    EXPECT_TRUE(store(directory + 4, 0).traced);
    EXPECT_TRUE(shadows().is_traced(Gpa{table})) << "the other directory leads to it still";
}

TEST_F(ShadowTrace, ADirectoryThatIsATableToo) {
    memory().put<std::uint32_t>(directory + 4 * 1023, directory | all);
    access(0xffff'f000, false);
    access(0xffc0'1000, false);  // the table, by way of the directory's entry 1
    EXPECT_TRUE(kernels().get(Gva{0xffc0'1000}));
    EXPECT_TRUE(store(0xffff'f004, other_table | all).traced) << "by way of itself";
    EXPECT_TRUE(sees(1, 6)) << "it was an entry of a directory";
    EXPECT_TRUE(access(0xffc0'1000, false).place == frame(other_table))
        << "and one of a table: that page is another one now";
}

TEST_F(ShadowTrace, WhatDoesNotDecodeDropsTheShadow) {
    cpu.registers.rdi = table + 4;
    const auto registers = cpu.registers;
    const std::uint32_t before = entry(1);
    EXPECT_TRUE(comes_to(trace(table + 4, {0x0f, 0xab, 0x0f}), Traced::Dropped)) << "BTS";
    EXPECT_EQ(entry(1), before) << "the guest does it by itself";
    EXPECT_EQ(cpu.registers.rip, registers.rip) << "it is tried again";
    EXPECT_FALSE(shadows().is_traced(Gpa{table}));
    EXPECT_FALSE(is_kept(0)) << "all that came from it is gone";
    EXPECT_TRUE(kernels().entries.empty());
    EXPECT_TRUE(machine().tlb[0].empty()) << "from the TLB, too";
    EXPECT_FALSE(store(table + 4, new_entry).traced) << "the page is ordinary memory";
}

TEST_F(ShadowTrace, AllPairsOfATableAreDropped) {
    memory().put<std::uint32_t>(other_directory + 4, table | all);
    write_cr3(other_directory);
    see();
    write_cr3(directory);
    cpu.registers.rdi = table + 4;
    EXPECT_TRUE(comes_to(trace(table + 4, {0x83, 0x0f, 0x02}), Traced::Dropped));
    EXPECT_FALSE(is_kept(1));
    EXPECT_FALSE(is_kept(1, other_directory)) << "both directories lead to the table";
    EXPECT_FALSE(shadows().is_traced(Gpa{table}));
}

TEST_F(ShadowTrace, AnOperandElsewhereIsNotDoneHere) {
    for (const std::uint32_t elsewhere : {table - page + 4, table + page + 4}) {
        SetUp();
        cpu.registers.rdi = elsewhere;
        const std::uint32_t before = memory().get(elsewhere);
        EXPECT_TRUE(comes_to(trace(table + 4, {0x89, 0x0f}), Traced::Dropped));
        EXPECT_EQ(memory().get(elsewhere), before);
    }
    SetUp();
    SoftCpu other = cpu;
    cpu.registers.rdi = table + 4;
    EXPECT_TRUE(comes_to(trace(table + 4, {0x89, 0x0f}), Traced::Done));
    other.registers.rdi = table + 8;
    const Bytes bytes{std::byte{0x89}, std::byte{0x0f}};
    EXPECT_TRUE(
        comes_to(shadow_trace(other, memory(), shadows(), Gva{table + 8}, bytes), Traced::Done))
        << "the registers are those of the CPU that is given";
}

TEST_F(ShadowTrace, WhatComputesIsNotDoneHere) {
    for (const std::initializer_list<unsigned> bytes :
         {std::initializer_list<unsigned>{0x83, 0x0f, 0x02}, {0x21, 0x0f}, {0x87, 0x0f}, {0xab}}) {
        SetUp();
        cpu.registers.rdi = table + 4;
        const std::uint32_t before = entry(1);
        EXPECT_TRUE(comes_to(trace(table + 4, bytes), Traced::Dropped));
        EXPECT_EQ(entry(1), before) << "nothing else has changed";
    }
    SetUp();
    EXPECT_TRUE(comes_to(trace(table + 4, {}), Traced::Dropped)) << "no bytes";
}

TEST_F(ShadowTrace, AStoreOverThePagesEndIsNotDoneHere) {
    memory().put<std::uint32_t>(other_table, 0x5555'5555);
    cpu.registers.rcx = 0x1234'5678;
    cpu.registers.rdi = table + 0xffe;
    const std::uint32_t before = memory().get(table + 0xffc);
    EXPECT_TRUE(comes_to(trace(table + 0xffe, {0x89, 0x0f}), Traced::Dropped)) << "its first page";
    EXPECT_EQ(memory().get(table + 0xffc), before);
    SetUp();
    cpu.registers.rdi = table + 0xffd;
    EXPECT_TRUE(comes_to(trace(table + 0xffd, {0x89, 0x0f}), Traced::Dropped)) << "by one byte";
    SetUp();
    cpu.registers.rdi = table - 2;
    EXPECT_TRUE(comes_to(trace(table, {0x89, 0x0f}), Traced::Dropped)) << "its second page";
    SetUp();
    cpu.registers.rdi = table + 0xffc;
    EXPECT_TRUE(comes_to(trace(table + 0xffc, {0x89, 0x0f}), Traced::Done)) << "the last entry";
}

TEST_F(ShadowTrace, OtherDirectoriesKeepTheirShadows) {
    write_cr3(other_directory);
    see();
    write_cr3(directory);
    cpu.registers.rdi = table + 4;
    EXPECT_TRUE(comes_to(trace(table + 4, {0x83, 0x0f, 0x02}), Traced::Dropped));
    EXPECT_TRUE(is_kept(1, other_directory)) << "that pair has nothing of this table";
    EXPECT_FALSE(is_kept(1));
}

TEST_F(ShadowTrace, EntriesWithHighNumbers) {
    constexpr std::uint32_t high_table = 0x2'0000, first = 0x48c0'0000, low_first = 0x08c0'0000;
    memory().put<std::uint32_t>(directory + 4 * (first >> 22), high_table | all);
    memory().put<std::uint32_t>(directory + 4 * (low_first >> 22), other_table | all);
    map(0x345, 1, all, high_table);
    map(0x45, 2, all, high_table);
    for (const std::uint32_t each : {first + 0x345 * page, first + 0x45 * page, low_first})
        access(each, false);
    EXPECT_TRUE(store(high_table + 4 * 0x345, new_entry).traced);
    EXPECT_FALSE(kernels().get(Gva{first + 0x345 * page}));
    EXPECT_TRUE(kernels().get(Gva{first + 0x45 * page})) << "another entry of the table";
    EXPECT_TRUE(store(directory + 4 * (first >> 22), 0).traced);
    EXPECT_FALSE(kernels().get(Gva{first + 0x45 * page}));
    EXPECT_TRUE(kernels().get(Gva{low_first})) << "another entry of the directory";
    EXPECT_FALSE(shadows().is_traced(Gpa{high_table})) << "no entry leads to it";
    EXPECT_TRUE(shadows().is_traced(Gpa{other_table}));
}

TEST_F(ShadowTrace, EipWrapsAtFourGib) {
    cpu.registers.rdi = table + 4;
    cpu.registers.rip = 0xffff'ffff;
    EXPECT_TRUE(comes_to(trace(table + 4, {0x89, 0x0f}), Traced::Done));
    EXPECT_EQ(hex(cpu.registers.rip), hex(1)) << "EIP has 32 bits";
}

TEST_F(ShadowTrace, GuestsByChanceMeetWhatTheirTablesSay) {
    run(Shadows::Keeping::Traced, 4000);
}

}  // namespace
}  // namespace lab
