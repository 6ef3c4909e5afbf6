// SPDX-License-Identifier: MIT
// gva2hpa: walks of page tables that the test writes into the guest's memory.
#include <cstring>

#include "vmm/tests/support/pager_fixture.hh"
#include "vmm/x86.hh"

namespace vmm::test {
namespace {

constexpr std::uint64_t cr0_paging = cr0::paging | cr0::protection_enable;
constexpr std::uint64_t pse = 0x10;
constexpr std::uint64_t pae = 0x20;
constexpr std::uint64_t la57 = 0x1000;
constexpr std::uint64_t long_mode_active = 0x400;
constexpr std::uint64_t present = 1;
constexpr std::uint64_t large = 0x80;

class PagerProbe : public PagerTest {
   protected:
    void SetUp() override {
        PagerTest::SetUp();
        make_pager();
        add_loader(Loader::zeros(Gpa{0}, Gpa{0x1'0000'0000 - 0x1000'0000}));
        add_loader(Loader::zeros(Gpa{0x1'0000'0000}, Gpa{0x20'0000'0000}));
    }
    /// Writes into the guest's memory, which becomes present.
    template <class T>
    void write(std::uint64_t gpa, T value) {
        touch(gpa);
        std::memcpy(guest_page(Gpa{gpa}.page()).data() + Gpa{gpa}.page_offset(), &value,
                    sizeof value);
    }
    void touch(std::uint64_t gpa) { ASSERT_TRUE(succeeds(pager().load_page(Gpa{gpa}.page()))); }
    void expect_at(std::uint64_t gva, const KernelVmPager::GuestPaging& paging, std::uint64_t gpa) {
        touch(gpa);
        const auto seen = pager().gva2hpa(Gva{gva}, paging);
        ASSERT_TRUE(succeeds(seen)) << hex(gva);
        EXPECT_EQ(*seen, *pager().gpa2hpa(Gpa{gpa})) << hex(gva);
    }
};

TEST_F(PagerProbe, WithoutPagingAddressesAreTheSame) {
    const KernelVmPager::GuestPaging paging{.cr0 = 1};
    expect_at(0x1234, paging, 0x1234);
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0x5000}, paging), Error::NotFound))
        << "not present in the second-level table";
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0x1'0000'0000}, paging), Error::OutOfRange));
}

TEST_F(PagerProbe, TwoLevelsOf32BitEntries) {
    const KernelVmPager::GuestPaging plain{.cr0 = cr0_paging, .cr3 = 0x1000};
    const KernelVmPager::GuestPaging with_pse{.cr0 = cr0_paging, .cr3 = 0x1000, .cr4 = pse};
    write<std::uint32_t>(0x1000 + 0x300 * 4, 0x2000 | present);  // 0xc0000000
    write<std::uint32_t>(0x2000 + 0x005 * 4, 0x7000 | present);  // 0xc0005000
    expect_at(0xc000'5123, plain, 0x7123);
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0xc000'6000}, plain), Error::NotFound));
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0x1000'0000}, plain), Error::NotFound));
    // 4 MiB at 0x00400000, and with PSE-36 at 0x1_00800000
    write<std::uint32_t>(0x1000 + 0x301 * 4, 0x0040'0000 | large | present);
    write<std::uint32_t>(0x1000 + 0x302 * 4, 0x0080'0000 | 1 << 13 | large | present);
    expect_at(0xc046'789a, with_pse, 0x46'789a);
    expect_at(0xc081'2345, with_pse, 0x1'0081'2345);
}

TEST_F(PagerProbe, ThreeLevelsOfPae) {
    const KernelVmPager::GuestPaging paging{.cr0 = cr0_paging, .cr3 = 0x1020, .cr4 = pae};
    write<std::uint64_t>(0x1020 + 3 * 8, 0x2000 | present);  // 0xc0000000
    write<std::uint64_t>(0x2000 + 1 * 8, 0x3000 | present);  // 0xc0200000
    write<std::uint64_t>(0x3000 + 5 * 8, 0x1'0000'7000 | present | 1ULL << 63);
    expect_at(0xc020'5678, paging, 0x1'0000'7678);
    write<std::uint64_t>(0x2000 + 2 * 8, 0x60'0000 | large | present);
    expect_at(0xc041'2345, paging, 0x61'2345);
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0x8000'0000}, paging), Error::NotFound));
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0x1'c020'5678}, paging), Error::OutOfRange));
}

TEST_F(PagerProbe, FourLevelsWithLargePages) {
    const KernelVmPager::GuestPaging paging{
        .cr0 = cr0_paging, .cr3 = 0x1018, .cr4 = pae, .efer = long_mode_active};
    write<std::uint64_t>(0x1000 + 511 * 8, 0x2000 | present);
    write<std::uint64_t>(0x2000 + 510 * 8, 0x3000 | present);  // 0xffffffff80000000
    write<std::uint64_t>(0x3000 + 1 * 8, 0x4000 | present);
    write<std::uint64_t>(0x4000 + 7 * 8, 0x9000 | present | 1ULL << 63);
    expect_at(0xffff'ffff'8020'7abc, paging, 0x9abc);
    write<std::uint64_t>(0x3000 + 2 * 8, 0xa0'0000 | large | present | 1 << 12);  // PAT
    expect_at(0xffff'ffff'8041'2345, paging, 0xa1'2345);
    write<std::uint64_t>(0x2000 + 511 * 8, 0x1'4000'0000 | large | present);
    expect_at(0xffff'ffff'c123'4567, paging, 0x1'4123'4567);
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0x8000'0000'0000}, paging), Error::OutOfRange));
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0x1000}, paging), Error::NotFound));
}

TEST_F(PagerProbe, TablesOutsideMemoryAreNotFound) {
    KernelVmPager::GuestPaging paging{
        .cr0 = cr0_paging, .cr3 = 0x80'0000, .cr4 = pae, .efer = long_mode_active};
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0}, paging), Error::NotFound)) << "not yet loaded";
    paging.cr3 = guest_physical_end * 2;
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0}, paging), Error::NotFound)) << "beyond 2^40";
    paging.cr4 |= la57;
    EXPECT_TRUE(fails_with(pager().gva2hpa(Gva{0}, paging), Error::Unsupported));
}

}  // namespace
}  // namespace vmm::test
