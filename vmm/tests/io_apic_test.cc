// SPDX-License-Identifier: MIT
#include "vmm/devices/io_apic.hh"

#include <gtest/gtest.h>

#include <vector>

#include "kern/arch/host/fake.hh"
#include "kern/tests/support/results.hh"
#include "vmm/devices/mmio_console.hh"

namespace vmm {
namespace {

using kern::test::fails_with;
using Kind = InterruptCommand::Kind;

class Lines : public testing::Test {
   protected:
    void SetUp() override { kern::arch::fake::reset(); }

    void write(std::uint32_t index, std::uint32_t value) {
        EXPECT_TRUE(io_apic_.write({.offset = 0}, index));
        EXPECT_TRUE(io_apic_.write({.offset = 0x10}, value));
    }
    std::uint64_t read(std::uint32_t index) {
        EXPECT_TRUE(io_apic_.write({.offset = 0}, index));
        return io_apic_.read({.offset = 0x10}).value_or(~0ULL);
    }
    std::vector<InterruptCommand> sent_;
    IoApic io_apic_{[](void* test, const InterruptCommand& command) {
                        static_cast<Lines*>(test)->sent_.push_back(command);
                    },
                    this};
};

TEST_F(Lines, HasTheRegistersOfA82093AA) {
    write(0, 0xff00'0000);
    EXPECT_EQ(read(0), 0x0f00'0000U) << "the identifier has 4 bits";
    EXPECT_EQ(read(2), 0x0f00'0000U);
    EXPECT_EQ(read(1), 0x0017'0011U) << "24 entries, version 0x11";
    write(1, 0);
    EXPECT_EQ(read(1), 0x0017'0011U) << "read-only";
    for (unsigned line = 0; line < IoApic::lines; ++line)
        EXPECT_EQ(read(0x10 + 2 * line), 0x1'0000U) << "masked at first";
    write(0x10, 0xffff'ffff);
    write(0x11, 0xffff'ffff);
    EXPECT_EQ(read(0x10), 0x0001'afffU) << "delivery status and remote IRR are read-only";
    EXPECT_EQ(read(0x11), 0xff00'0000U);
    EXPECT_EQ(io_apic_.read({.offset = 0}), 0x11U) << "the index can be read";
}

TEST_F(Lines, SendsWhatTheEntrySays) {
    write(0x10 + 2 * 5, 0x0000'0045);
    write(0x11 + 2 * 5, 0x0300'0000);
    io_apic_.raise(5);
    ASSERT_EQ(sent_.size(), 1U);
    EXPECT_EQ(sent_[0].kind, Kind::Fixed);
    EXPECT_EQ(sent_[0].to, InterruptCommand::To::Destination);
    EXPECT_EQ(sent_[0].vector, 0x45);
    EXPECT_FALSE(sent_[0].logical);
    EXPECT_EQ(sent_[0].destination, 3U);
    write(0x10 + 2 * 5, 0x0000'0945);
    write(0x11 + 2 * 5, 0xff00'0000);
    io_apic_.raise(5);
    ASSERT_EQ(sent_.size(), 2U);
    EXPECT_EQ(sent_[1].kind, Kind::LowestPriority);
    EXPECT_TRUE(sent_[1].logical);
    EXPECT_EQ(sent_[1].destination, ~0U) << "255 is everyone";
    write(0x10 + 2 * 5, 0x0000'0400);
    io_apic_.raise(5);
    ASSERT_EQ(sent_.size(), 3U);
    EXPECT_EQ(sent_[2].kind, Kind::NonMaskable);
}

TEST_F(Lines, AMaskedLineIsSilent) {
    for (unsigned line = 0; line < IoApic::lines; ++line) io_apic_.raise(line);
    write(0x10, 0x0000'0745);  // ExtINT: there is no other interrupt controller
    io_apic_.raise(0);
    EXPECT_TRUE(sent_.empty());
}

TEST_F(Lines, RefusesOtherAccesses) {
    for (const unsigned size : {1U, 2U, 8U}) {
        EXPECT_TRUE(fails_with(io_apic_.read({.offset = 0x10, .size = size}), Error::Unsupported));
        EXPECT_TRUE(fails_with(io_apic_.write({.offset = 0, .size = size}, 1), Error::Unsupported));
    }
    for (const std::uint64_t offset : {1, 4, 0xf, 0x11, 0x14, 0x1c}) {
        EXPECT_TRUE(fails_with(io_apic_.read({.offset = offset}), Error::Unsupported));
        EXPECT_TRUE(fails_with(io_apic_.write({.offset = offset}, 0), Error::Unsupported));
    }
    for (const std::uint32_t index : {3U, 0xfU, 0x40U, 0xffU, 0xffff'ff10U}) {
        write(index, 0xffff'ffff);
        if (index != 0xffff'ff10U) {
            EXPECT_EQ(read(index), 0U) << "no register: index " << index;
        }
    }
    EXPECT_EQ(read(0x10), 0x0001'afffU) << "an index has 8 bits";
}

class Console : public Lines {
   protected:
    std::string text_;
    MmioConsole console_{[](void* test, std::string_view line) {
                             static_cast<Console*>(test)->text_ += std::string{line} + "\n";
                         },
                         this, io_apic_};
    bool put(unsigned size, std::uint64_t value) {
        return console_.write({.offset = 0, .size = size}, value).has_value();
    }
};

TEST_F(Console, PrintsTheBytesOfEachStore) {
    EXPECT_TRUE(put(1, 'A'));
    EXPECT_TRUE(put(2, 'B' | 'C' << 8));
    EXPECT_TRUE(put(4, 0x4746'4544));
    EXPECT_TRUE(put(8, 0x0a4e'4d4c'4b4a'4948));
    EXPECT_EQ(text_, "ABCDEFGHIJKLMN\n");
    EXPECT_EQ(console_.read({.offset = 8}), 15U << 8 | 1) << "ready, and 15 characters";
    EXPECT_TRUE(put(1, 'x'));
    console_.flush();
    EXPECT_EQ(text_, "ABCDEFGHIJKLMN\nx\n");
}

TEST_F(Console, RaisesItsLineIfAsked) {
    EXPECT_TRUE(io_apic_.write({.offset = 0}, 0x10 + 2 * MmioConsole::line));
    EXPECT_TRUE(io_apic_.write({.offset = 0x10}, 0x45));
    EXPECT_TRUE(put(1, 'A'));
    EXPECT_TRUE(sent_.empty());
    EXPECT_TRUE(console_.write({.offset = 0xc}, 0xffff'ffff));
    EXPECT_EQ(console_.read({.offset = 0xc}), 1U) << "one bit";
    EXPECT_TRUE(put(4, 0));
    ASSERT_EQ(sent_.size(), 1U);
    EXPECT_EQ(sent_[0].vector, 0x45);
}

TEST_F(Console, KeepsItsScratchRegister) {
    EXPECT_TRUE(console_.write({.offset = 0x10, .size = 8}, 0x8877'6655'4433'2211));
    EXPECT_TRUE(console_.write({.offset = 0x14, .size = 2}, 0xaabb));
    EXPECT_TRUE(console_.write({.offset = 0x17, .size = 1}, 0xcc));
    EXPECT_EQ(console_.read({.offset = 0x10, .size = 8}), 0xcc77'aabb'4433'2211U);
    EXPECT_EQ(console_.read({.offset = 0x11, .size = 1}), 0x22U);
    EXPECT_EQ(console_.read({.offset = 0x14, .size = 4}), 0xcc77'aabbU);
}

TEST_F(Console, RefusesOtherAccesses) {
    struct Wrong {
        std::uint64_t offset;
        unsigned size;
    };
    for (const auto& [offset, size] :
         {Wrong{1, 1}, Wrong{4, 4}, Wrong{8, 1}, Wrong{8, 8}, Wrong{9, 4}, Wrong{0xc, 2},
          Wrong{0xc, 8}, Wrong{0xe, 4}, Wrong{0x11, 2}, Wrong{0x12, 4}, Wrong{0x14, 8}}) {
        const MmioAccess access{.offset = offset, .size = size};
        EXPECT_TRUE(fails_with(console_.read(access), Error::Unsupported)) << offset << " " << size;
        EXPECT_TRUE(fails_with(console_.write(access, 0), Error::Unsupported))
            << offset << " " << size;
    }
    EXPECT_TRUE(fails_with(console_.write({.offset = 8}, 0), Error::Unsupported)) << "read-only";
}

}  // namespace
}  // namespace vmm
