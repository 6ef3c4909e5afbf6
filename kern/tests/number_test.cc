// SPDX-License-Identifier: MIT
#include "kern/lib/number.hh"

#include <gtest/gtest.h>

namespace {

using kern::parse_number;

TEST(Number, ReadsDecimalAndHexadecimal) {
    EXPECT_EQ(parse_number("0"), 0u);
    EXPECT_EQ(parse_number("0123"), 123u);
    EXPECT_EQ(parse_number("0xfF"), 255u);
    EXPECT_EQ(parse_number("ff", 16), 255u);
    EXPECT_EQ(parse_number("0x10", 16), 16u);
}

TEST(Number, TakesAllOfTheText) {
    for (const char* text : {"", "0x", "1 ", " 1", "-1", "+1", "1g", "a", "0xg", "0x0x1", "0X1"})
        EXPECT_EQ(parse_number(text), std::nullopt) << text;
}

TEST(Number, RefusesWhatDoesNotFit) {
    EXPECT_EQ(parse_number("18446744073709551615"), UINT64_MAX);
    EXPECT_EQ(parse_number("18446744073709551616"), std::nullopt);
    EXPECT_EQ(parse_number("99999999999999999999"), std::nullopt);
    EXPECT_EQ(parse_number("0xffffffffffffffff"), UINT64_MAX);
    EXPECT_EQ(parse_number("0x10000000000000000"), std::nullopt);
}

}  // namespace
