// SPDX-License-Identifier: MIT
// Task lab4.msr_permissions. Where a bit belongs is worked out here from the manuals' words alone.
#include <algorithm>
#include <optional>
#include <string>

#include "labs/unit_fixture.hh"
#include "vmm/exits/msr_permissions.hh"

namespace lab {
namespace {

using vmm::MsrExits;

/// Where a map has the bit of an access, counted from its first byte's lowest bit.
std::optional<std::size_t> amd_bit(std::uint32_t msr, bool write) {
    const std::size_t offset = 2 * (msr & 0x1fff) + (write ? 1 : 0);
    switch (msr & ~0x1fffU) {
        case 0: return offset;
        case 0xc000'0000: return 0x800 * 8 + offset;
        case 0xc001'0000: return 0x1000 * 8 + offset;
        default: return std::nullopt;
    }
}
std::optional<std::size_t> intel_bit(std::uint32_t msr, bool write) {
    const std::size_t offset = (msr & 0x1fff) + (write ? 0x800 * 8 : 0);
    switch (msr & ~0x1fffU) {
        case 0: return offset;
        case 0xc000'0000: return 0x400 * 8 + offset;
        default: return std::nullopt;
    }
}

/// A map that no processor has: large, and with the bits of an MSR far from those of the next one.
constexpr vmm::MsrRange of_nobody[]{
    {.first = 0x4000'0000, .read_bit = 70'001, .write_bit = 70'150}};
constexpr vmm::MsrMapFormat format_of_nobody{
    .name = "nobody", .bytes = 320'000, .ranges = of_nobody, .step = 300};
std::optional<std::size_t> bit_of_nobody(std::uint32_t msr, bool write) {
    return (write ? 70'150 : 70'001) + std::size_t{300} * (msr - 0x4000'0000);
}

struct Vendor {
    const char* name;
    const vmm::MsrMapFormat& format;
    std::optional<std::size_t> (*bit_of)(std::uint32_t msr, bool write);
};
const Vendor amd{"AMD", vmm::svm_msr_map, amd_bit};
const Vendor intel{"Intel", vmm::vmx_msr_map, intel_bit};
const Vendor nobody{"a format that no processor has", format_of_nobody, bit_of_nobody};

std::string in_words(const Vendor& vendor, std::uint32_t msr, MsrExits exits) {
    return std::string{vendor.name} + ", MSR " + hex(msr) + ", RDMSR " +
           (exits.read ? "exits" : "does not exit") + ", WRMSR " +
           (exits.write ? "exits" : "does not exit");
}

bool bit_at(const Bytes& map, std::size_t bit) {
    return (map[bit / 8] >> (bit % 8) & std::byte{1}) != std::byte{};
}
void set_bit(Bytes& wanted, std::size_t number, bool one) {
    if (bit_at(wanted, number) != one) wanted[number / 8] ^= std::byte(1U << number % 8);
}

/// A map with any contents.
Bytes any_map(const Vendor& vendor) {
    Bytes map(vendor.format.bytes);
    for (std::byte& byte : map) byte = std::byte(random().next());
    return map;
}

class MsrPermissions : public ::testing::Test {
   protected:
    /// Asks for `exits`, and looks at the two bits of the MSR.
    static void expect_bits(const Vendor& vendor, std::uint32_t msr, MsrExits exits) {
        Bytes map = any_map(vendor);
        const std::size_t read = *vendor.bit_of(msr, false);
        const std::size_t write = *vendor.bit_of(msr, true);
        set_bit(map, read, !exits.read);
        set_bit(map, write, !exits.write);
        ASSERT_TRUE(succeeds(msr_permissions(vendor.format, map, msr, exits)))
            << in_words(vendor, msr, exits);
        EXPECT_EQ(bit_at(map, read), exits.read)
            << "the bit of RDMSR: bit " << read % 8 << " of byte " << hex(read / 8) << "; "
            << in_words(vendor, msr, exits);
        EXPECT_EQ(bit_at(map, write), exits.write)
            << "the bit of WRMSR: bit " << write % 8 << " of byte " << hex(write / 8) << "; "
            << in_words(vendor, msr, exits);
    }
    /// Asks for `exits`, and looks at all other bits of the map.
    static void expect_others_kept(const Vendor& vendor, std::uint32_t msr, MsrExits exits) {
        const Bytes before = any_map(vendor);
        Bytes map = before;
        ASSERT_TRUE(succeeds(msr_permissions(vendor.format, map, msr, exits)));
        for (std::size_t bit = 0; bit < 8 * map.size(); ++bit) {
            if (bit == *vendor.bit_of(msr, false) || bit == *vendor.bit_of(msr, true)) continue;
            ASSERT_EQ(bit_at(map, bit), bit_at(before, bit))
                << "bit " << bit % 8 << " of byte " << hex(bit / 8) << " is another MSR's; "
                << in_words(vendor, msr, exits);
        }
        expect_bits(vendor, msr, exits);
    }
    static std::uint32_t any_index() {
        return static_cast<std::uint32_t>(random().between(0x100, 0x1ff0));
    }
};

constexpr MsrExits none{.read = false, .write = false};
constexpr MsrExits both{.read = true, .write = true};

TEST_F(MsrPermissions, LetsAnMsrThrough) {
    for (const Vendor* vendor : {&amd, &intel}) expect_bits(*vendor, any_index(), none);
}

TEST_F(MsrPermissions, MakesAnMsrExit) {
    for (const Vendor* vendor : {&amd, &intel}) expect_bits(*vendor, any_index(), both);
}

TEST_F(MsrPermissions, TellsReadsFromWrites) {
    for (const Vendor* vendor : {&amd, &intel}) {
        expect_bits(*vendor, any_index(), {.read = true, .write = false});
        expect_bits(*vendor, any_index(), {.read = false, .write = true});
    }
}

TEST_F(MsrPermissions, ServesEachRangeOfAmd) {
    for (const std::uint32_t first : {0xc000'0000U, 0xc001'0000U})
        for (const MsrExits exits : {none, both}) expect_bits(amd, first + any_index(), exits);
}

TEST_F(MsrPermissions, ServesEachBitmapOfIntel) {
    for (const MsrExits exits : {none, both}) expect_bits(intel, 0xc000'0000U + any_index(), exits);
}

TEST_F(MsrPermissions, ServesTheFirstAndTheLastOfARange) {
    for (const Vendor* vendor : {&amd, &intel})
        for (const std::uint32_t msr : {0U, 0x1fffU, 0xc000'0000U, 0xc000'1fffU})
            for (const MsrExits exits : {none, both}) expect_bits(*vendor, msr, exits);
    for (const std::uint32_t msr : {0xc001'0000U, 0xc001'1fffU})
        for (const MsrExits exits : {none, both}) expect_bits(amd, msr, exits);
}

TEST_F(MsrPermissions, FollowsAnyFormat) {
    for (const std::uint32_t index : {0U, any_index(), 0x1fffU})
        for (const MsrExits exits : {none, both}) expect_bits(nobody, 0x4000'0000 + index, exits);
    expect_others_kept(nobody, 0x4000'0000 + any_index(), {.read = false, .write = true});
}

TEST_F(MsrPermissions, LeavesOtherMsrsAlone) {
    for (const Vendor* vendor : {&amd, &intel})
        for (const MsrExits exits : {none, both, MsrExits{.read = true, .write = false}})
            for (const std::uint32_t first : {0U, 0xc000'0000U})
                expect_others_kept(*vendor, first + any_index(), exits);
}

TEST_F(MsrPermissions, OutsideTheMapIsOutOfRange) {
    struct Outside {
        const Vendor* vendor;
        std::uint32_t msr;
    };
    for (const auto& [vendor, msr] :
         {Outside{&amd, 0x4b56'4d00}, Outside{&intel, 0x4b56'4d00}, Outside{&intel, 0xc001'0117},
          Outside{&amd, 0x8000'0080}, Outside{&intel, 0x8000'0080}})
        for (const MsrExits exits : {none, both}) {
            const Bytes before = any_map(*vendor);
            Bytes map = before;
            EXPECT_TRUE(
                fails_with(msr_permissions(vendor->format, map, msr, exits), Error::OutOfRange))
                << in_words(*vendor, msr, exits);
            EXPECT_TRUE(map == before) << "the map has changed; " << in_words(*vendor, msr, exits);
        }
}

TEST_F(MsrPermissions, RightBehindARangeIsOutOfRange) {
    for (const Vendor* vendor : {&amd, &intel})
        for (const std::uint32_t msr : {0x2000U, 0xc000'2000U, 0xbfff'ffffU, 0xffff'ffffU}) {
            Bytes map = any_map(*vendor);
            EXPECT_TRUE(
                fails_with(msr_permissions(vendor->format, map, msr, none), Error::OutOfRange))
                << in_words(*vendor, msr, none);
        }
    Bytes map = any_map(amd);
    EXPECT_TRUE(fails_with(msr_permissions(amd.format, map, 0xc001'2000, none), Error::OutOfRange));
}

}  // namespace
}  // namespace lab
