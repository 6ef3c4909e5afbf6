// SPDX-License-Identifier: MIT
// Task lab4.handle_port_access: IN and OUT, elements of strings and where they are.
#include "port_access_fixture.hh"

namespace lab {
namespace {

// ---- IN and OUT ---------------------------------------------------------------------------------

TEST_F(HandlePortAccess, OutWritesAByte) {
    registers().rax = 0xffff'ffff'ffff'ff41;
    EXPECT_TRUE(access(console, 1, false));
    EXPECT_TRUE(done_but(nothing, 1));
    EXPECT_EQ(printed(), "[test] A\n");
}

TEST_F(HandlePortAccess, OutOfSeveralBytesMeetsAsManyPorts) {
    registers().rax = 0x8877'6655'4433'225a;
    EXPECT_TRUE(access(scratch - 1, 2, false));
    EXPECT_EQ(vm().uart().read(7), 0x22) << "the second byte is the next port's";
    EXPECT_TRUE(done_but(nothing, 1));
    EXPECT_TRUE(access(scratch - 3, 4, false));
    EXPECT_EQ(vm().uart().read(7), 0x44) << "the fourth byte";
    EXPECT_EQ(vm().uart().read(4), 0x5a & 0x1f) << "the first byte";
    registers().rax = 0x4241;
    EXPECT_TRUE(access(console, 1, false));
    EXPECT_EQ(printed(), "[test] A\n") << "one byte is one byte";
}

TEST_F(HandlePortAccess, InKeepsTheRestOfRax) {
    vm().uart().write(7, 0x5a);
    registers().rax = 0x1122'3344'5566'7788;
    EXPECT_TRUE(access(scratch, 1, true));
    EXPECT_TRUE(done_but([](Registers& all) { all.rax = 0x1122'3344'5566'775a; }, 1));
    EXPECT_TRUE(access(scratch - 1, 2, true));
    EXPECT_TRUE(done_but([](Registers& all) { all.rax = 0x1122'3344'5566'5ab0; }, 1));
}

TEST_F(HandlePortAccess, InOfFourBytesClearsTheUpperHalf) {
    vm().uart().write(7, 0x5a);
    vm().uart().write(4, 3);
    registers().rax = 0x1122'3344'5566'7788;
    EXPECT_TRUE(access(modem_control, 4, true));
    EXPECT_TRUE(done_but([](Registers& all) { all.rax = 0x5ab0'6003; }, 1));
}

TEST_F(HandlePortAccess, OneServedPortIsEnough) {
    vm().uart().write(7, 0x5a);
    registers().rax = 0;
    EXPECT_TRUE(access(scratch, 2, true)) << "0x3ff is a device's, 0x400 is nobody's";
    EXPECT_EQ(registers().rax, 0xff5aU);
    EXPECT_TRUE(access(modem_control - 5, 2, true)) << "0x3f7 is nobody's, 0x3f8 is a device's";
    EXPECT_EQ(registers().rax, 0x00ffU);
    registers().rax = 0x77;
    EXPECT_TRUE(access(scratch, 4, false));
    EXPECT_EQ(vm().uart().read(7), 0x77);
}

TEST_F(HandlePortAccess, AnAbsentDeviceIsAnEmptyBus) {
    for (const std::uint16_t port : {0x20, 0x43, 0x70, 0xf6, 0x2f8}) {
        registers().rax = 0;
        EXPECT_TRUE(access(port, 1, true)) << hex(port);
        EXPECT_TRUE(done_but([](Registers& all) { all.rax = 0xff; }, 1)) << hex(port);
        EXPECT_TRUE(access(port, 1, false)) << hex(port);
        EXPECT_TRUE(done_but(nothing, 1)) << hex(port);
    }
}

TEST_F(HandlePortAccess, AnUnknownPortEndsTheVm) {
    for (const std::uint16_t port : {unknown, std::uint16_t{0xcf8}, std::uint16_t{0x604}})
        for (const std::uint8_t size : {1, 2, 4}) {
            const auto in = access(port, size, true);
            ASSERT_FALSE(in) << "IN from " << hex(port);
            EXPECT_STREQ(in.error().reason, "IN from a port that no device serves");
            EXPECT_TRUE(stopped_but(nothing)) << "a report shows the guest at the instruction";
            const auto out = access(port, size, false);
            ASSERT_FALSE(out) << "OUT to " << hex(port);
            EXPECT_STREQ(out.error().reason, "OUT to a port that no device serves");
            EXPECT_TRUE(stopped_but(nothing)) << "a report shows the guest at the instruction";
        }
}

TEST_F(HandlePortAccess, ThePortBesideADeviceIsNobodys) {
    for (std::uint32_t port = 0; port < 0x10000; ++port) {
        const auto below = static_cast<std::uint16_t>(port),
                   above = static_cast<std::uint16_t>(port + 1);
        if (vmm::is_served_port(below) == vmm::is_served_port(above)) continue;
        const std::uint16_t nobodys = vmm::is_served_port(below) ? above : below;
        EXPECT_FALSE(access(nobodys, 1, false)) << "OUT to " << hex(nobodys);
    }
}

TEST_F(HandlePortAccess, OpenPortsAreAnEmptyBus) {
    make_vm(true);
    start();
    for (const std::uint16_t port : {unknown, std::uint16_t{0xcf8}, std::uint16_t{0x604}}) {
        registers().rax = 0x1122'3344'5566'7788;
        EXPECT_TRUE(access(port, 1, true));
        EXPECT_TRUE(done_but([](Registers& all) { all.rax = 0x1122'3344'5566'77ff; }, 1));
        EXPECT_TRUE(access(port, 4, true));
        EXPECT_TRUE(done_but([](Registers& all) { all.rax = 0xffff'ffff; }, 1));
        EXPECT_TRUE(access(port, 2, false));
        EXPECT_TRUE(done_but(nothing, 1));
    }
    registers().rax = 'B';
    EXPECT_TRUE(access(console, 1, false)) << "devices stay devices";
    EXPECT_EQ(printed(), "[test] B\n");
}

// ---- INS and OUTS: elements and registers -------------------------------------------------------

TEST_F(HandlePortAccess, OutsSendsOneElement) {
    write(data_at, "Ab");
    registers().rsi = data_at;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_TRUE(done_but([](Registers& all) { all.rsi = data_at + 1; })) << "RCX does not count";
    EXPECT_EQ(printed(), "[test] A\n");
    EXPECT_TRUE(string({outs}, scratch - 1, 2)) << "from where it is now";
    EXPECT_EQ(vm().uart().read(7), 0) << "the second byte of `b`, 0";
    EXPECT_TRUE(done_but([](Registers& all) { all.rsi = data_at + 3; }));
    write(data_at + 3, "wxyz");
    EXPECT_TRUE(string({outs}, modem_control, 4));
    EXPECT_EQ(vm().uart().read(7), 'z');
    EXPECT_TRUE(done_but([](Registers& all) { all.rsi = data_at + 7; }));
}

TEST_F(HandlePortAccess, InsStoresOneElement) {
    vm().uart().write(7, 0x5a);
    vm().uart().write(4, 3);
    for (const std::uint8_t size : {1, 2, 4}) {
        write(data_at, "........");
        registers().rdi = data_at + 1;
        EXPECT_TRUE(string({size == 1 ? ins_byte : ins},
                           static_cast<std::uint16_t>(scratch + 1 - size), size));
        EXPECT_TRUE(done_but([&](Registers& all) { all.rdi = data_at + 1 + size; })) << "RAX stays";
        const std::string device{"\x03\x60\xb0\x5a", 4};
        EXPECT_EQ(read(data_at, 8), "." + device.substr(4 - size) + std::string(7 - size, '.'));
    }
}

TEST_F(HandlePortAccess, RepMovesAllElementsAtOnce) {
    std::string text;
    for (unsigned i = 0; i < 50; ++i) text += "line " + std::to_string(100 + i) + "\n";
    write(data_at + 0xf80, text);  // on two pages
    registers().rsi = data_at + 0xf80;
    registers().rcx = text.size();
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_TRUE(done_but([&](Registers& all) {
        all.rsi += text.size();
        all.rsi &= 0xffff'ffff;
        all.rcx = 0;
    }));
    std::string wanted;
    for (unsigned i = 0; i < 50; ++i) wanted += "[test] line " + std::to_string(100 + i) + "\n";
    EXPECT_TRUE(printed() == wanted) << "the guest's lines, as they are, one after the other";
    EXPECT_EQ(skipped().size(), 1U) << "one instruction";

    registers().rdi = data_at;
    registers().rcx = 3;
    write(data_at, "..............");
    vm().uart().write(7, 'S');
    EXPECT_TRUE(string({rep, ins}, modem_control, 4));
    EXPECT_EQ(read(data_at + 3, 1) + read(data_at + 7, 1) + read(data_at + 11, 2), "SSS.");
    EXPECT_TRUE(done_but([](Registers& all) {
        all.rdi = data_at + 12;
        all.rcx = 0;
    }));
}

TEST_F(HandlePortAccess, RepOfNothingDoesNothing) {
    registers().rcx = 0;
    for (const std::uint16_t port : {console, unknown}) {
        EXPECT_TRUE(string({rep, outs_byte}, port)) << "no port is asked";
        EXPECT_TRUE(done_but(nothing)) << "no register changes, and the guest goes on";
        EXPECT_TRUE(string({rep, ins}, port, 4));
        EXPECT_TRUE(done_but(nothing));
    }
    registers().rcx = 0xffff'0000;
    EXPECT_TRUE(string({0x67, rep, outs_byte}, console)) << "CX is 0";
    EXPECT_TRUE(done_but(nothing));
    EXPECT_TRUE(fake().injected.empty());
    EXPECT_EQ(printed(), "");
}

TEST_F(HandlePortAccess, TheDirectionFlagGoesDown) {
    write(data_at, "dcba");
    registers().rflags |= 0x400;
    registers().rsi = data_at + 3;
    registers().rcx = 4;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_TRUE(done_but([](Registers& all) {
        all.rsi = data_at - 1;
        all.rcx = 0;
    }));
    EXPECT_EQ(printed(), "[test] abcd\n");
    write(data_at, "............");
    vm().uart().write(7, 0x41);
    registers().rdi = data_at + 6;
    registers().rcx = 2;
    EXPECT_TRUE(string({rep, ins}, scratch - 1, 2));
    EXPECT_EQ(read(data_at, 9),
              "....\xb0"
              "A\xb0"
              "A.")
        << "an element's bytes stay in their order";
    EXPECT_TRUE(done_but([](Registers& all) {
        all.rdi = data_at + 2;
        all.rcx = 0;
    }));
}

TEST_F(HandlePortAccess, AnUnknownPortEndsStringsToo) {
    registers().rsi = registers().rdi = data_at;
    registers().rcx = 2;
    const auto in = string({rep, ins_byte}, unknown);
    ASSERT_FALSE(in);
    EXPECT_STREQ(in.error().reason, "IN from a port that no device serves");
    EXPECT_TRUE(stopped_but(nothing));
    const auto out = string({outs}, unknown, 2);
    ASSERT_FALSE(out);
    EXPECT_STREQ(out.error().reason, "OUT to a port that no device serves");
    EXPECT_TRUE(stopped_but(nothing));
    make_vm(true);
    start();
    write(data_at, "..");
    registers().rdi = data_at;
    EXPECT_TRUE(string({ins}, unknown, 2)) << "open ports are open for strings, too";
    EXPECT_EQ(read(data_at, 2), "\xff\xff");
}

// ---- Address sizes and segments -----------------------------------------------------------------

TEST_F(HandlePortAccess, SixteenBitAddressesWrap) {
    fake().system.code_size = CodeSize::Bits16;
    const auto check = [&](Code code) {
        *at(0xffff) = std::byte{'a'};
        const std::byte first = *at(0);
        *at(0) = std::byte{'b'};
        registers().rsi = 0x1122'3344'5566'ffff;
        registers().rcx = 0x8877'6655'4433'0002;
        EXPECT_TRUE(string(code, console));
        EXPECT_TRUE(done_but([](Registers& all) {
            all.rsi = 0x1122'3344'5566'0001;
            all.rcx = 0x8877'6655'4433'0000;
        })) << "the rest of a register stays";
        EXPECT_EQ(printed(), "[test] ab\n");
        *at(0) = first;
    };
    check({rep, outs_byte});
    fake().system.code_size = CodeSize::Bits32;
    check({0x67, rep, outs_byte});
    // Down, below 0.
    registers().rflags |= 0x400;
    registers().rdi = 0x1'0000;
    EXPECT_TRUE(string({0x67, ins_byte}, console));
    EXPECT_TRUE(done_but([](Registers& all) { all.rdi = 0x1'ffff; }));
    EXPECT_EQ(*at(0), std::byte{0xe9});
}

TEST_F(HandlePortAccess, ThirtyTwoBitAddressesClearTheUpperHalf) {
    const auto check = [&](Code code) {
        write(data_at, "xyz");
        registers().rsi = 0x1122'3344'0000'0000 | data_at;
        registers().rcx = 0x8877'6655'0000'0002;
        EXPECT_TRUE(string(code, console));
        EXPECT_TRUE(done_but([](Registers& all) {
            all.rsi = data_at + 2;
            all.rcx = 0;
        }));
        EXPECT_EQ(printed(), "[test] xy\n");
    };
    check({rep, outs_byte});
    fake().system.code_size = CodeSize::Bits16;
    check({0x67, rep, outs_byte});
    long_mode();
    check({0x67, rep, outs_byte});
    // Down, below 0.
    registers().rflags |= 0x400;
    registers().rdi = 0xabcd'0000'0000;
    EXPECT_TRUE(string({0x67, ins_byte}, console));
    EXPECT_TRUE(done_but([](Registers& all) { all.rdi = 0xffff'ffff; }));
    EXPECT_EQ(*at(0), std::byte{0xe9});
}

TEST_F(HandlePortAccess, SixtyFourBitAddressesAreWhole) {
    long_mode();
    write(data_at, "pq");
    registers().rsi = data_at;
    registers().rcx = 2;
    EXPECT_TRUE(string({rep, outs_byte}, console));
    EXPECT_TRUE(done_but([](Registers& all) {
        all.rsi = data_at + 2;
        all.rcx = 0;
    }));
    EXPECT_EQ(printed(), "[test] pq\n");
    // The entry of level 4 for 2^39 leads to the same page.
    write64(tables_at + 8, (tables_at + page) | 7);
    registers().rsi = (1ULL << 39) + data_at;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_TRUE(done_but([](Registers& all) { ++all.rsi; }));
    EXPECT_EQ(printed(), "[test] p\n");
}

TEST_F(HandlePortAccess, OutsReadsFromTheSegmentOfItsPrefix) {
    static constexpr std::pair<std::uint8_t, SegmentName> prefixes[] = {
        {0x26, SegmentName::Es}, {0x2e, SegmentName::Cs}, {0x36, SegmentName::Ss},
        {0x3e, SegmentName::Ds}, {0x64, SegmentName::Fs}, {0x65, SegmentName::Gs}};
    for (const auto& [prefix, segment] : prefixes) {
        const auto number = static_cast<std::uint64_t>(segment);
        set_base(segment, data_at + 0x100 * number);
        *at(data_at + 0x100 * number + 0x10) = static_cast<std::byte>('a' + number);
    }
    for (const auto& [prefix, segment] : prefixes) {
        registers().rsi = 0x10;
        EXPECT_TRUE(string({prefix, outs_byte}, console));
        EXPECT_TRUE(done_but([](Registers& all) { all.rsi = 0x11; })) << "the offset moves";
        EXPECT_EQ(printed(), std::string{"[test] "} +
                                 static_cast<char>('a' + static_cast<unsigned>(segment)) + "\n");
    }
    registers().rsi = 0x10;
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_EQ(printed(), "[test] d\n") << "DS without a prefix";
    // A linear address has 32 bits.
    set_base(SegmentName::Ds, 0xffff'ff00);
    registers().rsi = data_at + 0x110;
    *at(data_at + 0x10) = std::byte{'w'};
    EXPECT_TRUE(string({outs_byte}, console));
    EXPECT_EQ(printed(), "[test] w\n");
}

TEST_F(HandlePortAccess, InsWritesToEsAlways) {
    set_base(SegmentName::Es, data_at);
    set_base(SegmentName::Ds, data_at + 0x100);
    set_base(SegmentName::Fs, data_at + 0x200);
    for (const Code& code : {Code{ins_byte}, Code{0x3e, ins_byte}, Code{0x64, ins_byte}}) {
        write(data_at + 0x10, ".");
        registers().rdi = 0x10;
        EXPECT_TRUE(string(code, console));
        EXPECT_TRUE(done_but([](Registers& all) { all.rdi = 0x11; }));
        EXPECT_EQ(read(data_at + 0x10, 1), "\xe9");
    }
}

TEST_F(HandlePortAccess, OnlyFsAndGsHaveABaseIn64BitCode) {
    long_mode();
    for (const SegmentName segment :
         {SegmentName::Es, SegmentName::Cs, SegmentName::Ss, SegmentName::Ds})
        set_base(segment, 0x100);
    set_base(SegmentName::Fs, 0x200);
    set_base(SegmentName::Gs, 0xffff'ffff'ffff'ff00);
    *at(data_at) = std::byte{'d'};
    *at(data_at + 0x200) = std::byte{'f'};
    *at(data_at - 0x100) = std::byte{'g'};
    static constexpr std::pair<std::uint8_t, char> prefixes[] = {
        {0x26, 'd'}, {0x2e, 'd'}, {0x36, 'd'}, {0x3e, 'd'}, {0x64, 'f'}, {0x65, 'g'}};
    for (const auto& [prefix, letter] : prefixes) {
        registers().rsi = data_at;
        EXPECT_TRUE(string({prefix, outs_byte}, console)) << "prefix " << hex(prefix);
        EXPECT_EQ(printed(), std::string{"[test] "} + letter + "\n") << "prefix " << hex(prefix);
    }
    registers().rdi = data_at;
    EXPECT_TRUE(string({ins_byte}, console));
    EXPECT_EQ(read(data_at, 1), "\xe9");
}

}  // namespace
}  // namespace lab
