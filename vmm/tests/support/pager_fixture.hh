// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/tests/support/results.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"
#include "vmm/tests/support/accounts.hh"
#include "vmm/tests/support/disk.hh"
#include "vmm/tests/support/image.hh"
#include "vmm/tests/support/walker.hh"

namespace vmm {
/// For kern::test::succeeds and fails_with.
inline kern::Error error_of(const Refusal& refusal) {
    return refusal.error;
}
/// Lets tests register loaders without the code under test.
struct PagerTestAccess {
    static LoaderMap& loaders(KernelVmPager& pager) { return pager.loaders_; }
};
}  // namespace vmm

namespace vmm::test {

using kern::Error;
using kern::test::fails_with;
using kern::test::hex;
using kern::test::succeeds;
using vmm::Gpa;
using vmm::Loader;

/// Whether two pages are the same; says the first byte that is not.
inline ::testing::AssertionResult same_bytes(std::span<const std::byte> seen,
                                             std::span<const std::byte> wanted) {
    if (seen.size() != wanted.size())
        return ::testing::AssertionFailure() << "there is no page whose bytes could be compared";
    const auto [s, w] = std::ranges::mismatch(seen, wanted);
    if (s == seen.end()) return ::testing::AssertionSuccess();
    const auto at = s - seen.begin();
    std::size_t different = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) different += seen[i] != wanted[i] ? 1 : 0;
    return ::testing::AssertionFailure()
           << "byte " << at << " of the page is " << hex(std::to_integer<unsigned>(*s))
           << ", wanted is " << hex(std::to_integer<unsigned>(*w)) << " (" << different
           << " bytes differ)";
}

/// A fake machine of 4 CPUs, a disk with one file and a pager over it. At the end of each case the
/// pager is destroyed, and every frame must be back.
class PagerTest : public ::testing::Test {
   protected:
    static constexpr std::size_t arena_bytes = 16 << 20;

    void SetUp() override {
        kern::arch::fake::reset({.arena_bytes = arena_bytes, .cpus = 5});
        before_ = kern::frames().accounts();
    }

    void TearDown() override {
        kern::frames().fail_from(0);
        pager_.reset();
        expect_same_accounts(before_);
    }

    /// Puts `contents` on the disk as the file `kernel`.
    kern::File put_file(Bytes contents) {
        contents_ = std::move(contents);
        disk_ = std::make_unique<TestDisk>(contents_);
        return disk_->open();
    }
    TestDisk& disk() { return *disk_; }
    const Bytes& contents() const { return contents_; }

    /// An empty pager.
    vmm::KernelVmPager& make_pager(const vmm::EntryFormat& format = vmm::npt_format) {
        pager_ = *vmm::KernelVmPager::create(format);
        return *pager_;
    }
    void destroy_pager() { pager_.reset(); }
    vmm::KernelVmPager& pager() { return *pager_; }
    vmm::LoaderMap& loaders() { return vmm::PagerTestAccess::loaders(*pager_); }
    /// Registers what the task load_phdr would, without its help.
    void add_loader(const Loader& loader) { ASSERT_TRUE(succeeds(loaders().add(loader))); }

    /// What the registered loaders say that the page holds.
    Bytes page_by_loaders(Gpa page) {
        Bytes bytes(kern::page_size);
        for (const Loader& loader : loaders().on_page(page)) {
            const auto filled = loader.fill(
                page, std::span<std::byte, kern::page_size>{bytes.data(), kern::page_size});
            EXPECT_TRUE(succeeds(filled)) << "a loader of page " << hex(page.value());
        }
        return bytes;
    }

    TableInMemory table_in_memory() {
        return {.root = pager_->table().root().value(),
                .is_ept = &pager_->table().format() == &vmm::ept_format};
    }
    /// What the processor would find at `gpa`.
    std::optional<WalkedPage> walk(Gpa gpa) {
        return walk_in_memory(table_in_memory(), gpa.value());
    }
    /// The bytes that the guest sees in the page at `gpa`, which must be present.
    std::span<std::byte> guest_page(Gpa gpa) {
        const auto page = walk(gpa);
        if (!page) {
            ADD_FAILURE() << "the page at " << hex(gpa.value()) << " is not present";
            return {};
        }
        return {kern::arch::direct_map(kern::Hpa{page->hpa}), kern::page_size};
    }

    /// Frames in use as guest memory since the case began.
    std::uint64_t guest_frames() const {
        const auto owner = vmm::frame_owner::guest_memory.index;
        return kern::frames().accounts()[owner] - before_[owner];
    }

    Random& random() { return random_; }

   private:
    Random random_{};
    Bytes contents_;
    std::unique_ptr<TestDisk> disk_;
    std::unique_ptr<vmm::KernelVmPager> pager_;
    kern::FrameAccounts before_{};
};

}  // namespace vmm::test
