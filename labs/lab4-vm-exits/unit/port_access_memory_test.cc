// SPDX-License-Identifier: MIT
// Task lab4.handle_port_access: the instruction's bytes, the guest's memory, pieces of long
// strings.
#include "port_access_fixture.hh"

namespace lab {
namespace {

// ---- The instruction ----------------------------------------------------------------------------

TEST_F(HandlePortAccess, TheInstructionIsAtCsBasePlusRip) {
    fake().system.code_size = CodeSize::Bits16;
    fake().system.cs_base = 0x3000;
    registers().rip = 0x123;
    registers().rsi = data_at;
    write(data_at, "k");
    write(0x123, "\xf3\x6c");  // something else, with another prefix
    EXPECT_TRUE(string({0x67, outs_byte}, console, 1, 0x3123));
    EXPECT_EQ(printed(), "[test] k\n");
    fake().system.cs_base = 0xffff'f000;
    registers().rip = 0x4456;
    registers().rsi = data_at;
    EXPECT_TRUE(string({0x67, outs_byte}, console, 1, 0x3456)) << "a linear address has 32 bits";
    EXPECT_EQ(printed(), "[test] k\n");
}

TEST_F(HandlePortAccess, ALongInstructionOnTwoPages) {
    long_mode();
    write(data_at, "L");
    set_base(SegmentName::Fs, 0x100);
    registers().rip = 2 * page - 7;
    registers().rsi = data_at - 0x100;
    registers().rcx = 0xabcd'0000'0001;
    EXPECT_TRUE(string({0x66, 0x66, 0x3e, 0x66, 0x66, 0x64, 0x66, 0x66, 0x66, 0x66, 0x66, 0x67, rep,
                        0x48, outs_byte},
                       console, 1, 2 * page - 7))
        << "15 bytes";
    EXPECT_TRUE(done_but([](Registers& all) {
        ++all.rsi;
        all.rcx = 0;
    }));
    EXPECT_EQ(printed(), "[test] L\n");
}

TEST_F(HandlePortAccess, AnInstructionThatWasChangedEndsTheVm) {
    registers().rsi = registers().rdi = data_at;
    registers().rcx = 1;
    for (const Code& code : {Code{0x90}, Code{rep, ins_byte}, Code{rep, 0x0f}}) {
        const auto changed = string({rep, outs_byte}, console);
        ASSERT_TRUE(changed);
        (void)printed();
        registers() = before();
        std::uint64_t to = code_at;
        for (const std::uint8_t byte : code) *at(to++) = std::byte{byte};
        const auto result = again();
        ASSERT_FALSE(result) << "another instruction stands there";
        EXPECT_STREQ(result.error().reason, "an instruction exits that cannot be read");
        EXPECT_TRUE(stopped_but(nothing));
    }
    registers().rip = pages * page;
    EXPECT_FALSE(again()) << "nothing is there";
    for (unsigned i = 0; i < 15; ++i) *at(code_at + i) = std::byte{0x66};
    registers().rip = code_at;
    EXPECT_FALSE(again()) << "15 prefixes";
    EXPECT_EQ(printed(), "");
}

// ---- The guest's memory -------------------------------------------------------------------------

TEST_F(HandlePortAccess, MemoryIsFoundByTheGuestsTables) {
    paging({{0xb000, 7}, {0x9000, 7}, {0xa000, 7}});
    write(0xb000 + page - 2, "on");
    write(0x9000, "e two");
    registers().rsi = mapped_at + page - 2;
    registers().rcx = 7;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_EQ(printed(), "[test] one two\n");
    // An element on two pages, which do not follow each other.
    vm().uart().write(7, 'Z');
    vm().uart().write(4, 3);
    registers().rdi = mapped_at + 2 * page - 1;
    EXPECT_TRUE(string({ins}, modem_control, 4));
    EXPECT_EQ(read(0x9000 + page - 1, 1), "\x03");
    EXPECT_EQ(read(0xa000, 3), "\x60\xb0Z");
    registers().rsi = mapped_at + 2 * page - 1;
    vm().uart().write(7, 0);
    EXPECT_TRUE(string({outs}, modem_control, 4));
    EXPECT_EQ(vm().uart().read(7), 'Z');
}

TEST_F(HandlePortAccess, PagesBecomeAccessedAndDirty) {
    paging({{0xb000, 7}, {0x9000, 7}, {0xa000, 7}});
    registers().rsi = mapped_at;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_EQ(hex(entry(0)), hex(0xb027U)) << "a read: accessed";
    registers().rdi = mapped_at + page;
    EXPECT_TRUE(string({ins_byte}, console));
    EXPECT_EQ(hex(entry(1)), hex(0x9067U)) << "a write: accessed and dirty";
    EXPECT_EQ(hex(entry(2)), hex(0xa007U)) << "nobody was there";
}

TEST_F(HandlePortAccess, AddressesAbove4GiB) {
    registers().rsi = data_at;
    write(data_at, "3");
    EXPECT_TRUE(string({outs_byte}, console)) << "32-bit code";
    EXPECT_EQ(printed(), "[test] 3\n");
    long_mode();
    write(data_at, "p");
    // 2^39 is the page behind that of the code.
    write64(tables_at + 8, (tables_at + 2 * page) | 7);
    write64(tables_at + 2 * page, (tables_at + 3 * page) | 7);
    write64(tables_at + 3 * page, (tables_at + 4 * page) | 7);
    write64(tables_at + 4 * page, (code_at + page) | 7);
    registers().rsi = data_at;
    registers().rip = 1ULL << 39;
    *at(0) = std::byte{0x90};
    EXPECT_TRUE(string({outs_byte}, console, 1, code_at + page)) << "RIP has 64 bits";
    EXPECT_EQ(printed(), "[test] p\n");
    registers().rsi = (2ULL << 39) + data_at;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_TRUE(injected(14, 0));
    EXPECT_EQ(hex(fake().system.cr2), hex((2ULL << 39) + data_at)) << "and so has CR2";
    forget_events();
    // The tables may lie above 4 GiB.
    constexpr std::uint64_t high = (1ULL << 32) + 5 * page;
    ASSERT_TRUE(pager().table().map(Gpa{high},
                                    *kern::frames().allocate(vmm::frame_owner::guest_memory),
                                    vmm::read_write_execute));
    write64(high, (tables_at + page) | 7);
    fake().system.cr3 = high;
    registers().rsi = data_at;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_EQ(printed(), "[test] p\n");
}

TEST_F(HandlePortAccess, AFaultComesInTheMiddle) {
    paging({{0xb000, 7}, {0x9000, 0}});
    write(0xb000 + page - 3, "abc");
    write(0x9000, "def");
    registers().rsi = mapped_at + page - 3;
    registers().rcx = 6;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_TRUE(injected(14, 0));
    EXPECT_EQ(hex(fake().system.cr2), hex(mapped_at + page)) << "CR2";
    EXPECT_TRUE(stopped_but([](Registers& all) {
        all.rsi = mapped_at + page;
        all.rcx = 3;
    })) << "as far as it has come, and RIP at the instruction";
    EXPECT_EQ(printed(), "[test] abc\n");
    // The guest's handler makes the page present.
    write32(tables_at + page + 4, 0x9007);
    forget_events();
    EXPECT_TRUE(again());
    EXPECT_TRUE(done_but([](Registers& all) {
        all.rsi = mapped_at + page + 3;
        all.rcx = 0;
    }));
    EXPECT_EQ(printed(), "[test] def\n") << "no element is moved twice";
    EXPECT_TRUE(fake().injected.empty());
}

TEST_F(HandlePortAccess, TheFirstElementMayFault) {
    paging({{0xb000, 0}});
    registers().rdi = mapped_at + 0x123;
    registers().rcx = 6;
    EXPECT_TRUE(string({rep, ins}, scratch, 4));
    EXPECT_TRUE(injected(14, 2)) << "a write";
    EXPECT_EQ(hex(fake().system.cr2), hex(mapped_at + 0x123));
    EXPECT_TRUE(stopped_but(nothing));
}

TEST_F(HandlePortAccess, InsNeedsTheRightToWrite) {
    paging({{0xb000, 5}});
    write(0xb000, "old");
    registers().rdi = registers().rsi = mapped_at;
    EXPECT_TRUE(string({ins_byte}, console));
    EXPECT_TRUE(injected(14, 3)) << "present, and a write";
    EXPECT_EQ(read(0xb000, 3), "old");
    EXPECT_TRUE(stopped_but(nothing));
    forget_events();
    EXPECT_TRUE(string({outs_byte}, console)) << "reading is another right";
    EXPECT_EQ(printed(), "[test] o\n");
    fake().system.cr0 &= ~0x1'0000ULL;
    EXPECT_TRUE(string({ins_byte}, console)) << "without WP the kernel writes everywhere";
    EXPECT_EQ(read(0xb000, 1), "\xe9");
}

TEST_F(HandlePortAccess, ProgramsHaveTheirOwnRights) {
    paging({{0xb000, 3}, {0x9000, 7}});
    fake().ring = 3;
    registers().rsi = registers().rdi = mapped_at;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_TRUE(injected(14, 5)) << "a page of the kernel, at CPL 3";
    forget_events();
    registers().rdi = mapped_at + page;
    EXPECT_TRUE(string({ins_byte}, console)) << "a page of programs";
    EXPECT_TRUE(fake().injected.empty());
    // The kernel and SMAP.
    fake().ring = 0;
    fake().system.cr4 |= 1U << 21;
    registers().rsi = mapped_at + page;
    registers().rflags |= 1;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_TRUE(injected(14, 1)) << "SMAP, and CF, which changes nothing";
    forget_events();
    registers().rflags |= 1U << 18;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_TRUE(fake().injected.empty()) << "RFLAGS.AC lets the kernel in";
}

TEST_F(HandlePortAccess, HalfAnElementIsNone) {
    paging({{0xb000, 7}, {0x9000, 0}});
    write(0xb000 + page - 2, "no");
    registers().rsi = mapped_at + page - 1;
    EXPECT_TRUE(string({outs}, console, 2));
    EXPECT_TRUE(injected(14, 0));
    EXPECT_EQ(hex(fake().system.cr2), hex(mapped_at + page))
        << "CR2 is the first byte that cannot be reached";
    EXPECT_EQ(printed(), "") << "no byte of the element has reached the device";
    EXPECT_TRUE(stopped_but(nothing));
    forget_events();
    registers().rdi = mapped_at + page - 2;
    EXPECT_TRUE(string({ins}, console, 4));
    EXPECT_EQ(read(0xb000 + page - 2, 2), "no") << "no byte of the element has reached memory";
    EXPECT_EQ(hex(fake().system.cr2), hex(mapped_at + page));
}

TEST_F(HandlePortAccess, TablesThatAlwaysChangeLetTheGuestComeAgain) {
    paging({{0xb000, 7}});
    registers().rsi = mapped_at;
    registers().rcx = 2;
    // Whenever the table is looked up, another vCPU has just changed the entry above it.
    std::function<void()> changes = [&] {
        write32(tables_at + 4, read32(tables_at + 4) ^ 0x200);
        watched_memory().before_look(Gpa{tables_at + page}, changes);
    };
    watched_memory().before_look(Gpa{tables_at + page}, changes);
    EXPECT_TRUE(string({rep, outs_byte}, console)) << "the VM was ended";
    watched_memory().before_look(Gpa{tables_at + page}, {});
    EXPECT_TRUE(fake().injected.empty()) << "it is no fault of the guest's";
    EXPECT_TRUE(stopped_but(nothing));
    EXPECT_EQ(printed(), "");
    EXPECT_TRUE(again());
    EXPECT_EQ(registers().rcx, 0U) << "once the tables stand still, it goes on";
}

TEST_F(HandlePortAccess, AnEventThatWaitsComesFirst) {
    paging({{0xb000, 7}, {0x9000, 0}});
    registers().rsi = mapped_at + page - 1;
    registers().rcx = 2;
    fake().pending = true;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_TRUE(fake().injected.empty()) << "an event was waiting, and was lost";
    EXPECT_TRUE(stopped_but([](Registers& all) {
        all.rsi = mapped_at + page;
        all.rcx = 1;
    }));
}

TEST_F(HandlePortAccess, AnAddressThatIsNotCanonicalIsAProtectionFault) {
    long_mode();
    registers().rsi = registers().rdi = 1ULL << 47;
    registers().rcx = 2;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_TRUE(injected(13, 0));
    EXPECT_TRUE(stopped_but(nothing));
    forget_events();
    EXPECT_TRUE(string({ins}, console, 4));
    EXPECT_TRUE(injected(13, 0));
    EXPECT_EQ(hex(fake().system.cr2), hex(0U)) << "CR2 belongs to page faults";
}

TEST_F(HandlePortAccess, APageThatIsNotThereYetIsLoaded) {
    // Neither the page nor the table that leads to it.
    static std::map<std::uint64_t, std::string> contents;
    constexpr std::uint64_t far = 0x80'0000, table = far + page, data = far + 2 * page,
                            table_too = far + 4 * page;
    const auto word = [](std::uint32_t value) {
        return std::string{reinterpret_cast<const char*>(&value), 4};
    };
    contents[table] = word(data | 7) + word((data + page) | 7);
    contents[table_too] = word(data | 7);
    contents[data] = "lazy";
    contents[data + page] = "";
    for (const auto& [gpa, text] : contents)
        ASSERT_TRUE(pager().map_page(
            Gpa{gpa}, {.fill =
                           [](void* context, Gpa, std::span<std::byte, page> bytes) {
                               const auto& from = *static_cast<const std::string*>(context);
                               std::memset(bytes.data(), 0, bytes.size());
                               std::memcpy(bytes.data(), from.data(), from.size());
                               return true;
                           },
                       .context = &contents[gpa]}));
    paging({});
    write32(tables_at + 4, table | 7);
    registers().rsi = mapped_at;
    registers().rcx = 4;
    ASSERT_TRUE(string({rep, outs_byte}, console)) << "a page of the guest that nobody has touched";
    EXPECT_EQ(printed(), "[test] lazy\n");
    registers().rdi = mapped_at + page;
    ASSERT_TRUE(string({ins_byte}, console));
    EXPECT_EQ(read(data + page, 2), std::string("\xe9\0", 2));
    write32(tables_at + 8, table_too | 7);
    registers().rsi = mapped_at + 0x40'0000;
    ASSERT_TRUE(string({outs_byte}, console)) << "another table";
    EXPECT_EQ(printed(), "[test] l\n");
    EXPECT_TRUE(fake().injected.empty()) << "it is not the guest's fault";
}

TEST_F(HandlePortAccess, MemoryThatIsNotThereEndsTheVm) {
    write(pages * page - 2, "ab");
    registers().rsi = pages * page - 2;
    registers().rcx = 5;
    const auto result = string({rep, outs_byte}, console);
    ASSERT_FALSE(result) << "no memory of this guest";
    EXPECT_EQ(result.error().error, Error::NotFound);
    EXPECT_EQ(printed(), "[test] ab\n");
    EXPECT_TRUE(stopped_but([](Registers& all) {
        all.rsi = pages * page;
        all.rcx = 3;
    })) << "the report shows how far it came";
    EXPECT_TRUE(fake().injected.empty());
    registers().rdi = 0xfec0'0000;
    EXPECT_FALSE(string({ins_byte}, console)) << "no device there has a string instruction";
    paging({});
    write32(tables_at + 4, 0x4000'0007);
    registers().rsi = mapped_at;
    const auto without_table = string({outs_byte}, console);
    ASSERT_FALSE(without_table) << "no memory where the guest has its table";
    EXPECT_EQ(without_table.error().error, Error::NotFound);
}

TEST_F(HandlePortAccess, WhatTheGuestMayNotWriteStays) {
    ASSERT_TRUE(pager().table().protect(Gpa{data_at}, vmm::read_execute));
    write(data_at, "host's");
    registers().rsi = registers().rdi = data_at;
    EXPECT_TRUE(string({outs_byte}, console)) << "it may read";
    EXPECT_EQ(printed(), "[test] h\n");
    const auto result = string({ins_byte}, console);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().error, Error::Unsupported);
    EXPECT_EQ(read(data_at, 6), "host's");
}

TEST_F(HandlePortAccess, FiveLevelsEndTheVm) {
    long_mode();
    registers().rsi = data_at;
    EXPECT_TRUE(string({outs_byte}, console));
    fake().system.cr4 |= 1U << 12;
    registers().rip = code_at;
    const auto result = again();
    ASSERT_FALSE(result);
    EXPECT_EQ(printed(), "[test] ?\n");
    EXPECT_TRUE(fake().injected.empty());
}

TEST_F(HandlePortAccess, TwoVcpusAccessAtOnce) {
    paging({{0xb000, 7}, {0x9000, 7}, {0xa000, 0}});
    fill_registers(1);
    fake(1).system = {.cr0 = 1, .code_size = CodeSize::Bits32};
    const auto vcpu_1 = [this](std::uint64_t rip, bool in, std::uint8_t size) {
        registers(1).rip = rip;
        return handle_port_access(vcpu(1), {.reason = {}, .instruction_length = 1},
                                  {.port = scratch, .size = size, .in = in, .string = true});
    };
    // Each time vCPU 1 comes while vCPU 0 is at the bound of two pages: of an instruction,
    constexpr std::uint64_t other_code = 0x5000;
    *at(other_code) = std::byte{ins_byte};
    *at(other_code + 1) = std::byte{outs_byte};
    registers(1).rdi = 0xc000;
    write(0xb000, "a");
    registers().rsi = mapped_at;
    registers().rip = 2 * page - 1;
    *at(2 * page - 1) = std::byte{0x3e};
    *at(2 * page) = std::byte{outs_byte};
    watched_memory().before_look(Gpa{2 * page}, [&] { EXPECT_TRUE(vcpu_1(other_code, true, 1)); });
    EXPECT_TRUE(call({.port = console, .size = 1, .string = true}));
    EXPECT_EQ(printed(), "[test] a\n");
    // of an element,
    write(0xb000 + page - 1, "b");
    write(0x9000, "c");
    write(0xd000, "..");
    vm().uart().write(7, 'u');
    registers(1).rsi = 0xd000;
    registers().rsi = mapped_at + page - 1;
    registers().rip = code_at;
    watched_memory().before_look(Gpa{0x9000},
                                 [&] { EXPECT_TRUE(vcpu_1(other_code + 1, false, 1)); });
    EXPECT_TRUE(string({outs}, console, 2));
    EXPECT_EQ(printed(), "[test] b\n") << "the second byte is the next port's";
    // and of elements, of which the last one faults.
    write32(tables_at + page + 4, 0x9007);
    registers(1).rsi = 0x4000'0000;
    registers().rdi = mapped_at + page - 4;
    registers().rcx = page / 4 + 2;
    watched_memory().before_look(Gpa{0x9000}, [&] {
        fake(1).system = fake().system;
        registers(1).rsi = mapped_at + 7 * page;
        EXPECT_TRUE(vcpu_1(other_code + 1, false, 1));
    });
    EXPECT_TRUE(string({rep, ins}, scratch, 4));
    EXPECT_TRUE(injected(14, 2)) << "vCPU 0's own fault";
    EXPECT_EQ(hex(fake().system.cr2), hex(mapped_at + 2 * page));
    EXPECT_EQ(fake(1).error_codes, (std::vector<std::optional<std::uint32_t>>{0}))
        << "vCPU 1's own fault";
    EXPECT_EQ(hex(fake(1).system.cr2), hex(mapped_at + 7 * page));
}

// ---- Pieces -------------------------------------------------------------------------------------

TEST_F(HandlePortAccess, AGuestCannotHoldTheCpu) {
    long_mode();
    registers().rsi = 0;
    registers().rcx = ~0ULL;
    EXPECT_TRUE(string({rep, outs_byte}, 0x80));
    EXPECT_TRUE(stopped_but([](Registers& all) {
        all.rsi = vmm::port_string_piece;
        all.rcx = ~0ULL - vmm::port_string_piece;
    })) << "a piece, and RIP at the instruction";
    EXPECT_EQ(skipped(), std::vector<unsigned>{0}) << "an instruction of 0 bytes";
    EXPECT_TRUE(again());
    EXPECT_EQ(registers().rsi, 2 * vmm::port_string_piece);
    registers().rcx = 1ULL << 32;
    EXPECT_TRUE(again());
    EXPECT_EQ(registers().rcx, (1ULL << 32) - vmm::port_string_piece) << "all bits of RCX";

    forget_events();
    registers().rsi = 0;
    registers().rcx = vmm::port_string_piece;
    EXPECT_TRUE(string({rep, outs_byte}, 0x80)) << "as many as can be";
    EXPECT_TRUE(done_but([](Registers& all) {
        all.rsi = vmm::port_string_piece;
        all.rcx = 0;
    }));
    forget_events();
    registers().rsi = 0;
    registers().rcx = vmm::port_string_piece + 1;
    EXPECT_TRUE(string({rep, outs_byte}, 0x80));
    EXPECT_EQ(skipped(), std::vector<unsigned>{0});
    EXPECT_TRUE(again());
    EXPECT_EQ(skipped(), (std::vector<unsigned>{0, 2}));
    EXPECT_EQ(registers().rcx, 0U);
}

TEST_F(HandlePortAccess, AGuestThatStepsSeesEachElement) {
    write(data_at, "tf");
    registers().rflags |= 0x100;
    registers().rsi = data_at;
    registers().rcx = 2;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_TRUE(stopped_but([](Registers& all) {
        all.rsi = data_at + 1;
        all.rcx = 1;
    }));
    EXPECT_TRUE(again());
    EXPECT_EQ(skipped(), (std::vector<unsigned>{0, 2})) << "two steps, of which the last goes on";
    EXPECT_EQ(printed(), "[test] tf\n");
    registers().rflags = 2 | 1;  // CF
    registers().rsi = data_at;
    registers().rcx = 2;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_EQ(registers().rcx, 0U) << "TF is clear again: all elements at once";
    EXPECT_EQ(printed(), "[test] tf\n");
}

}  // namespace
}  // namespace lab
