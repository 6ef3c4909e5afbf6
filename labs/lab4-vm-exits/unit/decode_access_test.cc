// SPDX-License-Identifier: MIT
// Task lab4.decode_access.
#include "vmm/exits/decode_access.hh"

#include "made_instructions.hh"

namespace lab {
namespace {

using vmm::MemoryAccess;
using vmm::RegisterOperand;
using Operation = vmm::MemoryAccess::Operation;
using Result = std::expected<MemoryAccess, vmm::UndecodedInstruction>;

constexpr unsigned rax = 0, rcx = 1, rbx = 3, rsi = 6;

std::string in_words(Operation operation) {
    static constexpr const char* names[] = {"Load", "Store",   "And",  "Or",
                                            "Xor",  "Compare", "Test", "Exchange"};
    return names[static_cast<std::size_t>(operation)];
}

class DecodeAccess : public ::testing::Test {
   protected:
    Ground& ground() { return ground_; }
    void in_code(CodeSize code) { ground_ = Ground::any(code); }

    Result decode(const Bytes& bytes) { return decode_access(bytes, ground_.state()); }
    /// Whether `bytes` are this access, whose memory is at [RBX].
    ::testing::AssertionResult is(const Bytes& bytes, const MemoryAccess& wanted) {
        const Result seen = decode(bytes);
        const std::string what = lab::in_words(ground_.code) + ", " + lab::in_words(bytes) + ": ";
        if (!seen)
            return ::testing::AssertionFailure()
                   << what << "error \"" << describe(seen.error().error) << "\"";
        return alike(*seen, wanted, bytes.size(), what);
    }
    static ::testing::AssertionResult alike(const MemoryAccess& seen, const MemoryAccess& wanted,
                                            std::size_t length, const std::string& what) {
        std::string words;
        const auto compare = [&words](const char* name, std::uint64_t is, std::uint64_t should) {
            if (is != should)
                words += std::string{name} + " is " + hex(is) + ", wanted is " + hex(should) + "; ";
        };
        if (seen.operation != wanted.operation)
            words += "the operation is " + in_words(seen.operation) + ", wanted is " +
                     in_words(wanted.operation) + "; ";
        compare("length", seen.length, length);
        compare("size", seen.size, wanted.size);
        compare("memory_first", seen.memory_first, wanted.memory_first);
        compare("has a register", seen.reg.has_value(), wanted.reg.has_value());
        if (seen.reg && wanted.reg) {
            compare("the register's number", seen.reg->number, wanted.reg->number);
            compare("is_high_byte", seen.reg->is_high_byte, wanted.reg->is_high_byte);
            compare("register_size", seen.register_size, wanted.register_size);
        }
        if (!wanted.reg) compare("immediate", seen.immediate, wanted.immediate);
        compare("sign_extend", seen.sign_extend, wanted.sign_extend);
        compare("is_string", seen.is_string, wanted.is_string);
        compare("repeat", seen.repeat, wanted.repeat);
        if (wanted.is_string) compare("address_bytes", seen.address_bytes, wanted.address_bytes);
        compare("the linear address", seen.memory.address.value(), wanted.memory.address.value());
        if (words.empty()) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure() << what << words;
    }

    /// Memory at [RBX].
    vmm::MemoryOperand at_rbx() const {
        const unsigned bits = ground_.code == CodeSize::Bits64 ? 64 : 32;
        const std::uint64_t offset = low_bits(ground_.registers.rbx, bits);
        return {.offset = offset,
                .segment = SegmentName::Ds,
                .address = vmm::Gva{linear(ground_, SegmentName::Ds, offset)}};
    }
    MemoryAccess with_register(Operation operation, unsigned number, unsigned size,
                               bool memory_first) const {
        return {.operation = operation,
                .memory = at_rbx(),
                .size = static_cast<std::uint8_t>(size),
                .memory_first = memory_first,
                .reg = RegisterOperand{.number = static_cast<std::uint8_t>(number)},
                .register_size = static_cast<std::uint8_t>(size)};
    }
    MemoryAccess with_immediate(Operation operation, std::uint64_t value, unsigned size) const {
        return {.operation = operation,
                .memory = at_rbx(),
                .size = static_cast<std::uint8_t>(size),
                .immediate = value};
    }
    ::testing::AssertionResult is_refused(const Bytes& bytes, Error error) {
        const Result seen = decode(bytes);
        const std::string what = lab::in_words(ground_.code) + ", " + lab::in_words(bytes) + ": ";
        if (seen)
            return ::testing::AssertionFailure()
                   << what << "is taken for " << in_words(seen->operation)
                   << ", wanted is the error \"" << describe(error) << "\"";
        if (seen.error().error != error)
            return ::testing::AssertionFailure()
                   << what << "the error is \"" << describe(seen.error().error)
                   << "\", wanted is \"" << describe(error) << "\"";
        return ::testing::AssertionSuccess();
    }

   private:
    Ground ground_ = Ground::any(CodeSize::Bits64);
};

// ModRM 0x03 | reg << 3 is [rbx].
constexpr unsigned at_rbx_with(unsigned reg) {
    return 0x03 | reg << 3;
}

TEST_F(DecodeAccess, MovStoresARegister) {
    EXPECT_TRUE(
        is(as_bytes({0x89, at_rbx_with(rcx)}), with_register(Operation::Store, rcx, 4, true)));
    EXPECT_TRUE(
        is(as_bytes({0x89, at_rbx_with(rsi)}), with_register(Operation::Store, rsi, 4, true)));
    EXPECT_TRUE(
        is(as_bytes({0x88, at_rbx_with(rcx)}), with_register(Operation::Store, rcx, 1, true)));
}

TEST_F(DecodeAccess, MovLoadsARegister) {
    EXPECT_TRUE(
        is(as_bytes({0x8b, at_rbx_with(rsi)}), with_register(Operation::Load, rsi, 4, false)));
    EXPECT_TRUE(
        is(as_bytes({0x8a, at_rbx_with(rcx)}), with_register(Operation::Load, rcx, 1, false)));
}

TEST_F(DecodeAccess, OperandsHaveFourSizes) {
    EXPECT_TRUE(
        is(as_bytes({0x66, 0x89, at_rbx_with(rcx)}), with_register(Operation::Store, rcx, 2, true)))
        << "prefix 66";
    EXPECT_TRUE(
        is(as_bytes({0x48, 0x89, at_rbx_with(rcx)}), with_register(Operation::Store, rcx, 8, true)))
        << "REX.W";
    EXPECT_TRUE(is(as_bytes({0x66, 0x48, 0x8b, at_rbx_with(rcx)}),
                   with_register(Operation::Load, rcx, 8, false)))
        << "REX.W and prefix 66";
    EXPECT_TRUE(is(as_bytes({0x66, 0x48, 0x88, at_rbx_with(rcx)}),
                   with_register(Operation::Store, rcx, 1, true)))
        << "one byte, whatever the prefixes say";
}

TEST_F(DecodeAccess, CodeOfSixteenBitsTurnsThePrefixRound) {
    in_code(CodeSize::Bits16);
    EXPECT_TRUE(is(as_bytes({0x67, 0x89, at_rbx_with(rcx)}),
                   with_register(Operation::Store, rcx, 2, true)));
    EXPECT_TRUE(is(as_bytes({0x67, 0x66, 0x89, at_rbx_with(rcx)}),
                   with_register(Operation::Store, rcx, 4, true)));
    in_code(CodeSize::Bits32);
    EXPECT_TRUE(
        is(as_bytes({0x89, at_rbx_with(rcx)}), with_register(Operation::Store, rcx, 4, true)));
    EXPECT_TRUE(is(as_bytes({0x66, 0x89, at_rbx_with(rcx)}),
                   with_register(Operation::Store, rcx, 2, true)));
}

TEST_F(DecodeAccess, RexExtendsTheRegister) {
    EXPECT_TRUE(
        is(as_bytes({0x44, 0x89, at_rbx_with(rcx)}), with_register(Operation::Store, 9, 4, true)));
    EXPECT_TRUE(
        is(as_bytes({0x4c, 0x8b, at_rbx_with(7)}), with_register(Operation::Load, 15, 8, false)));
}

TEST_F(DecodeAccess, BytesFourToSevenAreHighOnes) {
    for (unsigned number = 0; number < 4; ++number) {
        MemoryAccess wanted = with_register(Operation::Store, number, 1, true);
        wanted.reg->is_high_byte = true;
        EXPECT_TRUE(is(as_bytes({0x88, at_rbx_with(number + 4)}), wanted))
            << "AH, CH, DH or BH, number " << number + 4;
    }
    for (unsigned number = 4; number < 8; ++number)
        EXPECT_TRUE(is(as_bytes({0x40, 0x88, at_rbx_with(number)}),
                       with_register(Operation::Store, number, 1, true)))
            << "SPL, BPL, SIL or DIL, number " << number << " with REX";
    in_code(CodeSize::Bits32);
    MemoryAccess wanted = with_register(Operation::Load, rbx, 1, false);
    wanted.reg->is_high_byte = true;
    EXPECT_TRUE(is(as_bytes({0x8a, at_rbx_with(7)}), wanted)) << "BH in 32-bit code";
}

TEST_F(DecodeAccess, MovStoresAnImmediate) {
    EXPECT_TRUE(is(as_bytes({0xc7, 0x03, 0x78, 0x56, 0x34, 0x12}),
                   with_immediate(Operation::Store, 0x1234'5678, 4)));
    EXPECT_TRUE(is(as_bytes({0xc6, 0x03, 0x80}), with_immediate(Operation::Store, 0x80, 1)));
    EXPECT_TRUE(
        is(as_bytes({0x66, 0xc7, 0x03, 0xfe, 0xff}), with_immediate(Operation::Store, 0xfffe, 2)));
}

TEST_F(DecodeAccess, AnImmediateOfFourBytesIsExtendedToEight) {
    EXPECT_TRUE(is(as_bytes({0x48, 0xc7, 0x03, 0xfe, 0xff, 0xff, 0xff}),
                   with_immediate(Operation::Store, ~1ULL, 8)));
    EXPECT_TRUE(is(as_bytes({0x48, 0x81, 0x23, 0, 0, 0, 0x80}),
                   with_immediate(Operation::And, 0xffff'ffff'8000'0000, 8)));
}

TEST_F(DecodeAccess, MovAtAnOffset) {
    const auto at = [this](std::uint64_t offset, SegmentName segment = SegmentName::Ds) {
        return vmm::MemoryOperand{.address = vmm::Gva{linear(ground(), segment, offset)}};
    };
    MemoryAccess wanted = with_register(Operation::Store, rax, 4, true);
    wanted.memory = at(0x8877'6655'4433'2211);
    const Bytes store = as_bytes({0xa3, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88});
    EXPECT_TRUE(is(store, wanted));
    EXPECT_EQ(hex(decode(store)->memory.offset), hex(0x8877'6655'4433'2211U));
    wanted = with_register(Operation::Load, rax, 1, false);
    wanted.memory = at(0xf433'2211, SegmentName::Gs);
    EXPECT_TRUE(is(as_bytes({0x67, 0x65, 0xa0, 0x11, 0x22, 0x33, 0xf4}), wanted))
        << "4 bytes with prefix 67";
    wanted.memory = at(0xf433'2211, SegmentName::Fs);
    EXPECT_TRUE(is(as_bytes({0x67, 0x64, 0xa0, 0x11, 0x22, 0x33, 0xf4}), wanted)) << "FS";
    in_code(CodeSize::Bits32);
    ground().segments[static_cast<std::size_t>(SegmentName::Ds)].base &= ~1ULL;
    wanted = with_register(Operation::Load, rax, 4, false);
    wanted.memory = at(0xf433'2211);
    EXPECT_TRUE(is(as_bytes({0xa1, 0x11, 0x22, 0x33, 0xf4}), wanted));
    in_code(CodeSize::Bits16);
    wanted = with_register(Operation::Store, rax, 2, true);
    wanted.memory = at(0xf211);
    EXPECT_TRUE(is(as_bytes({0xa3, 0x11, 0xf2}), wanted));
    wanted.memory = at(0xf433'2211);
    EXPECT_TRUE(is(as_bytes({0x67, 0xa3, 0x11, 0x22, 0x33, 0xf4}), wanted))
        << "4 bytes with prefix 67";
}

TEST_F(DecodeAccess, MovzxAddsZeros) {
    MemoryAccess wanted = with_register(Operation::Load, rcx, 4, false);
    wanted.size = 1;
    EXPECT_TRUE(is(as_bytes({0x0f, 0xb6, at_rbx_with(rcx)}), wanted));
    wanted.size = 2;
    EXPECT_TRUE(is(as_bytes({0x0f, 0xb7, at_rbx_with(rcx)}), wanted));
    wanted.register_size = 8;
    EXPECT_TRUE(is(as_bytes({0x48, 0x0f, 0xb7, at_rbx_with(rcx)}), wanted)) << "REX.W";
    wanted.size = 1;
    wanted.register_size = 2;
    EXPECT_TRUE(is(as_bytes({0x66, 0x0f, 0xb6, at_rbx_with(rcx)}), wanted)) << "prefix 66";
    wanted.reg->number = 6;
    wanted.register_size = 4;
    EXPECT_TRUE(is(as_bytes({0x0f, 0xb6, at_rbx_with(rsi)}), wanted))
        << "into ESI: the register has no byte's name";
}

TEST_F(DecodeAccess, MovsxExtendsTheSign) {
    MemoryAccess wanted = with_register(Operation::Load, rcx, 4, false);
    wanted.sign_extend = true;
    wanted.size = 1;
    EXPECT_TRUE(is(as_bytes({0x0f, 0xbe, at_rbx_with(rcx)}), wanted));
    wanted.size = 2;
    EXPECT_TRUE(is(as_bytes({0x0f, 0xbf, at_rbx_with(rcx)}), wanted));
    wanted.register_size = 8;
    EXPECT_TRUE(is(as_bytes({0x48, 0x0f, 0xbf, at_rbx_with(rcx)}), wanted));
    wanted.size = 4;
    EXPECT_TRUE(is(as_bytes({0x48, 0x63, at_rbx_with(rcx)}), wanted)) << "MOVSXD";
}

TEST_F(DecodeAccess, KnowsTheArithmetic) {
    struct Group {
        unsigned opcode;
        Operation operation;
    };
    for (const auto& [opcode, operation] :
         {Group{0x20, Operation::And}, Group{0x08, Operation::Or}, Group{0x30, Operation::Xor},
          Group{0x38, Operation::Compare}}) {
        EXPECT_TRUE(
            is(as_bytes({opcode, at_rbx_with(rcx)}), with_register(operation, rcx, 1, true)));
        EXPECT_TRUE(
            is(as_bytes({opcode + 1, at_rbx_with(rcx)}), with_register(operation, rcx, 4, true)));
        EXPECT_TRUE(
            is(as_bytes({opcode + 2, at_rbx_with(rcx)}), with_register(operation, rcx, 1, false)));
        EXPECT_TRUE(
            is(as_bytes({opcode + 3, at_rbx_with(rcx)}), with_register(operation, rcx, 4, false)));
    }
}

TEST_F(DecodeAccess, KnowsTheArithmeticWithImmediates) {
    struct Group {
        unsigned extension;
        Operation operation;
    };
    for (const auto& [extension, operation] :
         {Group{4, Operation::And}, Group{1, Operation::Or}, Group{6, Operation::Xor},
          Group{7, Operation::Compare}}) {
        const unsigned modrm = at_rbx_with(extension);
        EXPECT_TRUE(is(as_bytes({0x80, modrm, 0x81}), with_immediate(operation, 0x81, 1)));
        EXPECT_TRUE(
            is(as_bytes({0x81, modrm, 1, 2, 3, 0x84}), with_immediate(operation, 0x8403'0201, 4)));
        EXPECT_TRUE(
            is(as_bytes({0x66, 0x81, modrm, 1, 0x82}), with_immediate(operation, 0x8201, 2)));
        EXPECT_TRUE(is(as_bytes({0x83, modrm, 0x81}), with_immediate(operation, 0xffff'ff81, 4)))
            << "83: a signed byte";
        EXPECT_TRUE(is(as_bytes({0x48, 0x83, modrm, 0x81}),
                       with_immediate(operation, 0xffff'ffff'ffff'ff81, 8)));
    }
}

TEST_F(DecodeAccess, KnowsTestAndXchg) {
    EXPECT_TRUE(
        is(as_bytes({0x85, at_rbx_with(rcx)}), with_register(Operation::Test, rcx, 4, true)));
    EXPECT_TRUE(
        is(as_bytes({0x84, at_rbx_with(rcx)}), with_register(Operation::Test, rcx, 1, true)));
    EXPECT_TRUE(is(as_bytes({0xf6, 0x03, 0x82}), with_immediate(Operation::Test, 0x82, 1)));
    EXPECT_TRUE(
        is(as_bytes({0xf7, 0x03, 1, 2, 3, 4}), with_immediate(Operation::Test, 0x0403'0201, 4)));
    EXPECT_TRUE(
        is(as_bytes({0x87, at_rbx_with(rcx)}), with_register(Operation::Exchange, rcx, 4, true)));
    EXPECT_TRUE(
        is(as_bytes({0x86, at_rbx_with(rcx)}), with_register(Operation::Exchange, rcx, 1, true)));
}

TEST_F(DecodeAccess, KnowsStos) {
    const auto wanted = [this](unsigned size, unsigned address_bytes) {
        MemoryAccess access = with_register(Operation::Store, rax, size, true);
        access.is_string = true;
        access.address_bytes = static_cast<std::uint8_t>(address_bytes);
        const std::uint64_t offset = low_bits(ground().registers.rdi, 8 * address_bytes);
        access.memory.address = vmm::Gva{linear(ground(), SegmentName::Es, offset)};
        return access;
    };
    EXPECT_TRUE(is(as_bytes({0xaa}), wanted(1, 8)));
    EXPECT_TRUE(is(as_bytes({0xab}), wanted(4, 8)));
    EXPECT_TRUE(is(as_bytes({0x65, 0x67, 0x48, 0xab}), wanted(8, 4)))
        << "no prefix changes the segment";
    MemoryAccess repeated = wanted(4, 8);
    repeated.repeat = true;
    EXPECT_TRUE(is(as_bytes({0xf3, 0xab}), repeated)) << "REP";
    in_code(CodeSize::Bits32);
    EXPECT_TRUE(is(as_bytes({0x26, 0x66, 0xab}), wanted(2, 4)));
    EXPECT_TRUE(is(as_bytes({0x67, 0xab}), wanted(4, 2)));
    in_code(CodeSize::Bits16);
    EXPECT_TRUE(is(as_bytes({0xab}), wanted(2, 2)));
    EXPECT_TRUE(is(as_bytes({0x67, 0xab}), wanted(2, 4)));
}

TEST_F(DecodeAccess, CountsFromBehindTheImmediate) {
    struct Case {
        Bytes bytes;
        std::uint64_t immediate;
        unsigned size;
    };
    for (const auto& [bytes, immediate, size] :
         {Case{as_bytes({0xc7, 0x05, 0, 1, 0, 0, 1, 2, 3, 4}), 0x0403'0201, 4},
          Case{as_bytes({0xc6, 0x05, 0, 1, 0, 0, 7}), 7, 1},
          Case{as_bytes({0x66, 0xc7, 0x05, 0, 1, 0, 0, 1, 2}), 0x0201, 2},
          Case{as_bytes({0x48, 0xc7, 0x05, 0, 1, 0, 0, 1, 2, 3, 4}), 0x0403'0201, 8}}) {
        MemoryAccess wanted = with_immediate(Operation::Store, immediate, size);
        wanted.memory.address = vmm::Gva{ground().registers.rip + bytes.size() + 0x100};
        EXPECT_TRUE(is(bytes, wanted)) << "RIP-relative";
    }
}

TEST_F(DecodeAccess, LockMayStandBeforeSome) {
    for (const auto& [opcode, operation] :
         {std::pair{0x21U, Operation::And}, {0x09U, Operation::Or}, {0x31U, Operation::Xor}})
        EXPECT_TRUE(
            is(as_bytes({0xf0, opcode, at_rbx_with(rcx)}), with_register(operation, rcx, 4, true)));
    EXPECT_TRUE(is(as_bytes({0xf0, 0x87, at_rbx_with(rcx)}),
                   with_register(Operation::Exchange, rcx, 4, true)));
    for (const Bytes& bytes :
         {as_bytes({0xf0, 0x89, 0x0b}), as_bytes({0xf0, 0x8b, 0x0b}), as_bytes({0xf0, 0x23, 0x0b}),
          as_bytes({0xf0, 0x39, 0x0b}), as_bytes({0xf0, 0x85, 0x0b}), as_bytes({0xf0, 0xab})})
        EXPECT_TRUE(is_refused(bytes, Error::Unsupported)) << "LOCK";
}

TEST_F(DecodeAccess, OtherInstructionsAreUnsupported) {
    for (const Bytes& bytes :
         {as_bytes({0x90, 0, 0}), as_bytes({0x00, 0x0b, 0}), as_bytes({0x8d, 0x0b, 0}),
          as_bytes({0x24, 0x0b, 0}), as_bytes({0xa4, 0, 0}), as_bytes({0x0f, 0xb0, 0x0b}),
          as_bytes({0x0f, 0x89, 0x0b}), as_bytes({0xff, 0x03, 0}), as_bytes({0x63, 0x0b, 0}),
          as_bytes({0x47, 0x63, 0x0b})})
        EXPECT_TRUE(is_refused(bytes, Error::Unsupported));
    for (const unsigned extension : {0U, 2U, 3U, 5U})
        EXPECT_TRUE(is_refused(as_bytes({0x83, at_rbx_with(extension), 1}), Error::Unsupported))
            << "83 /" << extension;
    for (const unsigned opcode : {0xc6U, 0xf6U})
        EXPECT_TRUE(is_refused(as_bytes({opcode, at_rbx_with(2), 1}), Error::Unsupported)) << "/2";
    in_code(CodeSize::Bits32);
    EXPECT_TRUE(is_refused(as_bytes({0x63, 0x0b, 0}), Error::Unsupported)) << "ARPL";
    EXPECT_TRUE(is_refused(as_bytes({0x48, 0x89, 0x0b}), Error::Unsupported)) << "DEC EAX";
}

TEST_F(DecodeAccess, ARegisterInThePlaceOfMemoryIsUnsupported) {
    for (const Bytes& bytes : {as_bytes({0x89, 0xc8}), as_bytes({0x0f, 0xb6, 0xc8}),
                               as_bytes({0xc6, 0xc3, 1}), as_bytes({0x83, 0xe3, 1})})
        EXPECT_TRUE(is_refused(bytes, Error::Unsupported));
}

TEST_F(DecodeAccess, TheErrorCarriesTheBytes) {
    const Bytes bytes = as_bytes({0x66, 0x0f, 0x0b, 0x11, 0x22});
    const Result seen = decode(bytes);
    ASSERT_FALSE(seen.has_value());
    ASSERT_EQ(seen.error().count, bytes.size());
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), seen.error().bytes.begin()));
    const Result other = decode(as_bytes({0x89}));
    ASSERT_FALSE(other.has_value());
    EXPECT_TRUE(other.error().error == Error::Truncated) << "an error of its own";
    EXPECT_EQ(other.error().count, 1) << "and bytes of its own";
}

TEST_F(DecodeAccess, BytesThatEndTooEarlyAreTruncated) {
    for (const Bytes& whole :
         {as_bytes({0x65, 0x48, 0x81, 0xa4, 0x88, 1, 2, 3, 4, 5, 6, 7, 8}),
          as_bytes({0x0f, 0xb6, 0x43, 1}), as_bytes({0xa1, 1, 2, 3, 4, 5, 6, 7, 8})}) {
        ASSERT_TRUE(decode(whole).has_value());
        for (std::size_t count = 0; count < whole.size(); ++count) {
            const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(count));
            EXPECT_TRUE(is_refused(part, Error::Truncated))
                << count << " of " << whole.size() << " bytes";
        }
    }
}

TEST_F(DecodeAccess, AnInstructionHasFifteenBytesAtMost) {
    Bytes bytes(8, std::byte{0x66});
    for (const std::byte byte : as_bytes({0x65, 0x81, 0x23, 1, 2})) bytes.push_back(byte);
    ASSERT_EQ(bytes.size(), 13U);
    bytes.insert(bytes.begin(), 2, std::byte{0x65});
    EXPECT_TRUE(decode(bytes).has_value()) << "15 bytes";
    bytes.insert(bytes.begin(), std::byte{0x65});
    bytes.resize(15);
    EXPECT_TRUE(is_refused(bytes, Error::InvalidArgument)) << "the first 15 of 16 bytes";
    EXPECT_TRUE(is_refused(Bytes(15, std::byte{0x66}), Error::InvalidArgument)) << "15 prefixes";
    EXPECT_TRUE(is_refused(Bytes(14, std::byte{0x66}), Error::Truncated)) << "14 prefixes";
}

// Each with an operand, a register and an immediate of its own.
TEST_F(DecodeAccess, TwentyThousandOfAllKinds) {
    constexpr int count = 20'000;
    for (int i = 0; i < count; ++i) {
        in_code(std::array{CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64,
                           CodeSize::Bits64}[random().next() % 4]);
        const MadeInstruction made = make_instruction(ground());
        ASSERT_TRUE(is(made.bytes, made.wanted))
            << "instruction number " << i << ", " << lab::in_words(made.operand);
    }
}

}  // namespace
}  // namespace lab
