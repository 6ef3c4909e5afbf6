// SPDX-License-Identifier: MIT
#include "vmm/svm/instruction.hh"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "vmm/svm/exits.hh"

namespace vmm::svm {
namespace {

/// The length that is found, 0 if none; `padding` NOPs follow.
struct Decoder {
    std::uint64_t code;
    std::uint64_t information = 0;
    bool is_64_bit = true;

    std::optional<Instruction> operator()(std::vector<int> bytes, std::size_t padding = 15) const {
        bytes.insert(bytes.end(), padding, 0x90);
        std::vector<std::byte> memory;
        for (const int byte : bytes) memory.push_back(static_cast<std::byte>(byte));
        return decode_instruction(code, information, memory, is_64_bit);
    }
    unsigned length(std::vector<int> bytes, std::size_t padding = 15) const {
        const auto found = (*this)(std::move(bytes), padding);
        return found ? found->length : 0;
    }
};

TEST(SvmInstructions, WithoutPrefixes) {
    EXPECT_EQ(Decoder{exit_code::cpuid}.length({0x0f, 0xa2}), 2U);
    EXPECT_EQ(Decoder{exit_code::hlt}.length({0xf4}), 1U);
    EXPECT_EQ(Decoder{exit_code::invd}.length({0x0f, 0x08}), 2U);
    EXPECT_EQ(Decoder{exit_code::wbinvd}.length({0x0f, 0x09}), 2U);
    EXPECT_EQ(Decoder{exit_code::vmmcall}.length({0x0f, 0x01, 0xd9}), 3U);
    EXPECT_EQ((Decoder{exit_code::msr, 0}.length({0x0f, 0x32})), 2U) << "RDMSR";
    EXPECT_EQ((Decoder{exit_code::msr, 1}.length({0x0f, 0x30})), 2U) << "WRMSR";
}

TEST(SvmInstructions, PrefixesCount) {
    const Decoder cpuid{exit_code::cpuid};
    for (const int prefix : {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3})
        EXPECT_EQ(cpuid.length({prefix, 0x0f, 0xa2}), 3U) << std::hex << prefix;
    EXPECT_EQ(cpuid.length({0x66, 0x2e, 0x66, 0xf3, 0x48, 0x0f, 0xa2}), 7U);
    EXPECT_EQ(cpuid.length({0x48, 0x66, 0x0f, 0xa2}), 4U) << "a REX that does not count";
}

TEST(SvmInstructions, FifteenBytesAreTheLongest) {
    const Decoder cpuid{exit_code::cpuid};
    std::vector<int> bytes(13, 0x66);
    bytes.insert(bytes.end(), {0x0f, 0xa2});
    EXPECT_EQ(cpuid.length(bytes, 0), 15U);
    bytes.insert(bytes.begin(), 0x66);
    EXPECT_EQ(cpuid.length(bytes), 0U);
    EXPECT_EQ(cpuid.length(std::vector<int>(15, 0x66)), 0U) << "nothing but prefixes";
}

TEST(SvmInstructions, RexIsAPrefixIn64BitModeOnly) {
    for (int rex = 0x40; rex <= 0x4f; ++rex) {
        EXPECT_EQ((Decoder{exit_code::msr, 1, true}.length({rex, 0x0f, 0x30})), 3U);
        EXPECT_EQ((Decoder{exit_code::msr, 1, false}.length({rex, 0x0f, 0x30})), 0U) << "INC, DEC";
    }
}

TEST(SvmInstructions, AnotherInstructionIsNotMeasured) {
    EXPECT_EQ(Decoder{exit_code::cpuid}.length({0x0f, 0xa3}), 0U);
    EXPECT_EQ((Decoder{exit_code::msr, 0}.length({0x0f, 0x30})), 0U) << "WRMSR for RDMSR";
    EXPECT_EQ(Decoder{exit_code::vmmcall}.length({0x0f, 0x01, 0xc1}), 0U) << "VMCALL";
    EXPECT_EQ(Decoder{exit_code::nested_page_fault}.length({0x0f, 0xa2}), 0U);
    EXPECT_FALSE(is_decodable(exit_code::nested_page_fault));
    EXPECT_FALSE(is_decodable(exit_code::io)) << "the CPU says it";
}

// The page behind may be missing.
TEST(SvmInstructions, WhatCannotBeReadIsNotMeasured) {
    EXPECT_EQ(Decoder{exit_code::cpuid}.length({}, 0), 0U);
    EXPECT_EQ(Decoder{exit_code::cpuid}.length({0x0f}, 0), 0U);
    EXPECT_EQ(Decoder{exit_code::cpuid}.length({0x66, 0x66}, 0), 0U);
    EXPECT_EQ(Decoder{exit_code::cpuid}.length({0x0f, 0xa2}, 0), 2U);
    EXPECT_EQ(Decoder{exit_code::vmmcall}.length({0x0f, 0x01}, 0), 0U);
    EXPECT_EQ(Decoder{exit_code::write_cr8}.length({0x44, 0x0f, 0x22}, 0), 0U);
}

TEST(SvmInstructions, MovesToRegistersNameTheirSource) {
    const Decoder cr8{exit_code::write_cr8};
    const Decoder dr7{exit_code::write_dr7};
    struct Case {
        Decoder decode;
        std::vector<int> bytes;
        unsigned length, source;
    };
    const Case cases[]{
        {cr8, {0x44, 0x0f, 0x22, 0xc0}, 4, 0},
        {cr8, {0x45, 0x0f, 0x22, 0xc1}, 4, 9},
        {cr8, {0xf0, 0x0f, 0x22, 0xc7}, 4, 7},  // LOCK MOV CR0 [amd/vol3 MOV CRn]
        {cr8, {0x45, 0x66, 0x44, 0x0f, 0x22, 0xc3}, 6, 3},
        {cr8, {0x45, 0x66, 0x0f, 0x22, 0xc3}, 5, 3},
        {dr7, {0x0f, 0x23, 0xf8}, 3, 0},
        {dr7, {0x41, 0x0f, 0x23, 0xff}, 4, 15},
    };
    for (const Case& one : cases) {
        const auto found = one.decode(one.bytes);
        ASSERT_TRUE(found.has_value());
        EXPECT_EQ(found->length, one.length);
        EXPECT_EQ(found->source, one.source);
    }
}

}  // namespace
}  // namespace vmm::svm
