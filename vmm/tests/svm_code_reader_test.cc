// SPDX-License-Identifier: MIT
#include "vmm/svm/code_reader.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <map>

#include "kern/arch/arch.hh"
#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/svm/exits.hh"
#include "vmm/svm/start_state.hh"

namespace vmm::svm {
namespace {

/// Guest-physical pages, each a frame.
class Pages final : public GuestMemory {
   public:
    Hpa table_root() const override { return {}; }
    std::expected<void, Error> serve_fault(const exit::NestedPageFault&) override {
        return std::unexpected{Error::Unsupported};
    }
    std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const override {
        ++translations;
        const auto found = frames.find(gpa.page().value());
        if (found == frames.end()) return std::unexpected{Error::NotFound};
        return found->second.address() + gpa.page_offset();
    }
    bool is_writable(Gpa gpa) const override { return gpa2hpa(gpa).has_value(); }
    void set_shootdown(Shootdown, void*) override {}

    void make(std::uint64_t page) {
        auto frame = kern::Frame::allocate(frame_owner::guest_memory);
        ASSERT_TRUE(frame.has_value());
        frames.erase(page);
        frames.emplace(page, std::move(*frame));
    }
    std::byte* at(std::uint64_t gpa) {
        return kern::arch::direct_map(frames.at(Gpa{gpa}.page().value()).address()) +
               Gpa{gpa}.page_offset();
    }
    void write(std::uint64_t gpa, std::initializer_list<int> bytes) {
        for (const int byte : bytes) *at(gpa++) = static_cast<std::byte>(byte);
    }
    void write_entry(std::uint64_t gpa, std::uint64_t entry) {
        std::memcpy(at(gpa), &entry, sizeof(entry));
    }

    std::map<std::uint64_t, kern::Frame> frames;
    mutable unsigned translations = 0;
};

class SvmCodeReader : public testing::Test {
   protected:
    void SetUp() override {
        kern::arch::fake::reset();
        set_protected_mode(save, Gpa{0x1000});
        for (const std::uint64_t page : {0x1000, 0x2000}) memory.make(page);
    }
    /// 64-bit mode; 0x7fff_c0de_0000 is what the lowest of four tables says, at first 0x1000.
    void map() {
        save.cr0 |= cr0::paging;
        save.cr4 |= 1U << 5;
        save.cr3 = 0xa000;
        save.efer |= efer::long_mode_enable | efer::long_mode_active;
        save.cs.attributes |= segment::long_mode;
        for (const std::uint64_t page : {0xa000, 0xb000, 0xc000, 0xd000}) memory.make(page);
        memory.write_entry(0xa000 + 8 * 0x0ff, 0xb001);
        memory.write_entry(0xb000 + 8 * 0x1ff, 0xc001);
        memory.write_entry(0xc000 + 8 * 0x006, 0xd001);
        memory.write_entry(entry, 0x1001);
    }
    unsigned length(std::uint64_t rip, std::uint64_t code = exit_code::cpuid) {
        const auto found = reader.read(save, rip, code, 0);
        return found ? found->length : 0;
    }
    static constexpr std::uint64_t mapped = 0x7fff'c0de'0000;
    static constexpr std::uint64_t entry = 0xd000 + 8 * 0x1e0;
    Pages memory;
    SaveArea save{};
    CodeReader reader{memory};
};

TEST_F(SvmCodeReader, AddsTheSegmentsBaseBelow64Bits) {
    memory.write(0x1234, {0x66, 0x0f, 0xa2});
    EXPECT_EQ(length(0x1234), 3U);
    save.cs.base = 0xffff'ffff'ffff'f000;
    EXPECT_EQ(length(0x2234), 3U) << "modulo 4 GiB";
    EXPECT_EQ(length(0x1234), 0U) << "not in memory";
}

TEST_F(SvmCodeReader, AnInstructionMayCrossAPage) {
    memory.write(0x1ffe, {0x66, 0x66, 0x0f, 0xa2});
    EXPECT_EQ(length(0x1ffe), 4U);
    memory.frames.erase(0x2000);
    EXPECT_EQ(length(0x1ffe), 0U);
    memory.write(0x1ffe, {0x0f, 0xa2});
    EXPECT_EQ(length(0x1ffe), 2U) << "the next page is not needed";
}

TEST_F(SvmCodeReader, WalksOnceForTheSamePage) {
    map();
    memory.write(0x1010, {0x0f, 0xa2});
    memory.write(0x1020, {0xf4});
    EXPECT_EQ(length(mapped + 0x10), 2U);
    const unsigned before = memory.translations;
    EXPECT_EQ(length(mapped + 0x10), 2U);
    EXPECT_EQ(length(mapped + 0x20, exit_code::hlt), 1U);
    EXPECT_EQ(memory.translations, before);
}

TEST_F(SvmCodeReader, SeesOtherBytes) {
    memory.write(0x1010, {0x0f, 0xa2});
    EXPECT_EQ(length(0x1010), 2U);
    memory.write(0x1010, {0x66, 0x0f, 0xa2});
    EXPECT_EQ(length(0x1010), 3U);
    memory.write(0x1010, {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66});
    EXPECT_EQ(length(0x1010), 0U);
    memory.write(0x1018, {0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0xa2});
    EXPECT_EQ(length(0x1010), 15U);
    EXPECT_EQ(length(0x1010, exit_code::hlt), 0U) << "another exit";
}

TEST_F(SvmCodeReader, SeesWhatTheGuestMaps) {
    map();
    memory.write(0x1010, {0x0f, 0xa2});
    memory.write(0x2010, {0x66, 0x0f, 0xa2});
    EXPECT_EQ(length(mapped + 0x10), 2U);
    memory.write_entry(entry, 0x2001);  // and no exit says so
    EXPECT_EQ(length(mapped + 0x10), 3U);
    memory.write_entry(entry, 0);
    EXPECT_EQ(length(mapped + 0x10), 0U);
    memory.write_entry(entry, 0x2001);
    EXPECT_EQ(length(mapped + 0x10), 3U);
    save.cr3 = 0xb000;
    EXPECT_EQ(length(mapped + 0x10), 0U) << "another address space";
}

TEST_F(SvmCodeReader, SeesWhatTheHostMaps) {
    memory.write(0x1010, {0x0f, 0xa2});
    EXPECT_EQ(length(0x1010), 2U);
    memory.make(0x1000);
    memory.write(0x1010, {0x66, 0x0f, 0xa2});
    reader.forget();
    EXPECT_EQ(length(0x1010), 3U);
}

}  // namespace
}  // namespace vmm::svm
