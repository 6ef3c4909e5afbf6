// SPDX-License-Identifier: MIT
// Pages that are registered or mapped by hand, and the way from an exit to load_page.
#include "vmm/tests/support/pager_fixture.hh"

namespace vmm::test {
namespace {

constexpr Gpa page{0x5000};
const PageLoader ones{.fill = [](void*, Gpa, std::span<std::byte, page_size> frame) {
    std::ranges::fill(frame, std::byte{1});
    return true;
}};

class PagerPages : public PagerTest {
   protected:
    void SetUp() override {
        PagerTest::SetUp();
        make_pager();
    }
    static exit::NestedPageFault fault(Gpa address, bool present = false) {
        return {.address = address, .read = true, .present = present};
    }
};

TEST_F(PagerPages, MapPageRegistersOnce) {
    EXPECT_TRUE(fails_with(pager().map_page(page + 8, ones), Error::Unaligned));
    EXPECT_TRUE(fails_with(pager().map_page(Gpa{guest_physical_end}, ones), Error::OutOfRange));
    EXPECT_TRUE(fails_with(pager().map_page(page, PageLoader{}), Error::InvalidArgument));
    ASSERT_TRUE(succeeds(pager().map_page(page, ones)));
    EXPECT_TRUE(fails_with(pager().map_page(page, ones), Error::AlreadyExists));
    add_loader(Loader::zeros(Gpa{0x7800}, Gpa{0x7900}));
    EXPECT_TRUE(fails_with(pager().map_page(Gpa{0x7000}, ones), Error::AlreadyExists));
}

TEST_F(PagerPages, AMappedPageIsNotRegisteredAgain) {
    const Hpa frame = *kern::frames().allocate(frame_owner::guest_memory);
    ASSERT_TRUE(succeeds(pager().map_mmio_page(page, frame)));
    EXPECT_TRUE(fails_with(pager().map_page(page, ones), Error::AlreadyExists));
}

TEST_F(PagerPages, AnMmioPageCannotBeWritten) {
    const Hpa frame = *kern::frames().allocate(frame_owner::guest_memory);
    EXPECT_TRUE(fails_with(pager().map_mmio_page(mmio_hole_begin + 1, frame), Error::Unaligned));
    ASSERT_TRUE(succeeds(pager().map_mmio_page(mmio_hole_begin, frame)));
    const auto seen = walk(mmio_hole_begin);
    ASSERT_TRUE(seen);
    EXPECT_TRUE(seen->read && seen->execute && !seen->write);
    EXPECT_EQ(*pager().gpa2hpa(mmio_hole_begin + 0x10), frame + 0x10);

    const Hpa other = *kern::frames().allocate(frame_owner::guest_memory);
    EXPECT_TRUE(fails_with(pager().map_mmio_page(mmio_hole_begin, other), Error::AlreadyExists));
    add_loader(Loader::zeros(page, page + 1));
    EXPECT_TRUE(fails_with(pager().map_mmio_page(page, other), Error::AlreadyExists));
    kern::frames().free(frame_owner::guest_memory, other);
}

TEST_F(PagerPages, AFaultMakesItsPagePresent) {
    ASSERT_TRUE(succeeds(pager().map_page(page, ones)));
    pager().watch_page(page);
    EXPECT_TRUE(succeeds(pager().try_lazy_paging(fault(page + 0x123))));
    EXPECT_TRUE(walk(page));
    EXPECT_EQ(pager().faults_on_watched_page(), 1U);
    EXPECT_TRUE(fails_with(pager().try_lazy_paging(fault(page + page_size)), Error::NotFound));
    EXPECT_EQ(pager().faults_on_watched_page(), 1U);
}

TEST_F(PagerPages, OtherFaultsAreNotServed) {
    ASSERT_TRUE(succeeds(pager().map_page(page, ones)));
    EXPECT_TRUE(fails_with(pager().try_lazy_paging(fault(page, true)), Error::Unsupported))
        << "the page was present, a permission was missing";
    EXPECT_FALSE(walk(page));
}

}  // namespace
}  // namespace vmm::test
