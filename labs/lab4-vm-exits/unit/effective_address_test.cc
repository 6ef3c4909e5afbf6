// SPDX-License-Identifier: MIT
// Task lab4.effective_address.
#include "instructions.hh"

namespace lab {
namespace {

using vmm::MemoryOperand;

constexpr unsigned rax = 0, rcx = 1, rbx = 3, rsp = 4, rbp = 5, rsi = 6, r8 = 8, r12 = 12, r13 = 13;

class EffectiveAddress : public ::testing::Test {
   protected:
    /// The operand of an instruction: prefixes, REX (or 0), one opcode byte, operand, immediate.
    struct Instruction {
        Bytes bytes;
        std::size_t modrm_at = 0;
        std::size_t immediate_bytes = 0;
    };
    static Instruction put_together(const Bytes& prefixes, const Encoded& operand,
                                    std::size_t immediate_bytes = 0, unsigned more_rex = 0) {
        Instruction made{.bytes = prefixes, .immediate_bytes = immediate_bytes};
        if ((operand.rex | more_rex) != 0)
            made.bytes.push_back(std::byte(0x40 | operand.rex | more_rex));
        made.bytes.push_back(std::byte{0x89});
        made.modrm_at = made.bytes.size();
        made.bytes.insert(made.bytes.end(), operand.bytes.begin(), operand.bytes.end());
        for (std::size_t i = 0; i < immediate_bytes; ++i) made.bytes.push_back(std::byte{0xcc});
        return made;
    }
    static std::expected<MemoryOperand, Error> find(const Instruction& made, const Ground& ground) {
        return effective_address(made.bytes, vmm::read_prefixes(made.bytes, ground.code),
                                 made.modrm_at, made.immediate_bytes, ground.state());
    }
    /// Encodes the operand, and looks whether it is found again.
    static ::testing::AssertionResult is_found(const Operand& operand, const Ground& ground,
                                               std::optional<SegmentName> named = {},
                                               bool other_address_size = false,
                                               std::size_t immediate_bytes = 0) {
        Bytes prefixes;
        if (named) prefixes.push_back(prefix_of(*named));
        if (other_address_size) prefixes.push_back(std::byte{0x67});
        const unsigned bits = address_bits(ground.code, other_address_size);
        const auto reg = static_cast<unsigned>(random().next() % 8);
        const Encoded encoded = bits == 16 ? encode_16(operand, reg)
                                           : encode(operand, reg, ground.code == CodeSize::Bits64);
        const Instruction made = put_together(prefixes, encoded, immediate_bytes);
        const std::uint64_t next = ground.registers.rip + made.bytes.size();
        const std::uint64_t offset = offset_of(operand, ground, bits, next);
        if (ground.code == CodeSize::Bits64 && named && *named < SegmentName::Fs) named.reset();
        const SegmentName segment = segment_of(operand, named);
        const std::string what = in_words(ground.code) + ", " + std::to_string(bits) +
                                 "-bit address, " + in_words(made.bytes) + "(" + in_words(operand) +
                                 "): ";

        const auto seen = find(made, ground);
        if (!seen)
            return ::testing::AssertionFailure()
                   << what << "error \"" << describe(seen.error()) << "\"";
        if (seen->length != encoded.bytes.size())
            return ::testing::AssertionFailure() << what << "its length is " << int{seen->length}
                                                 << ", wanted is " << encoded.bytes.size();
        if (seen->offset != offset)
            return ::testing::AssertionFailure() << what << "the offset is " << hex(seen->offset)
                                                 << ", wanted is " << hex(offset);
        if (seen->segment != segment)
            return ::testing::AssertionFailure()
                   << what << "the segment is " << in_words(seen->segment) << ", wanted is "
                   << in_words(segment);
        const std::uint64_t wanted = linear(ground, segment, offset);
        if (seen->address.value() != wanted)
            return ::testing::AssertionFailure()
                   << what << "the linear address is " << hex(seen->address.value())
                   << ", wanted is " << hex(wanted);
        return ::testing::AssertionSuccess();
    }
};

TEST_F(EffectiveAddress, IsARegister) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    for (const unsigned base : {rax, rcx, rbx, rsi}) {
        EXPECT_TRUE(is_found({.base = base}, ground));
        EXPECT_TRUE(
            is_found({.base = base, .displacement = 0x12, .displacement_bytes = 1}, ground));
        EXPECT_TRUE(
            is_found({.base = base, .displacement = 0x1234'5678, .displacement_bytes = 4}, ground));
    }
}

TEST_F(EffectiveAddress, DisplacementsAreSigned) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    EXPECT_TRUE(is_found({.base = rbx, .displacement = -5, .displacement_bytes = 1}, ground));
    EXPECT_TRUE(is_found({.base = rbx, .displacement = -70'000, .displacement_bytes = 4}, ground));
}

TEST_F(EffectiveAddress, HasAnIndexWithAScale) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    for (unsigned scale = 0; scale < 4; ++scale)
        EXPECT_TRUE(is_found({.base = rax, .index = rsi, .scale = scale}, ground));
    EXPECT_TRUE(is_found({.base = rax, .index = rbp, .scale = 2}, ground)) << "RBP as the index";
    EXPECT_TRUE(
        is_found({.index = rcx, .scale = 3, .displacement = 0x40, .displacement_bytes = 4}, ground))
        << "no base";
}

TEST_F(EffectiveAddress, IndexFourIsNone) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    EXPECT_TRUE(is_found({.base = rsp}, ground)) << "RSP is a base by SIB alone";
    EXPECT_TRUE(is_found({.base = rsp, .displacement = 8, .displacement_bytes = 1}, ground));
    EXPECT_TRUE(is_found({.base = r12}, ground)) << "R12 likewise";
    EXPECT_TRUE(is_found({.base = rax, .index = r12, .scale = 1}, ground)) << "R12 is an index";
}

TEST_F(EffectiveAddress, MayHaveNoRegister) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    const Operand alone{.displacement = -0x1000, .displacement_bytes = 4};
    EXPECT_TRUE(is_found(alone, ground)) << "a displacement alone, by SIB";
    Operand with_rex = alone;
    with_rex.by_sib = true;
    EXPECT_TRUE(is_found(with_rex, ground)) << "the same with REX.B: base 13 with mod 0 is none";
    EXPECT_TRUE(is_found(alone, Ground::any(CodeSize::Bits32))) << "by ModRM in 32-bit code";
    EXPECT_TRUE(is_found({.base = rbp, .displacement_bytes = 1}, ground)) << "RBP, not none";
    EXPECT_TRUE(is_found({.base = r13, .displacement_bytes = 1}, ground)) << "R13, not none";
    EXPECT_TRUE(is_found({.index = r8, .displacement = 4, .displacement_bytes = 4}, ground));
}

TEST_F(EffectiveAddress, CountsFromTheNextInstruction) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    const Operand operand{.displacement = 0x100, .displacement_bytes = 4, .rip_relative = true};
    EXPECT_TRUE(is_found(operand, ground)) << "no immediate";
    EXPECT_TRUE(is_found(operand, ground, SegmentName::Gs)) << "with a prefix";
}

TEST_F(EffectiveAddress, CountsFromBehindTheImmediate) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    const Operand operand{.displacement = -8, .displacement_bytes = 4, .rip_relative = true};
    for (const std::size_t immediate : {1U, 2U, 4U})
        EXPECT_TRUE(is_found(operand, ground, {}, false, immediate))
            << "an immediate of " << immediate << " bytes";
}

TEST_F(EffectiveAddress, RexExtendsTheNumbers) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    for (unsigned base = r8; base < 16; ++base)
        for (const unsigned index : {rcx, 9U, 14U})
            EXPECT_TRUE(is_found({.base = base,
                                  .index = index,
                                  .scale = 1,
                                  .displacement = 3,
                                  .displacement_bytes = 1},
                                 ground));
    // REX.R and REX.W are not the operand's affair.
    const Instruction made = put_together({}, {.bytes = as_bytes({0x03})}, 0, 0xc);
    EXPECT_EQ(find(made, ground)->offset, ground.registers.rbx) << in_words(made.bytes);
}

TEST_F(EffectiveAddress, KnowsTheAddressesOfSixteenBits) {
    const Ground ground = Ground::any(CodeSize::Bits16);
    for (const std::optional<unsigned> base : {std::optional<unsigned>{}, {3U}, {5U}})
        for (const std::optional<unsigned> index : {std::optional<unsigned>{}, {6U}, {7U}})
            for (const unsigned bytes : {1U, 2U}) {
                if (!base && !index && bytes == 1) continue;
                EXPECT_TRUE(is_found({.base = base,
                                      .index = index,
                                      .displacement = any_displacement(bytes),
                                      .displacement_bytes = bytes},
                                     ground));
            }
    EXPECT_TRUE(is_found({.index = 6}, ground));
    EXPECT_TRUE(is_found({.base = 3, .index = 7}, ground));
}

TEST_F(EffectiveAddress, KnowsTheAddressesOfThirtyTwoBits) {
    const Ground ground = Ground::any(CodeSize::Bits32);
    for (const unsigned base : {rax, rbx, rsp, rbp})
        EXPECT_TRUE(is_found({.base = base,
                              .index = rsi,
                              .scale = 2,
                              .displacement = 0x7fff'fff0,
                              .displacement_bytes = 4},
                             ground));
    EXPECT_TRUE(is_found({.base = rcx}, ground));
}

TEST_F(EffectiveAddress, APrefixChangesTheAddressSize) {
    const Operand operand{.base = rbx, .index = rsi, .displacement = 0x44, .displacement_bytes = 1};
    EXPECT_TRUE(is_found(operand, Ground::any(CodeSize::Bits64), {}, true)) << "67 in 64-bit code";
    EXPECT_TRUE(is_found(operand, Ground::any(CodeSize::Bits32), {}, true)) << "67 in 32-bit code";
    EXPECT_TRUE(is_found(operand, Ground::any(CodeSize::Bits16), {}, true)) << "67 in 16-bit code";
    const Operand relative{.displacement = 4, .displacement_bytes = 4, .rip_relative = true};
    EXPECT_TRUE(is_found(relative, Ground::any(CodeSize::Bits64), {}, true))
        << "RIP-relative with 67";
}

TEST_F(EffectiveAddress, TheStackHasItsOwnSegment) {
    for (const CodeSize code : {CodeSize::Bits32, CodeSize::Bits64}) {
        const Ground ground = Ground::any(code);
        for (const unsigned base : {rsp, rbp}) {
            const Operand operand{.base = base, .displacement = 8, .displacement_bytes = 1};
            EXPECT_TRUE(is_found(operand, ground));
        }
        EXPECT_TRUE(is_found({.base = rax, .index = rbp}, ground)) << "RBP as the index: DS";
    }
    const Operand bp{.base = 5, .displacement = 8, .displacement_bytes = 1};
    EXPECT_TRUE(is_found(bp, Ground::any(CodeSize::Bits16)));
}

TEST_F(EffectiveAddress, APrefixNamesTheSegment) {
    for (const CodeSize code : {CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64})
        for (unsigned number = 0; number < 6; ++number) {
            const auto segment = static_cast<SegmentName>(number);
            EXPECT_TRUE(is_found({.base = rbx, .displacement = 2, .displacement_bytes = 1},
                                 Ground::any(code), segment))
                << in_words(segment);
            EXPECT_TRUE(is_found({.base = rbp, .displacement = 2, .displacement_bytes = 1},
                                 Ground::any(code), segment))
                << in_words(segment) << " in the place of SS";
        }
}

TEST_F(EffectiveAddress, BytesThatEndTooEarlyAreTruncated) {
    const Ground ground = Ground::any(CodeSize::Bits64);
    const Encoded whole{.bytes = as_bytes({0x84, 0x88, 1, 2, 3, 4})};
    for (std::size_t count = 0; count < whole.bytes.size(); ++count) {
        const Encoded part{.bytes =
                               Bytes(whole.bytes.begin(),
                                     whole.bytes.begin() + static_cast<std::ptrdiff_t>(count))};
        const Instruction made = put_together({}, part);
        EXPECT_TRUE(fails_with(find(made, ground), Error::Truncated))
            << count << " of " << whole.bytes.size() << " bytes";
    }
    EXPECT_TRUE(succeeds(find(put_together({}, whole), ground)));
}

TEST_F(EffectiveAddress, ARegisterIsNoMemory) {
    for (const CodeSize code : {CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64})
        for (unsigned rm = 0; rm < 8; ++rm)
            EXPECT_TRUE(fails_with(
                find(put_together({}, {.bytes = as_bytes({0xc0 | rm})}), Ground::any(code)),
                Error::InvalidArgument))
                << "mod 3, rm " << rm;
}

// Each with registers, segments and an operand of its own.
TEST_F(EffectiveAddress, TwentyThousandOfAllKinds) {
    constexpr int count = 20'000;
    constexpr std::array codes{CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64,
                               CodeSize::Bits64};
    for (int i = 0; i < count; ++i) {
        const CodeSize code = codes[random().next() % codes.size()];
        const Ground ground = Ground::any(code);
        const bool other = random().next() % 4 == 0;
        std::optional<SegmentName> named;
        if (random().next() % 4 == 0) named = static_cast<SegmentName>(random().next() % 6);
        ASSERT_TRUE(is_found(any_operand(address_bits(code, other), code), ground, named, other,
                             random().next() % 5))
            << "instruction number " << i;
    }
}

}  // namespace
}  // namespace lab
