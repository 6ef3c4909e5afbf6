// SPDX-License-Identifier: MIT
#include "kern/lib/print.hh"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "kern/arch/host/fake.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/todo.hh"

namespace kern {
namespace {

template <class... Arguments>
std::string text(std::string_view format, const Arguments&... arguments) {
    std::array<char, 400> buffer;
    return std::string{format_text(buffer, format, arguments...)};
}

TEST(Print, Numbers) {
    EXPECT_EQ(text("{} {} {}", 0, 7U, -7), "0 7 -7");
    EXPECT_EQ(text("{}", std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
    EXPECT_EQ(text("{}", std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
    EXPECT_EQ(text("{:x} {:x}", 0xdeadbeefU, -16), "deadbeef -10");
    EXPECT_EQ(text("{}", std::uint8_t{65}), "65");
}

TEST(Print, Widths) {
    EXPECT_EQ(text("[{:5}] [{:5}] [{:05}]", 42, -42, -42), "[   42] [  -42] [-0042]");
    EXPECT_EQ(text("[{:016x}]", 0xabcU), "[0000000000000abc]");
    EXPECT_EQ(text("[{:6}] [{:2}]", "four", "four"), "[four  ] [four]");
    EXPECT_EQ(text("{:99999999999999999999}", 1).size(), 256U) << "a width is bounded";
}

TEST(Print, OtherTypes) {
    EXPECT_EQ(text("{} {} {}", 'c', true, false), "c true false");
    EXPECT_EQ(text("{} {:x} {:016x}", Hpa{0x1000}, Hpa{0x1000}, Hpa{0x1000}),
              "0x1000 1000 0000000000001000");
    EXPECT_EQ(text("{:8}", Hpa{0x10}), "    0x10");
    EXPECT_EQ(text("{}", reinterpret_cast<const void*>(std::uintptr_t{0xab})), "0xab");
    EXPECT_EQ(text("{}", Error::OutOfMemory), "out of memory");
    EXPECT_EQ(text("{}", static_cast<const char*>(nullptr)), "(null)");
    EXPECT_EQ(text("{}", std::string_view{}), "");
}

TEST(Print, BracesAndMistakes) {
    EXPECT_EQ(text("{{{}}}", 1), "{1}");
    EXPECT_EQ(text("{} {}", 1), "1 {?}");
    EXPECT_EQ(text("{}", 1, 2), "1");
    EXPECT_EQ(text("{:q} {}", 1, 2), "{?} 2");
    EXPECT_EQ(text("open { and } shut", 1), "open {?} shut");
    EXPECT_EQ(text("{"), "{");
    EXPECT_EQ(text("}"), "}");
    EXPECT_EQ(text(""), "");
}

TEST(Print, CutsAtTheEndOfTheBuffer) {
    std::array<char, 4> buffer{'.', '.', '.', '!'};
    EXPECT_EQ(format_text(std::span{buffer}.first(3), "{}", 12345), "123");
    EXPECT_EQ(buffer[3], '!');
    EXPECT_EQ(format_text(std::span<char>{}, "{}", 12345), "");
}

TEST(Print, AnyFormatIsHarmless) {
    std::mt19937 random{1};
    constexpr std::string_view alphabet{"{}:x0123a "};
    for (int round = 0; round < 20'000; ++round) {
        std::string format;
        for (unsigned i = random() % 12; i > 0; --i) format += alphabet[random() % alphabet.size()];
        static_cast<void>(text(format, 1, "two", Hpa{3}));
    }
}

TEST(Print, GoesToTheConsoleWhole) {
    arch::fake::reset();
    const std::string lengthy(1000, 'x');
    kprint("{}-{}\n", std::string_view{lengthy}, 5);
    EXPECT_EQ(arch::fake::console(), lengthy + "-5\n");
    EXPECT_TRUE(arch::fake::interrupts_enabled());
}

TEST(Print, WorksInsidePrint) {
    // What a fault in the middle of a line does: print again on the CPU that holds the console.
    arch::fake::reset();
    const auto sink = [](void*, std::string_view piece) { kprint("({})", piece); };
    format_to(sink, nullptr, "{}", std::array{PrintArgument{1}});
    EXPECT_EQ(arch::fake::console(), "(1)");
}

TEST(PanicDeathTest, SaysWhatAndWhere) {
    EXPECT_DEATH(panic("the sky falls"), "panic: the sky falls\n  at .*print_test.cc:[0-9]+");
    EXPECT_DEATH(check(1 > 2, "arithmetic"), "panic: arithmetic");
    check(true, "fine");
}

TEST(TodoDeathTest, NamesTaskFileAndLine) {
    EXPECT_EXIT(todo("lab5.load_page"), ::testing::ExitedWithCode(121),
                "^TODO lab5.load_page: kern/tests/print_test.cc:[0-9]+ is not written yet\n$");
}

}  // namespace
}  // namespace kern
