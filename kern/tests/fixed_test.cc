// SPDX-License-Identifier: MIT
#include "kern/lib/fixed.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "kern/lib/text.hh"

namespace kern {
namespace {

TEST(FixedList, KeepsTheOrderAndSaysWhenItIsFull) {
    FixedList<int, 3> list;
    EXPECT_TRUE(list.empty());
    for (const int i : {7, 5, 6}) EXPECT_TRUE(list.push(i));
    EXPECT_FALSE(list.push(8));
    EXPECT_FALSE(list.push(9));
    EXPECT_EQ(list.size(), 3U);
    EXPECT_EQ((std::vector(list.begin(), list.end())), (std::vector{7, 5, 6}));
    list[1] = 1;
    EXPECT_EQ(std::ranges::count(list, 1), 1);
    EXPECT_FALSE(list.empty());
}

TEST(FixedList, ACopyIsAnother) {
    FixedList<int, 2> list;
    EXPECT_TRUE(list.push(1));
    auto copy = list;
    EXPECT_TRUE(copy.push(2));
    EXPECT_EQ(list.size(), 1U);
}

TEST(FixedText, IsCutWhereItIsFull) {
    FixedText<4> text;
    EXPECT_EQ(text.view(), "");
    EXPECT_TRUE(text.assign("abcd"));
    EXPECT_EQ(text.view(), "abcd");
    EXPECT_FALSE(text.assign("efghi"));
    EXPECT_EQ(text.view(), "efgh");
    EXPECT_TRUE(text.assign("x"));
    EXPECT_EQ(text.view(), "x");
    EXPECT_TRUE(text.assign(""));
    EXPECT_EQ(text.view(), "");
}

TEST(CopyText, PadsWithZerosAndLeavesOne) {
    std::array<char, 4> field{'x', 'x', 'x', 'x'};
    copy_text(field, "a");
    EXPECT_EQ(field, (std::array{'a', '\0', '\0', '\0'}));
    copy_text(field, "abcde");
    EXPECT_EQ(field, (std::array{'a', 'b', 'c', '\0'}));
}

TEST(Text, IsTakenUpToADivider) {
    std::string_view text = "one two  x";
    EXPECT_EQ(take_until(text, ' '), "one");
    EXPECT_EQ(take_until(text, ' '), "two");
    EXPECT_EQ(take_until(text, ' '), "");
    EXPECT_EQ(take_until(text, ' '), "x");
    EXPECT_TRUE(text.empty());
    EXPECT_EQ(take_until(text, ' '), "");
    EXPECT_EQ(without_leading_spaces(" \t\rword "), "word ");
    EXPECT_EQ(without_leading_spaces("  "), "");
}

}  // namespace
}  // namespace kern
