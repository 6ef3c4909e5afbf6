// SPDX-License-Identifier: MIT
#include "guest/gkernel/options.hh"

#include <gtest/gtest.h>

#include <string>

namespace guest {
namespace {

TEST(Options, EveryWordArrives) {
    const auto options = parse_options(
        "nonce=00c0ffee00c0ffee99 cpus=4  touch=text,rodata:3,bss:0:2:8:w,ram:0x1000:4:16:w,data:w "
        "race=rodata:3 each=data:5:2 timer=7 console=9");
    ASSERT_TRUE(options) << options.error();
    EXPECT_EQ(options->key, 0x00c0ffee00c0ffeeU);  // the first 16 digits
    EXPECT_EQ(options->cpus, 4U);
    ASSERT_EQ(options->touches.size(), 5U);
    EXPECT_EQ(options->touches[0].area, Area::Text);
    EXPECT_EQ(options->touches[0].count, Pages::all);
    EXPECT_EQ(options->touches[1].first, 3U);
    EXPECT_EQ(options->touches[2].step, 8U);
    EXPECT_TRUE(options->touches[2].write);
    EXPECT_EQ(options->touches[3].first, 0x1000U);
    EXPECT_EQ(options->touches[3].count, 4U);
    EXPECT_EQ(options->touches[3].step, 16U);
    EXPECT_TRUE(options->touches[4].write);
    EXPECT_EQ(options->timer, 7U);
    EXPECT_EQ(options->console, 9U);
    ASSERT_TRUE(options->race);
    EXPECT_EQ(options->race->first, 3U);
    ASSERT_TRUE(options->each);
    EXPECT_EQ(options->each->first, 5U);
    EXPECT_EQ(options->each->step, 2U);
}

TEST(Options, AnEmptyLineAsksForNothing) {
    const auto options = parse_options("");
    ASSERT_TRUE(options);
    EXPECT_EQ(options->touches.size(), 0U);
    EXPECT_FALSE(options->race);
}

TEST(Options, TheWordThatIsNotUnderstoodComesBack) {
    for (const char* word :
         {"touch", "nonce=xyz", "nonce=", "cpus=1k", "touch=stack", "touch=ram", "touch=text:w",
          "touch=data:1:2:3:4", "touch=data:1:2:0", "race=bss:1:1:1", "each=data:1:w", "what=1",
          "touch=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"}) {
        const std::string line = std::string{"cpus=2 "} + word + " nonce=1";
        const auto options = parse_options(line);
        ASSERT_FALSE(options) << word;
        EXPECT_EQ(options.error(), word);
    }
}

}  // namespace
}  // namespace guest
