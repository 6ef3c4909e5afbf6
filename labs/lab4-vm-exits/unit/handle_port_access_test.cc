// SPDX-License-Identifier: MIT
// Task lab4.handle_port_access.
#include "vmm/exits/handle_port_access.hh"

#include <bit>
#include <cstring>
#include <map>

#include "exit_fixture.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"

namespace lab {
namespace {

using vmm::CodeSize;
using vmm::Gpa;
using vmm::Hpa;
using vmm::SegmentName;
using Code = std::initializer_list<std::uint8_t>;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t code_at = 0x1000;
constexpr std::uint64_t data_at = 0x8000;
constexpr std::uint64_t tables_at = 0x2'0000;
constexpr std::uint64_t pages = 64;             ///< there are so many, from 0 on
constexpr std::uint64_t mapped_at = 0x40'0000;  ///< linear, by a table of its own: see paging()
constexpr std::uint16_t console = 0xe9, scratch = 0x3ff, modem_control = 0x3fc, unknown = 0x4321;
constexpr std::uint8_t ins_byte = 0x6c, ins = 0x6d, outs_byte = 0x6e, outs = 0x6f, rep = 0xf3;

class HandlePortAccess : public ExitTest {
   protected:
    void SetUp() override {
        ExitTest::SetUp();
        std::array<Hpa, pages> frames;
        for (Hpa& frame : frames) frame = *kern::frames().allocate(vmm::frame_owner::guest_memory);
        for (std::uint64_t i = 0; i < pages; ++i)  // in another order than in the guest
            ASSERT_TRUE(
                pager().table().map(Gpa{i * page}, frames[i * 5 % pages], vmm::read_write_execute));
        start();
    }
    /// 32-bit code with flat segments and no paging; all general registers have values of their own.
    void start() {
        fill_registers();
        fake().knows_lengths = true;
        fake().system = {.cr0 = 1, .code_size = CodeSize::Bits32};
    }

    ///@{
    /// The guest's memory.
    std::byte* at(std::uint64_t gpa) {
        return kern::arch::direct_map(*vm().memory().gpa2hpa(Gpa{gpa}));
    }
    void write(std::uint64_t gpa, std::string_view text) {
        for (std::size_t i = 0; i < text.size(); ++i)
            *at(gpa + i) = static_cast<std::byte>(text[i]);
    }
    std::string read(std::uint64_t gpa, std::size_t length) {
        std::string text;
        for (std::size_t i = 0; i < length; ++i) text += static_cast<char>(*at(gpa + i));
        return text;
    }
    void write32(std::uint64_t gpa, std::uint32_t value) { std::memcpy(at(gpa), &value, 4); }
    std::uint32_t read32(std::uint64_t gpa) {
        std::uint32_t value;
        std::memcpy(&value, at(gpa), 4);
        return value;
    }
    void write64(std::uint64_t gpa, std::uint64_t value) { std::memcpy(at(gpa), &value, 8); }
    ///@}

    /// Two levels: the first 4 MiB are what they are; from mapped_at on there are the pages named, in
    /// this order, with these bits of their entries (0: not present).
    void paging(std::initializer_list<std::pair<std::uint64_t, std::uint32_t>> entries) {
        write32(tables_at, 0x87);  // a page of 4 MiB
        write32(tables_at + 4, (tables_at + page) | 7);
        std::uint64_t place = tables_at + page;
        for (const auto& [gpa, bits] : entries) {
            write32(place, static_cast<std::uint32_t>(gpa) | bits);
            place += 4;
        }
        fake().system.cr0 = 0x8001'0001;  // with WP
        fake().system.cr3 = tables_at;
        fake().system.cr4 = 0x10;  // PSE
    }
    std::uint32_t entry(std::uint64_t number) { return read32(tables_at + page + 4 * number); }

    /// Four levels, the first GiB as it is, in 64-bit code.
    void long_mode() {
        write64(tables_at, (tables_at + page) | 7);
        write64(tables_at + page, 0x87);  // a page of 1 GiB
        write64(tables_at + page + 24, 0xc000'0087);
        fake().system.cr0 = 0x8001'0001;
        fake().system.cr3 = tables_at;
        fake().system.cr4 = 0x20;  // PAE
        fake().system.efer = 0xd00;
        fake().system.code_size = CodeSize::Bits64;
    }
    void set_base(SegmentName segment, std::uint64_t base) {
        fake().system.segments[static_cast<std::size_t>(segment)] = {base, 0xffff'ffff};
    }

    /// IN or OUT.
    vmm::Handled access(std::uint16_t port, std::uint8_t size, bool in) {
        before_ = registers();
        return handle_port_access(vcpu(), {.reason = {}, .instruction_length = 1},
                                  {.port = port, .size = size, .in = in});
    }
    /// A string instruction with these bytes, at `place`; RIP is there, if a test does not say more.
    vmm::Handled string(Code code, std::uint16_t port, std::uint8_t size = 1,
                        std::uint64_t place = code_at) {
        if (place == code_at) registers().rip = code_at;
        std::uint64_t to = place;
        bool repeat = false;
        for (const std::uint8_t byte : code) {
            *at(to++) = std::byte{byte};
            repeat = repeat || byte == rep;
        }
        length_ = static_cast<std::uint8_t>(code.size());
        const std::uint8_t opcode = *std::prev(code.end());
        return call({.port = port,
                     .size = size,
                     .in = opcode == ins_byte || opcode == ins,
                     .string = true,
                     .repeat = repeat});
    }
    vmm::Handled call(const vmm::exit::PortAccess& what) {
        before_ = registers();
        last_ = what;
        return handle_port_access(vcpu(), {.reason = {}, .instruction_length = length_}, what);
    }
    /// The guest executes the same instruction again.
    vmm::Handled again() { return call(last_); }

    const Registers& before() const { return before_; }
    /// The registers as they were, but for those that `changes` changes, and RIP behind the
    /// instruction.
    template <class Change>
    ::testing::AssertionResult done_but(Change change, std::uint8_t length) {
        Registers wanted = before_;
        change(wanted);
        wanted.rip += length;
        return same_registers(registers(), wanted);
    }
    template <class Change>
    ::testing::AssertionResult done_but(Change change) {
        return done_but(change, length_);
    }
    /// RIP is at the instruction still.
    template <class Change>
    ::testing::AssertionResult stopped_but(Change change) {
        return done_but(change, 0);
    }
    static void nothing(Registers&) {}

    /// What the guest has printed since the last time.
    std::string printed() {
        vm().flush_lines();
        const std::string all = kern::arch::fake::console();
        std::string news = all.substr(seen_);
        seen_ = all.size();
        return news;
    }
    /// One exception was injected, and nothing else.
    ::testing::AssertionResult injected(std::uint8_t vector, std::uint32_t error_code) {
        if (fake().injected.size() != 1)
            return ::testing::AssertionFailure()
                   << fake().injected.size() << " events were injected; wanted: one, vector "
                   << unsigned{vector};
        const auto code = fake().error_codes.back();
        if (fake().injected.back() == vector && code == error_code)
            return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "vector " << unsigned{fake().injected.back()} << " was injected, error code "
               << (code ? hex(*code) : "none") << "; wanted: vector " << unsigned{vector}
               << ", error code " << hex(error_code);
    }
    /// The lengths of the instructions that have ended.
    std::vector<unsigned> skipped() {
        std::vector<unsigned> lengths;
        for (const Exit& exit : fake().completed) lengths.push_back(exit.instruction_length);
        return lengths;
    }
    void forget_events() {
        fake().pending = false;
        fake().injected.clear();
        fake().error_codes.clear();
        fake().completed.clear();
    }

   private:
    Registers before_{};
    vmm::exit::PortAccess last_{};
    std::uint8_t length_ = 1;
    std::size_t seen_ = 0;
};

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
