// SPDX-License-Identifier: MIT
// Task lab6.translate_block, the challenge.
#include "vmm/soft/translate_block.hh"

#include <algorithm>

#include "mini_cpu.hh"

namespace lab {
namespace {

using kern::describe;
using vmm::soft::translate_block;
using vmm::soft::Translation;
using vmm::soft::TranslationStop;
using Kind = TranslationStop::Kind;

constexpr std::uint32_t base = 0x0010'0000;

Bytes bytes(std::initializer_list<unsigned> values) {
    Bytes made;
    for (const unsigned value : values) made.push_back(static_cast<std::byte>(value));
    return made;
}
Bytes operator+(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}
Bytes word(std::uint32_t value) {
    return bytes({value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24});
}

/// As an assembler lists it.
std::string listed(const Bytes& code) {
    constexpr const char* digits = "0123456789abcdef";
    std::string text = "of";
    for (const std::byte each : code) {
        text += ' ';
        text += digits[std::to_integer<unsigned>(each >> 4)];
        text += digits[std::to_integer<unsigned>(each & std::byte{15})];
    }
    return text;
}

std::string in_words(const TranslationStop& stop) {
    return (stop.kind == Kind::Continue ? "Continue at " : "Interpret at ") + hex(stop.address);
}

/// The stop of the trap at `offset`; nullptr: there is none.
const TranslationStop* stop_at(const Translation& made, std::size_t offset) {
    for (const TranslationStop& stop : made.stops)
        if (stop.offset == offset) return &stop;
    return nullptr;
}

/// Where ring 3 comes to an end in a translation, from its first byte on; nullptr, and a failure, if
/// it leaves it, or traps where there is no stop.
const TranslationStop* run(MiniCpu& cpu, const Translation& made) {
    constexpr std::uint32_t somewhere = 0xc000'0000;
    cpu.eip = somewhere;
    std::uint32_t last = 0;
    for (unsigned steps = 0; steps < 1000; ++steps) {
        const std::uint32_t offset = cpu.eip - somewhere;
        if (offset >= made.code.size()) {
            ADD_FAILURE() << "ring 3 leaves the translation of " << hex(made.address)
                          << ", which has " << made.code.size() << " bytes, at offset " << last
                          << ", for address " << hex(cpu.eip);
            return nullptr;
        }
        last = offset;
        const std::span<const std::byte> rest{made.code.begin() + offset,
                                              made.code.size() - offset};
        switch (cpu.step(rest, false)) {
            case MiniCpu::Step::Done: continue;
            case MiniCpu::Step::Trap:
                if (const auto* const stop = stop_at(made, offset)) return stop;
                ADD_FAILURE() << "a trap at offset " << offset << " of the translation of "
                              << hex(made.address) << ", where no stop is";
                return nullptr;
            default:
                ADD_FAILURE() << "at offset " << offset << " of the translation of "
                              << hex(made.address) << " is "
                              << hex(std::to_integer<unsigned>(rest[0]))
                              << ", which was not in the guest's code, and is no trap of a stop: "
                                 "HLT or INT3";
                return nullptr;
        }
    }
    ADD_FAILURE() << "the translation of " << hex(made.address) << " does not come to an end";
    return nullptr;
}

class TranslateBlock : public ::testing::Test {
   protected:
    /// The translation of `code` at `base`; its fields are looked at.
    static Translation translated(const Bytes& code, std::size_t copied, std::size_t length) {
        const auto made = translate_block(code, base);
        if (!made) {
            ADD_FAILURE() << "the error is \"" << describe(made.error()) << "\", wanted is none";
            return {};
        }
        EXPECT_EQ(made->address, base);
        EXPECT_EQ(unsigned{made->copied}, copied) << "bytes are copied";
        EXPECT_EQ(unsigned{made->length}, length)
            << "bytes of the guest's are translated: those that are copied, and those of the "
               "instruction that something else stands for";
        EXPECT_TRUE(made->code.size() >= copied &&
                    std::equal(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(copied),
                               made->code.begin()))
            << "the copied bytes are the guest's";
        return *made;
    }
    /// Whether ring 3 stops in the translation so.
    static ::testing::AssertionResult stops(const Translation& made, Kind kind,
                                            std::uint32_t address, MiniCpu cpu = {}) {
        const TranslationStop wanted{.kind = kind, .address = address};
        const TranslationStop* const seen = run(cpu, made);
        if (seen == nullptr) return ::testing::AssertionFailure() << "there is no stop";
        if (seen->kind == kind && seen->address == address) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "the stop is " << in_words(*seen) << ", wanted is " << in_words(wanted);
    }
};

const Bytes harmless =
    bytes({0xb8, 1, 2, 3, 4, 0x40, 0x01, 0xd8});  // mov $, %eax; inc %eax; add %ebx, %eax

TEST_F(TranslateBlock, CopiesWhatIsHarmless) {
    const auto made = translated(harmless, harmless.size(), harmless.size());
    EXPECT_TRUE(stops(made, Kind::Continue, base + harmless.size()));
    MiniCpu cpu;
    cpu.registers[3] = 7;
    run(cpu, made);
    EXPECT_EQ(cpu.registers[0], 0x04030202U + 7) << "EAX";
}

TEST_F(TranslateBlock, EndsAtAJump) {
    EXPECT_TRUE(stops(
        translated(harmless + bytes({0xeb, 0x10, 0x40}), harmless.size(), harmless.size() + 2),
        Kind::Continue, base + harmless.size() + 2 + 0x10));
    EXPECT_TRUE(stops(translated(bytes({0xeb, 0xfe}), 0, 2), Kind::Continue, base));
    EXPECT_TRUE(
        stops(translated(bytes({0xe9}) + word(0x1234), 0, 5), Kind::Continue, base + 5 + 0x1234));
    EXPECT_TRUE(
        stops(translated(bytes({0xe9}) + word(0x1290), 0, 5), Kind::Continue, base + 5 + 0x1290))
        << "the sign is that of the four bytes";
    EXPECT_TRUE(stops(translated(bytes({0xe9}) + word(-0x20'0000U), 0, 5), Kind::Continue,
                      base + 5 - 0x20'0000U));
}

TEST_F(TranslateBlock, AConditionHasTwoEnds) {
    for (unsigned condition = 0; condition < 16; ++condition) {
        const struct {
            Bytes code;
            std::uint32_t target;
        } forms[] = {{bytes({0x70 + condition, 0xf0}), base + 2 - 0x10},
                     {bytes({0x0f, 0x80 + condition}) + word(0x4000), base + 6 + 0x4000}};
        for (const auto& [code, target] : forms) {
            const auto made = translated(code, 0, code.size());
            for (unsigned flags = 0; flags < 32; ++flags) {
                MiniCpu cpu;
                cpu.carry = (flags & 1) != 0;
                cpu.parity = (flags & 2) != 0;
                cpu.zero = (flags & 4) != 0;
                cpu.sign = (flags & 8) != 0;
                cpu.overflow = (flags & 16) != 0;
                MiniCpu real = cpu;
                real.eip = base;
                real.step(code, true);
                ASSERT_TRUE(stops(made, Kind::Continue, real.eip, cpu))
                    << "with condition " << condition << ", which is "
                    << (real.eip == target ? "true" : "false");
            }
        }
    }
}

TEST_F(TranslateBlock, ALoopHasTwoEndsAndCounts) {
    for (const Bytes& code :
         {bytes({0xe0, 0xf0}), bytes({0xe1, 0xf0}), bytes({0xe2, 0xf0}), bytes({0xe3, 0xf0}),
          bytes({0x67, 0xe2, 0xf0}), bytes({0x67, 0xe3, 0xf0})}) {
        const auto made = translated(code, 0, code.size());
        for (const std::uint32_t counter : {0U, 1U, 2U, 0x1'0000U, 0x1'0001U})
            for (const bool zero : {false, true}) {
                MiniCpu cpu;
                cpu.ecx() = counter;
                cpu.zero = zero;
                MiniCpu real = cpu;
                real.eip = base;
                real.step(code, true);
                ASSERT_TRUE(stops(made, Kind::Continue, real.eip, cpu))
                    << listed(code) << " with ECX " << hex(counter);
                run(cpu, made);
                ASSERT_EQ(hex(cpu.ecx()), hex(real.ecx()))
                    << listed(code) << " with ECX " << hex(counter) << " counts once";
            }
    }
}

TEST_F(TranslateBlock, ACallPushesTheGuestsReturnAddress) {
    const auto made = translated(bytes({0x40, 0xe8}) + word(0x100), 1, 6);
    EXPECT_TRUE(stops(made, Kind::Continue, base + 6 + 0x100));
    MiniCpu cpu;
    cpu.esp() = 0x8000;
    run(cpu, made);
    EXPECT_EQ(hex(cpu.esp()), hex(0x7ffcU)) << "ESP";
    EXPECT_EQ(hex(cpu.pop()), hex(base + 6)) << "the return address is the guest's";
}

TEST_F(TranslateBlock, WhatGoesWhereNobodyKnowsIsInterpreted) {
    for (const Bytes& last : {bytes({0xc3}),
                              bytes({0xc2, 4, 0}),
                              bytes({0xcb}),
                              bytes({0xca, 4, 0}),
                              bytes({0xff, 0xe0}),
                              bytes({0xff, 0x20}),
                              bytes({0xff, 0xd0}),
                              bytes({0xff, 0x15, 0, 0, 1, 0}),
                              bytes({0xff, 0x2d, 0, 0, 1, 0}),
                              bytes({0xff, 0x1d, 0, 0, 1, 0}),
                              bytes({0xcf}),
                              bytes({0xea, 0, 0, 1, 0, 8, 0}),
                              bytes({0x9a, 0, 0, 1, 0, 8, 0}),
                              bytes({0x66, 0xe9, 1, 0}),
                              bytes({0x66, 0xe8, 1, 0}),
                              bytes({0x66, 0x0f, 0x84, 1, 0}),
                              bytes({0x66, 0x74, 1}),
                              bytes({0x66, 0xc3}),
                              bytes({0x66, 0xcf}),
                              bytes({0x66, 0xe2, 0xf0}),
                              bytes({0x66, 0xe3, 0xf0}),
                              bytes({0x66, 0xea, 1, 0, 8, 0}),
                              bytes({0x66, 0x9a, 1, 0, 8, 0}),
                              bytes({0x66, 0xff, 0xe0}),
                              bytes({0x66, 0xcb})}) {
        SCOPED_TRACE(listed(last));
        const auto made = translated(bytes({0x40}) + last, 1, 1 + last.size());
        EXPECT_TRUE(stops(made, Kind::Interpret, base + 1)) << listed(last);
    }
}

TEST_F(TranslateBlock, NothingSensitiveStays) {
    for (const Bytes& last : {bytes({0xfa}),
                              bytes({0xfb}),
                              bytes({0xf4}),
                              bytes({0x9c}),
                              bytes({0x9d}),
                              bytes({0x66, 0x9d}),
                              bytes({0xec}),
                              bytes({0xe6, 0x20}),
                              bytes({0xcd, 0x80}),
                              bytes({0xcc}),
                              bytes({0x0f, 0x22, 0xd8}),
                              bytes({0x0f, 0x20, 0xd0}),
                              bytes({0x0f, 0x01, 0x38}),
                              bytes({0x8e, 0xd8}),
                              bytes({0x8c, 0xd8}),
                              bytes({0x8c, 0x18}),
                              bytes({0x1e}),
                              bytes({0x0f, 0x01, 0x08}),
                              bytes({0x0f, 0x00, 0xc8}),
                              bytes({0x0f, 0x02, 0xc0}),
                              bytes({0x0f, 0xa2}),
                              bytes({0x0f, 0x01, 0xe0})}) {
        SCOPED_TRACE(listed(last));
        const auto made = translated(bytes({0x40}) + last + bytes({0x40}), 1, 1 + last.size());
        EXPECT_TRUE(stops(made, Kind::Interpret, base + 1)) << listed(last);
    }
}

TEST_F(TranslateBlock, WhatTrapsByItselfIsCopied) {
    const Bytes code =
        bytes({0x0f, 0x06, 0x0f, 0x32, 0x0f, 0x0b, 0x40});  // clts; rdmsr; ud2; inc %eax
    translated(code, code.size(), code.size());
}

TEST_F(TranslateBlock, OpcodesBesideThoseOfJumpsAreCopied) {
    for (const Bytes& code :
         {bytes({0x6f}), bytes({0x80, 0xd0, 1}), bytes({0xdf, 0xe0}), bytes({0x0f, 0x7f, 0xd0}),
          bytes({0x0f, 0x90, 0xd0}), bytes({0xc1, 0xe0, 1}), bytes({0xc9}), bytes({0xff, 0xc8}),
          bytes({0xff, 0x30}), bytes({0x66, 0x40}), bytes({0x99}), bytes({0x9b})}) {
        SCOPED_TRACE(listed(code) + ", behind which CLI ends the block");
        translated(code + bytes({0xfa}), code.size(), code.size() + 1);
    }
}

TEST_F(TranslateBlock, OnlyTheFirstByteMakesAnInstruction) {
    // mov $, %eax; push $; lea -100(%esp), %ebx: in their bytes are POPF, CPUID, CLI, PUSHF.
    const Bytes code = bytes({0xb8, 0x9d, 0x0f, 0xa2, 0xfa, 0x6a, 0x9d, 0x8d, 0x5c, 0x24, 0x9c});
    translated(code, code.size(), code.size());
}

TEST_F(TranslateBlock, EndsWhereTheCodeEnds) {
    const auto made = translated(harmless + bytes({0xb8, 1, 2}), harmless.size(), harmless.size());
    EXPECT_TRUE(stops(made, Kind::Continue, base + harmless.size()));
    const auto before = translated(harmless + bytes({0xd6}), harmless.size(), harmless.size());
    EXPECT_TRUE(stops(before, Kind::Continue, base + harmless.size()));
    EXPECT_TRUE(
        stops(translated(harmless + bytes({0x0f, 0x84, 1, 2}), harmless.size(), harmless.size()),
              Kind::Continue, base + harmless.size()));
}

TEST_F(TranslateBlock, AFullBlockGoesOnInTheNext) {
    const auto made = translated(Bytes(100, std::byte{0x40}), 64, 64);
    EXPECT_TRUE(stops(made, Kind::Continue, base + 64));
    Bytes code(62, std::byte{0x40});
    EXPECT_TRUE(stops(translated(code + harmless, 62, 62), Kind::Continue, base + 62));
    // What is not copied needs no room.
    code.resize(64, std::byte{0x40});
    EXPECT_TRUE(stops(translated(code + bytes({0xfa}), 64, 65), Kind::Interpret, base + 64));
    // Nor does a condition that has as many prefixes as an instruction can have.
    const auto loop = translated(code + Bytes(13, std::byte{0x2e}) + bytes({0xe2, 0xf0}), 64, 79);
    MiniCpu twice;
    twice.ecx() = 2;
    EXPECT_TRUE(stops(loop, Kind::Continue, base + 79 - 0x10, twice));
    MiniCpu once;
    once.ecx() = 1;
    EXPECT_TRUE(stops(loop, Kind::Continue, base + 79, once));
}

TEST_F(TranslateBlock, AddressesComeAroundAtFourGib) {
    translated(bytes({0xeb, 0x10}), 0, 2);
    const auto made = translate_block(bytes({0x40, 0xeb, 0x10}), 0xffff'fff8);
    ASSERT_TRUE(succeeds(made));
    EXPECT_TRUE(stops(*made, Kind::Continue, 0xb));
}

TEST_F(TranslateBlock, AFirstInstructionThatIsNoneIsAnError) {
    EXPECT_TRUE(fails_with(translate_block({}, base), Error::Truncated));
    EXPECT_TRUE(fails_with(translate_block(bytes({0xb8, 1}), base), Error::Truncated));
    EXPECT_TRUE(fails_with(translate_block(bytes({0xd6}), base), Error::Unsupported));
}

/// A program of pieces; jumps go to where a later piece begins.
class Program {
   public:
    Program() {
        const unsigned count = 12;
        std::vector<std::size_t> begins;
        std::vector<Jump> jumps;
        for (unsigned i = 0; i < count; ++i) {
            begins.push_back(code.size());
            piece(i, jumps);
        }
        begins.push_back(code.size());
        code = code + bytes({0xf4});
        const std::size_t function = code.size();
        code = code + bytes({0x41, 0xfa, 0x43, 0xc3});  // inc %ecx; cli; inc %ebx; ret
        for (const auto& [at, size, piece] : jumps) {
            const std::size_t target =
                piece == called ? function : begins[std::min<std::size_t>(piece, count)];
            const auto distance = static_cast<std::uint32_t>(target - at - size);
            for (std::size_t i = 0; i < size; ++i)
                code[at + i] = static_cast<std::byte>(distance >> 8 * i);
        }
    }
    Bytes code;

   private:
    struct Jump {
        std::size_t at, size;
        unsigned piece;
    };
    static constexpr unsigned called = ~0U;

    static unsigned any(std::initializer_list<unsigned> values) {
        return values.begin()[random().between(0, values.size() - 1)];
    }
    void piece(unsigned number, std::vector<Jump>& jumps) {
        const unsigned condition = static_cast<unsigned>(random().between(0, 16 - 1));
        const unsigned later = number + 1 + static_cast<unsigned>(random().between(0, 3 - 1));
        switch (random().between(0, 10 - 1)) {
            case 0:
                code = code + bytes({0x05}) + word(static_cast<std::uint32_t>(random().next()));
                break;
            case 1:
                code = code + bytes({0x3d}) +
                       word(static_cast<std::uint32_t>(random().between(0, 3 - 1)));
                break;
            case 2: code = code + bytes({any({0x40, 0x43, 0x4b, 0x46}), 0x01, 0xd8}); break;
            case 3: code = code + bytes({any({0xfa, 0xfb, 0x90}), 0xe6, 0x40}); break;
            case 4: code = code + bytes({0x9c, 0x58, 0xe6, 0x41}); break;  // pushf; pop %eax; out
            case 5:
                code =
                    code + bytes({0x68}) + word(any({0x002, 0x202, 0x247, 0xac6})) + bytes({0x9d});
                break;
            case 6:
                code = code + bytes({0x70 + condition, 0});
                jumps.push_back({code.size() - 1, 1, later});
                break;
            case 7:
                code = code + bytes({0x0f, 0x80 + condition}) + word(0);
                jumps.push_back({code.size() - 4, 4, later});
                break;
            case 8:  // mov $3, %ecx; inc %esi; loop there
                code = code + bytes({0xb9, 3, 0, 0, 0, 0x46, 0xe2, 0xfd});
                break;
            default:
                code = code + bytes({any({0xe8, 0xe9})}) + word(0);
                jumps.push_back({code.size() - 4, 4,
                                 code[code.size() - 5] == std::byte{0xe8} ? called : later});
        }
    }
};

TEST_F(TranslateBlock, ProgramsDoTheSame) {
    for (unsigned round = 0; round < 300; ++round) {
        const Program program;
        const std::span<const std::byte> code{program.code};
        MiniCpu real;
        real.esp() = 0x8000;
        MiniCpu cpu = real;
        real.eip = base;
        while (real.step(code.subspan(real.eip - base), true) == MiniCpu::Step::Done) {
        }
        std::uint32_t eip = base;
        for (unsigned blocks = 0;; ++blocks) {
            ASSERT_LT(blocks, 1000U) << "the translated program does not come to its end";
            ASSERT_TRUE(eip - base < code.size())
                << "the guest goes on at " << hex(eip) << ", where its code is not; it is "
                << listed(program.code);
            const auto made = translate_block(code.subspan(eip - base), eip);
            ASSERT_TRUE(succeeds(made));
            const TranslationStop* const stop = run(cpu, *made);
            ASSERT_NE(stop, nullptr);
            eip = stop->address;
            if (stop->kind == Kind::Continue) continue;
            cpu.eip = eip;
            if (cpu.step(code.subspan(eip - base), true) != MiniCpu::Step::Done) break;
            eip = cpu.eip;
        }
        ASSERT_EQ(hex(cpu.eip), hex(real.eip)) << "the end of a program " << listed(program.code);
        ASSERT_EQ(cpu.describe(), real.describe())
            << "the translation's, and then the program's own; the program is "
            << listed(program.code);
    }
}

}  // namespace
}  // namespace lab
