// SPDX-License-Identifier: MIT
// What of a guest's code is looked at before it runs (vmm/soft/code.hh).
#include "vmm/soft/code.hh"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace vmm::soft {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes(std::initializer_list<unsigned> values) {
    Bytes made;
    for (const unsigned value : values) made.push_back(static_cast<std::byte>(value));
    return made;
}

std::string hex(const Bytes& code) {
    std::string text;
    for (const std::byte each : code) {
        constexpr const char* digits = "0123456789abcdef";
        text += digits[std::to_integer<unsigned>(each) >> 4];
        text += digits[std::to_integer<unsigned>(each) & 15];
    }
    return text;
}

TEST(SoftCode, KnowsHowLongAnInstructionIs) {
    const Bytes instructions[] = {
        bytes({0x90}),                                      // nop
        bytes({0x01, 0xd8}),                                // add %ebx, %eax
        bytes({0x83, 0xc0, 0x04}),                          // add $4, %eax
        bytes({0x81, 0xc0, 1, 2, 3, 4}),                    // add $, %eax
        bytes({0x66, 0x81, 0xc0, 1, 2}),                    // addw $, %ax
        bytes({0xb8, 1, 2, 3, 4}),                          // mov $, %eax
        bytes({0x66, 0xb8, 1, 2}),                          // mov $, %ax
        bytes({0xa1, 1, 2, 3, 4}),                          // mov address, %eax
        bytes({0x67, 0xa1, 1, 2}),                          // mov address of 16 bits
        bytes({0x8b, 0x44, 0x24, 0x10}),                    // mov 16(%esp), %eax
        bytes({0x8b, 0x04, 0x25, 1, 2, 3, 4}),              // mov address, with SIB
        bytes({0x8b, 0x05, 1, 2, 3, 4}),                    // mov address
        bytes({0x67, 0x8b, 0x06, 1, 2}),                    // mov address of 16 bits
        bytes({0xc7, 0x84, 0x88, 1, 2, 3, 4, 5, 6, 7, 8}),  // movl $, table(%eax,%ecx,4)
        bytes({0xf6, 0xc1, 0x80}),
        bytes({0xf6, 0xd1}),  // test $, %cl; not %cl
        bytes({0xf7, 0xc1, 1, 2, 3, 4}),
        bytes({0xf7, 0xe2}),  // test $, %ecx; mul %edx
        bytes({0x0f, 0x85, 1, 2, 3, 4}),
        bytes({0x75, 0x10}),  // jne
        bytes({0xe8, 1, 2, 3, 4}),
        bytes({0xea, 1, 2, 3, 4, 5, 6}),  // call; ljmp
        bytes({0xc8, 1, 2, 3}),
        bytes({0xc2, 4, 0}),  // enter; ret $4
        bytes({0x0f, 0x20, 0xc0}),
        bytes({0x0f, 0x22, 0x1d}),  // mov %cr0, %eax; mod is not looked at
        bytes({0x0f, 0x01, 0x15, 1, 2, 3, 4}),
        bytes({0x0f, 0xb6, 0xc0}),  // lgdt; movzbl
        bytes({0x0f, 0x0b}),
        bytes({0x0f, 0x09}),
        bytes({0xf3, 0xab}),
        bytes({0xf0, 0x0f, 0xb1, 0x0e}),  // rep stos; lock cmpxchg
    };
    for (const Bytes& code : instructions) {
        Bytes more = code;
        more.insert(more.end(), 15, std::byte{0x90});
        const auto found = decode_code(more);
        ASSERT_TRUE(found) << hex(code);
        EXPECT_EQ(found->length, code.size()) << hex(code);
        for (std::size_t count = 0; count < code.size(); ++count)
            EXPECT_EQ(decode_code(std::span{code}.first(count)), std::unexpected{Error::Truncated})
                << hex(code) << ", of which " << count << " bytes are there";
    }
}

TEST(SoftCode, SaysThatItDoesNotKnowOne) {
    for (const Bytes& code :
         {bytes({0xc4, 0x00}), bytes({0xc5, 0xf8, 0x77}), bytes({0x0f, 0x04}), bytes({0xd6}),
          bytes({0xf1}), bytes({0x0f, 0x38, 0x00, 0xc0}), bytes({0x62, 0x00})})
        EXPECT_EQ(decode_code(code), std::unexpected{Error::Unsupported}) << hex(code);
    EXPECT_FALSE(decode_code(Bytes(20, std::byte{0x66}))) << "nothing but prefixes";
}

std::string_view name_of(const Bytes& code) {
    const auto found = decode_code(code);
    return found && found->length == code.size() ? silent_name(*found) : "cannot be decoded";
}

TEST(SoftCode, NamesWhatIsSilentInRing3) {
    const struct {
        Bytes code;
        std::string_view name;
    } silent[] = {
        {bytes({0x9c}), "PUSHF"},
        {bytes({0x9d}), "POPF"},
        {bytes({0x66, 0x9d}), "POPF"},
        {bytes({0x8c, 0xd8}), "MOV from a segment register"},
        {bytes({0x8c, 0x1d, 1, 2, 3, 4}), "MOV from a segment register"},
        {bytes({0x06}), "PUSH of a segment register"},
        {bytes({0x0e}), "PUSH of a segment register"},
        {bytes({0x16}), "PUSH of a segment register"},
        {bytes({0x1e}), "PUSH of a segment register"},
        {bytes({0x0f, 0xa0}), "PUSH of a segment register"},
        {bytes({0x0f, 0xa8}), "PUSH of a segment register"},
        {bytes({0x9a, 1, 2, 3, 4, 5, 6}), "far CALL"},
        {bytes({0xff, 0x1d, 1, 2, 3, 4}), "far CALL"},
        {bytes({0x0f, 0x00, 0xc0}), "SLDT"},
        {bytes({0x0f, 0x00, 0xc8}), "STR"},
        {bytes({0x0f, 0x00, 0xe0}), "VERR"},
        {bytes({0x0f, 0x00, 0xe8}), "VERW"},
        {bytes({0x0f, 0x01, 0x00}), "SGDT"},
        {bytes({0x0f, 0x01, 0x08}), "SIDT"},
        {bytes({0x0f, 0x01, 0xe0}), "SMSW"},
        {bytes({0x0f, 0x01, 0x20}), "SMSW"},
        {bytes({0x0f, 0x02, 0xc0}), "LAR"},
        {bytes({0x0f, 0x03, 0xc0}), "LSL"},
        {bytes({0x0f, 0xa2}), "CPUID"},
    };
    for (const auto& [code, name] : silent) EXPECT_EQ(name_of(code), name) << hex(code);
}

TEST(SoftCode, NamesNothingElse) {
    for (const Bytes& code :
         {bytes({0xfa}), bytes({0xf4}), bytes({0xcf}), bytes({0xec}), bytes({0x8e, 0xd8}),
          bytes({0x1f}), bytes({0x0f, 0x00, 0xd8}), bytes({0x0f, 0x00, 0xd0}),
          bytes({0x0f, 0x01, 0x10}), bytes({0x0f, 0x01, 0x38}), bytes({0x0f, 0x01, 0xf0}),
          bytes({0x0f, 0x01, 0xc1}), bytes({0x0f, 0x01, 0xd9}), bytes({0xff, 0x10}),
          bytes({0xff, 0x28}), bytes({0xff, 0x30}), bytes({0xea, 1, 2, 3, 4, 5, 6}),
          bytes({0xcd, 0x80}), bytes({0x0f, 0x20, 0xc0})})
        EXPECT_EQ(name_of(code), "") << hex(code);
}

constexpr std::uint32_t address = 0x10'0070;

TEST(SoftCode, ASilentInstructionIsFoundWithItsAddress) {
    const Bytes code = bytes({0xb8, 1, 2, 3, 4, 0x90, 0x0f, 0x01, 0x05, 0, 0, 0x20, 0, 0xf4});
    const auto done = check_code(code, address, {});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().address, address + 6);
    EXPECT_EQ(done.error().instruction, "SGDT");
}

TEST(SoftCode, WhatOnlyLooksLikeOneIsNone) {
    // The immediates and the displacement have the bytes of PUSHF, POPF and CPUID.
    const Bytes code = bytes({0xb8, 0x9c, 0x9d, 0x0f, 0xa2, 0x6a, 0x9d, 0x8b, 0x44, 0x24, 0x9c});
    EXPECT_TRUE(check_code(code, address, {}));
}

TEST(SoftCode, ASiteMayBeWhereItIsNotedAndNowhereElse) {
    const Bytes code = bytes({0x9c, 0xfa, 0x90, 0x9d});
    const SiteNote sites[] = {{.address = address, .kind = SiteNote::Kind::Pushf},
                              {.address = address + 3, .kind = SiteNote::Kind::Popf}};
    EXPECT_TRUE(check_code(code, address, sites));
    const auto done = check_code(code, address, std::span{sites}.first(1));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().address, address + 3);
    EXPECT_EQ(done.error().instruction, "POPF");
}

TEST(SoftCode, WhatCannotBeDecodedIsAFaultWithoutAName) {
    for (const Bytes& code : {bytes({0x90, 0xd6}), bytes({0x90, 0xb8, 1, 2})}) {
        const auto done = check_code(code, address, {});
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().address, address + 1);
        EXPECT_EQ(done.error().instruction, "");
    }
}

}  // namespace
}  // namespace vmm::soft
