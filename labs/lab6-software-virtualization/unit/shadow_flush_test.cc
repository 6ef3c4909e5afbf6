// SPDX-License-Identifier: MIT
// Task lab6.shadow_flush.
#include "vmm/soft/shadow_flush.hh"

#include "shadow_model.hh"

namespace lab {
namespace {

class ShadowFlush : public ShadowModel {
   protected:
    void SetUp() override {
        begin(Shadows::Keeping::OnDemand);
        for (std::uint32_t i = 0; i < 4; ++i) map(i, i);
        for (const bool user : {false, true})
            for (std::uint32_t i = 0; i < 4; ++i) look(i, user);
    }
    Met look(std::uint32_t index, bool user) {
        cpu.user_mode = user;
        return access(area + index * page, false);
    }
    /// Whether page `index` is in neither shadow table, nor in the TLB.
    ::testing::AssertionResult is_forgotten(std::uint32_t index) {
        const std::uint64_t address = area + index * page;
        for (const bool user : {false, true}) {
            const std::string whose = user ? "the user's" : "the kernel's";
            if (shadows().active(user).get(Gva{address}))
                return ::testing::AssertionFailure()
                       << "page " << index << " is still in " << whose << " shadow table";
            if (machine().tlb[user].contains(address))
                return ::testing::AssertionFailure()
                       << "page " << index << " is still in the CPU's TLB, in " << whose << " mode";
        }
        return ::testing::AssertionSuccess();
    }
    ::testing::AssertionResult is_kept(std::uint32_t index) {
        for (const bool user : {false, true})
            if (!shadows().active(user).get(Gva{area + index * page}))
                return ::testing::AssertionFailure()
                       << "page " << index << " is gone from "
                       << (user ? "the user's" : "the kernel's") << " shadow table, wanted kept";
        return ::testing::AssertionSuccess();
    }
};

TEST_F(ShadowFlush, EverythingIsForgottenInBothTables) {
    shadow_flush(shadows(), {.kind = Forget::Kind::Everything});
    for (std::uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(is_forgotten(i));
}

TEST_F(ShadowFlush, OnePageIsForgottenInBothTables) {
    shadow_flush(shadows(), {.kind = Forget::Kind::Page, .address = Gva{area + page}});
    EXPECT_TRUE(is_forgotten(1));
    shadow_flush(shadows(), {.kind = Forget::Kind::Page, .address = Gva{area + 3 * page}});
    EXPECT_TRUE(is_forgotten(3)) << "and then another";
}

TEST_F(ShadowFlush, AnAddressMeansThePageAroundIt) {
    shadow_flush(shadows(), {.kind = Forget::Kind::Page, .address = Gva{area + 2 * page + 0xabc}});
    EXPECT_TRUE(is_forgotten(2));
    EXPECT_TRUE(is_kept(1));
    EXPECT_TRUE(is_kept(3));
}

TEST_F(ShadowFlush, TheOtherPagesStay) {
    shadow_flush(shadows(), {.kind = Forget::Kind::Page, .address = Gva{area + page}});
    for (const std::uint32_t i : {0U, 2U, 3U}) EXPECT_TRUE(is_kept(i));
}

TEST_F(ShadowFlush, NothingIsNothing) {
    shadow_flush(shadows(), {.kind = Forget::Kind::Nothing, .address = Gva{area}});
    for (std::uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(is_kept(i));
    EXPECT_EQ(machine().flushes, 0U) << "the TLB is left alone";
}

TEST_F(ShadowFlush, AChangedEntryIsSeenAfterwards) {
    for (const bool user : {false, true}) {
        map(1, 5);
        shadow_flush(shadows(), {.kind = Forget::Kind::Page, .address = Gva{area + page}});
        EXPECT_TRUE(look(1, user).place == frame(data + 5 * page)) << "after INVLPG";
        map(1, 0);
        shadow_flush(shadows(), {.kind = Forget::Kind::Everything});
        EXPECT_TRUE(look(1, user).place == frame(data)) << "after a write to CR3";
    }
}

TEST_F(ShadowFlush, OtherDirectoriesKeepTheirShadows) {
    begin(Shadows::Keeping::Traced);
    map(0, 0);
    look(0, false);
    write_cr3(other_directory);
    map(1, 1, all, other_table);
    look(1, false);
    shadows().loosen(Gpa{other_directory});
    look(1, false);
    shadow_flush(shadows(), {.kind = Forget::Kind::Everything});
    EXPECT_TRUE(is_forgotten(1));
    ASSERT_NE(shadows().of(Gpa{directory}, false), nullptr);
    EXPECT_TRUE(shadows().of(Gpa{directory}, false)->get(Gva{area}))
        << "the pair of the other directory is not the active one";
}

TEST_F(ShadowFlush, GuestsByChanceMeetWhatTheirCpuMightShow) {
    run(Shadows::Keeping::OnDemand, 4000);
}

}  // namespace
}  // namespace lab
