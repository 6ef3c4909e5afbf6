// SPDX-License-Identifier: MIT
// Task lab5.load_page on one CPU. Loaders are registered by the tests themselves.
#include "fixture.hh"

namespace lab {
namespace {

constexpr std::uint64_t page_size = kern::page_size;

class LoadPage : public PagerTest {
   protected:
    void SetUp() override {
        PagerTest::SetUp();
        file_.emplace(put_file(random().bytes(100'000)));
        make_pager();
        page_ = Gpa{random().page_between(0x100, 0x4000)};
    }

    const kern::File& file() { return *file_; }
    /// A page that this run uses.
    Gpa page() const { return page_; }
    /// The file's bytes from `offset` on, as many as a page has.
    std::span<const std::byte> file_page(std::uint64_t offset) const {
        return std::span{contents()}.subspan(offset, page_size);
    }

   private:
    std::optional<kern::File> file_;
    Gpa page_;
};

TEST_F(LoadPage, MakesThePagePresentWithTheBytesOfTheFile) {
    const std::uint64_t offset = random().between(0, 50'000);
    add_loader(Loader::bytes_of(file(), offset, page(), page() + 3 * page_size));
    for (const std::uint64_t i : {1, 0, 2}) {
        ASSERT_TRUE(succeeds(pager().load_page(page() + i * page_size)));
        EXPECT_TRUE(
            same_bytes(guest_page(page() + i * page_size), file_page(offset + i * page_size)));
    }
}

TEST_F(LoadPage, GivesReadWriteAndExecute) {
    for (const auto* format : {&vmm::npt_format, &vmm::ept_format}) {
        make_pager(*format);
        add_loader(Loader::bytes_of(file(), 0, page(), page() + page_size));
        ASSERT_TRUE(succeeds(pager().load_page(page())));
        const auto seen = walk(page());
        ASSERT_TRUE(seen.has_value()) << "the page is not present";
        EXPECT_TRUE(seen->read && seen->write && seen->execute)
            << format->name << ": read " << seen->read << ", write " << seen->write << ", execute "
            << seen->execute << "; wanted is 1 for each";
        EXPECT_EQ(seen->bytes, page_size) << "bytes that the entry maps";
    }
}

TEST_F(LoadPage, MergesTheSegmentsThatShareAPage) {
    const std::uint64_t first = random().between(0x100, 0x500);
    const std::uint64_t second = random().between(0x600, 0xa00);
    const std::uint64_t third = random().between(0xb00, 0xf00);
    add_loader(Loader::bytes_of(file(), 0x6000, page() - 0x1000, page() + first));
    add_loader(Loader::bytes_of(file(), 0x9000, page() + first, page() + second));
    add_loader(Loader::bytes_of(file(), 0x3000, page() + third, page() + 0x2000));
    ASSERT_TRUE(succeeds(pager().load_page(page())));

    Bytes wanted(page_size);
    std::ranges::copy(file_page(0x7000).first(first), wanted.begin());
    std::ranges::copy(file_page(0x9000).first(second - first),
                      wanted.begin() + static_cast<std::ptrdiff_t>(first));
    std::ranges::copy(file_page(0x3000).first(page_size - third),
                      wanted.begin() + static_cast<std::ptrdiff_t>(third));
    EXPECT_TRUE(same_bytes(guest_page(page()), wanted))
        << "bytes 0 to " << first << " are of one segment, those up to " << second
        << " of another, those from " << third << " on of a third";
}

TEST_F(LoadPage, MergesManySegments) {
    // Thirty-seven segments of odd lengths, with a gap behind each.
    constexpr std::uint64_t segments = 37, step = 109;
    static_assert(segments * step < page_size);
    Bytes wanted(page_size);
    for (std::uint64_t i = 0; i < segments; ++i) {
        const std::uint64_t at = i * step, bytes = 51 + i, offset = 0x1000 + i * 997;
        add_loader(Loader::bytes_of(file(), offset, page() + at, page() + at + bytes));
        std::ranges::copy(file_page(offset).first(bytes),
                          wanted.begin() + static_cast<std::ptrdiff_t>(at));
    }
    ASSERT_TRUE(succeeds(pager().load_page(page())));
    EXPECT_TRUE(same_bytes(guest_page(page()), wanted))
        << "of a page with " << segments << " loaders, one every " << step << " bytes";
}

TEST_F(LoadPage, LeavesZerosWhereNoLoaderIs) {
    const std::uint64_t begin = random().between(0x100, 0x700);
    const std::uint64_t end = random().between(0x800, 0xf00);
    // Frames that were used before have old bytes in them, unless somebody zeroed them.
    for (int i = 0; i < 64; ++i) {
        auto used = kern::Frame::allocate(kern::frame_owner::test);
        std::ranges::fill(used->bytes(), std::byte{0xee});
    }
    add_loader(Loader::bytes_of(file(), 0x2000, page() + begin, page() + end));
    ASSERT_TRUE(succeeds(pager().load_page(page())));

    Bytes wanted(page_size);
    std::ranges::copy(file_page(0x2000).first(end - begin),
                      wanted.begin() + static_cast<std::ptrdiff_t>(begin));
    EXPECT_TRUE(same_bytes(guest_page(page()), wanted))
        << "the segment has bytes " << begin << " to " << end << " of this page";
}

TEST_F(LoadPage, ServesRamWithZeros) {
    add_loader(Loader::zeros(page(), page() + (1ULL << 30)));
    const Gpa far = page() + 0x123 * page_size;
    ASSERT_TRUE(succeeds(pager().load_page(far)));
    EXPECT_TRUE(same_bytes(guest_page(far), Bytes(page_size)));
}

TEST_F(LoadPage, AsksARegisteredFunction) {
    struct Context {
        Gpa asked_for{};
        Bytes bytes;
    } context{.bytes = random().bytes(page_size)};
    const vmm::PageLoader function{
        .fill =
            [](void* given, Gpa gpa, std::span<std::byte, page_size> page) {
                auto* c = static_cast<Context*>(given);
                c->asked_for = gpa;
                std::ranges::copy(c->bytes, page.begin());
                return true;
            },
        .context = &context};
    ASSERT_TRUE(succeeds(pager().map_page(page(), function)));
    ASSERT_TRUE(succeeds(pager().load_page(page())));
    EXPECT_EQ(context.asked_for, page()) << "the page that the function was asked for";
    EXPECT_TRUE(same_bytes(guest_page(page()), context.bytes));
}

TEST_F(LoadPage, TakesAFrameForThatPageAlone) {
    add_loader(Loader::bytes_of(file(), 0, page(), page() + 16 * page_size));
    EXPECT_EQ(guest_frames(), 0U) << "frames of guest memory before the first touch";
    std::uint64_t touched = 0;
    for (const std::uint64_t i : {7, 3, 12}) {
        ASSERT_TRUE(succeeds(pager().load_page(page() + i * page_size)));
        EXPECT_EQ(guest_frames(), ++touched) << "frames of guest memory, by pages touched";
        EXPECT_EQ(all_pages(table_in_memory()).size(), touched) << "pages present";
    }
}

TEST_F(LoadPage, TakesTheFrameOnTheAccountOfGuestMemory) {
    add_loader(Loader::bytes_of(file(), 0, page(), page() + page_size));
    ASSERT_TRUE(succeeds(pager().load_page(page())));
    const auto seen = walk(page());
    ASSERT_TRUE(seen.has_value()) << "the page is not present";
    EXPECT_TRUE(kern::frames().is_owned_by(vmm::frame_owner::guest_memory, kern::Hpa{seen->hpa}))
        << "the page's frame is on " << account_of(kern::Hpa{seen->hpa})
        << "; wanted is \"guest memory\"";
}

TEST_F(LoadPage, LeavesAPresentPageAsItIs) {
    add_loader(Loader::bytes_of(file(), 0, page(), page() + page_size));
    ASSERT_TRUE(succeeds(pager().load_page(page())));
    const auto before = walk(page());
    ASSERT_TRUE(before.has_value()) << "the page is not present";
    const Bytes written = random().bytes(page_size);  // by the guest
    std::ranges::copy(written, guest_page(page()).begin());
    const std::uint64_t reads = disk().reads();

    EXPECT_TRUE(succeeds(pager().load_page(page()))) << "for a page that is present";
    EXPECT_EQ(walk(page()), before) << "the entry has changed";
    EXPECT_TRUE(same_bytes(guest_page(page()), written)) << "what the guest wrote is lost";
    EXPECT_EQ(disk().reads(), reads) << "reads of the disk, for a page that is present";
    EXPECT_EQ(guest_frames(), 1U) << "frames of guest memory for one page";
}

TEST_F(LoadPage, ShowsThePageOnlyWhenItIsFull) {
    add_loader(Loader::bytes_of(file(), 0, page(), page() + 0x800));
    add_loader(Loader::bytes_of(file(), 0x4000, page() + 0x800, page() + page_size));
    bool present_early = false;
    disk().on_read([&](std::uint64_t, std::size_t) {
        present_early = present_early || walk(page()).has_value();
    });
    EXPECT_TRUE(succeeds(pager().load_page(page())));
    EXPECT_FALSE(present_early)
        << "another CPU of the guest could use the page before it was filled";
    EXPECT_TRUE(walk(page()).has_value()) << "the page is not present";
}

TEST_F(LoadPage, OfAnUnregisteredPageIsNotFound) {
    add_loader(Loader::bytes_of(file(), 0, page(), page() + 0x800));
    for (const Gpa gpa : {page() - page_size, page() + page_size, Gpa{0}, vmm::mmio_hole_begin,
                          Gpa{vmm::guest_physical_end - page_size}, Gpa{vmm::guest_physical_end}}) {
        EXPECT_TRUE(fails_with(pager().load_page(gpa), Error::NotFound))
            << "page " << hex(gpa.value()) << " has no loader";
        expect_absent(gpa);
    }
    EXPECT_EQ(guest_frames(), 0U) << "frames of guest memory after errors";
}

TEST_F(LoadPage, ReportsAFailingLoader) {
    bool works = false;
    const vmm::PageLoader function{
        .fill = [](void* given, Gpa,
                   std::span<std::byte, page_size>) { return *static_cast<bool*>(given); },
        .context = &works};
    ASSERT_TRUE(succeeds(pager().map_page(page(), function)));
    EXPECT_TRUE(fails_with(pager().load_page(page()), Error::DeviceFailure));
    expect_absent(page());
    EXPECT_EQ(guest_frames(), 0U) << "frames of guest memory after the error";

    works = true;
    EXPECT_TRUE(succeeds(pager().load_page(page()))) << "once the loader works again";
    EXPECT_TRUE(walk(page()).has_value()) << "the page is not present";
}

TEST_F(LoadPage, FillsThePageOnceForEachCall) {
    struct Context {
        unsigned calls = 0, failing = 0;
    } context;
    const vmm::PageLoader function{.fill =
                                       [](void* given, Gpa, std::span<std::byte, page_size>) {
                                           auto* c = static_cast<Context*>(given);
                                           return ++c->calls != c->failing;
                                       },
                                   .context = &context};
    ASSERT_TRUE(succeeds(pager().map_page(page(), function)));
    context.failing = 1;  // once, and not from then on
    EXPECT_TRUE(fails_with(pager().load_page(page()), Error::DeviceFailure))
        << "the one fill that fails is this caller's answer";
    EXPECT_EQ(context.calls, 1U) << "fills for one caller, of which the first one failed";
    EXPECT_EQ(guest_frames(), 0U) << "frames of guest memory after the error";
    EXPECT_TRUE(succeeds(pager().load_page(page()))) << "a later call, with a loader that works";
    EXPECT_EQ(context.calls, 2U) << "fills for two callers";
}

TEST_F(LoadPage, ReportsAShortRead) {
    const std::uint64_t left = random().between(1, 0xffe);  // bytes of the file on this page
    add_loader(Loader::bytes_of(file(), file().size() - left, page(), page() + left + 1));
    EXPECT_TRUE(fails_with(pager().load_page(page()), Error::ShortRead));
    expect_absent(page());
    EXPECT_EQ(guest_frames(), 0U) << "frames of guest memory after the error";
}

TEST_F(LoadPage, ReportsAReadThatFailsWhicheverItIs) {
    const std::uint64_t border = random().between(0x100, 0xe00);
    add_loader(Loader::bytes_of(file(), 0x1003, page(), page() + border));
    add_loader(Loader::bytes_of(file(), 0x5005, page() + border, page() + page_size));
    constexpr std::uint64_t too_many = 100;
    std::uint64_t failing = 1;
    for (; failing < too_many; ++failing) {
        disk().fail_from(failing);
        const auto result = pager().load_page(page());
        if (result) break;  // it needs fewer reads than that
        EXPECT_TRUE(fails_with(result, Error::DeviceFailure)) << "read " << failing << " fails";
        expect_absent(page());
        EXPECT_EQ(guest_frames(), 0U)
            << "frames of guest memory after read " << failing << " failed";
    }
    EXPECT_GT(failing, 2U) << "it has not read both segments of the page";
    ASSERT_LT(failing, too_many) << "the page cannot be loaded any more after errors";
    Bytes wanted(page_size);
    std::ranges::copy(file_page(0x1003).first(border), wanted.begin());
    std::ranges::copy(file_page(0x5005).first(page_size - border),
                      wanted.begin() + static_cast<std::ptrdiff_t>(border));
    EXPECT_TRUE(same_bytes(guest_page(page()), wanted)) << "after errors, with all reads well";
}

TEST_F(LoadPage, ReportsAnExhaustedAllocatorWhicheverFrameIsMissing) {
    add_loader(Loader::bytes_of(file(), 0, page(), page() + page_size));
    constexpr std::uint64_t too_many = 100;
    std::uint64_t failing = 1;
    for (; failing < too_many; ++failing) {
        kern::frames().fail_from(failing);
        const auto result = pager().load_page(page());
        if (result) break;  // it needs fewer frames than that
        EXPECT_TRUE(fails_with(result, Error::OutOfMemory)) << "allocation " << failing << " fails";
        expect_absent(page());
        EXPECT_EQ(guest_frames(), 0U)
            << "frames of guest memory after allocation " << failing << " failed";
    }
    kern::frames().fail_from(0);
    EXPECT_GT(failing, 1U) << "it has taken no frame";
    ASSERT_LT(failing, too_many) << "the page cannot be loaded any more after errors";
    EXPECT_TRUE(same_bytes(guest_page(page()), file_page(0)));
    EXPECT_EQ(guest_frames(), 1U);
}

}  // namespace
}  // namespace lab
