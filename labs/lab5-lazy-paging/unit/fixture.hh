// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/tests/support/pager_fixture.hh"

/// The cases of this lab. Their ground is that of the project's own tests of the pager: a fake
/// machine, a disk, images of any layout, and a walker of its own (vmm/tests/support).
namespace lab {

using namespace vmm::test;

/// That ground, on which frames count whatever account they are on: a wrong account is one mistake,
/// and the affair of one case.
class PagerTest : public vmm::test::PagerTest {
   protected:
    void SetUp() override {
        vmm::test::PagerTest::SetUp();
        before_ = kern::frames().in_use();
    }
    void TearDown() override {
        destroy_pager();
        vmm::test::PagerTest::TearDown();
    }

    vmm::KernelVmPager& make_pager(const vmm::EntryFormat& format = vmm::npt_format) {
        destroy_pager();
        has_pager_ = true;
        return vmm::test::PagerTest::make_pager(format);
    }
    /// Destroys it. Pages in frames of others, which its table would refuse to free, go back first.
    void destroy_pager() {
        if (has_pager_) give_strangers_back();
        has_pager_ = false;
        vmm::test::PagerTest::destroy_pager();
    }

    /// Frames that load_page took since the case began, and that are no tables.
    std::uint64_t guest_frames() {
        return kern::frames().in_use() - before_ - count_tables(table_in_memory());
    }
    void expect_absent(Gpa gpa) {
        EXPECT_FALSE(walk(gpa).has_value()) << "page " << hex(gpa.value()) << " is present";
    }

   private:
    void give_strangers_back() {
        for (const auto& [gpa, seen] : all_pages(table_in_memory())) {
            const kern::Hpa frame{seen.hpa};
            const auto owner = owner_of(frame);
            if (owner && owner->index == vmm::frame_owner::guest_memory.index) continue;
            EXPECT_TRUE(owner.has_value())
                << "the page at " << hex(gpa) << " shows a frame that was given back";
            clear_page(table_in_memory(), gpa);
            if (owner) kern::frames().free(*owner, frame);
        }
    }

    std::uint64_t before_ = 0;
    bool has_pager_ = false;
};

}  // namespace lab
