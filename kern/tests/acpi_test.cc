// SPDX-License-Identifier: MIT
#include "kern/boot/acpi.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "kern/tests/support/random.hh"

namespace kern::acpi {
namespace {

/// 1 MiB of memory with an RSDP in the BIOS area, an RSDT or XSDT, and a MADT of three CPUs, of
/// which one is disabled.
class Tables {
   public:
    static constexpr std::uint64_t rsdp = 0xe0010, root = 0x1000, other = 0x2000, madt = 0x3000;
    static constexpr std::uint32_t madt_size = 44 + 8 + 12 + 8 + 16;

    explicit Tables(bool extended) : bytes_(0x100000) {
        table(other, "FACP", 36);
        table(madt, "APIC", madt_size);
        put<std::uint64_t>(madt + 44, 0x0000'0001'0300'0800);  // local APIC 3, enabled
        put<std::uint16_t>(madt + 52, 12 << 8 | 1);            // an I/O APIC: of no concern
        put<std::uint64_t>(madt + 64, 0x0000'0000'0400'0800);  // local APIC 4, disabled
        put<std::uint16_t>(madt + 72, 16 << 8 | 9);            // local x2APIC 300, enabled
        put<std::uint32_t>(madt + 76, 300);
        put<std::uint32_t>(madt + 80, 1);
        seal(madt, madt_size, 9);
        seal(other, 36, 9);
        const unsigned pointer = extended ? 8 : 4;
        table(root, extended ? "XSDT" : "RSDT", 36 + 2 * pointer);
        put<std::uint32_t>(root + 36, other);
        put<std::uint32_t>(root + 36 + pointer, madt);
        seal(root, 36 + 2 * pointer, 9);
        text(rsdp, "RSD PTR ");
        put<std::uint8_t>(rsdp + 15, extended ? 2 : 0);
        if (extended)
            put<std::uint64_t>(rsdp + 24, root);
        else
            put<std::uint32_t>(rsdp + 16, root);
        seal(rsdp, 20, 8);
        if (extended) seal_second_part();
    }
    /// What a version 2 has behind the first 20 bytes: its length, and a checksum over all.
    void seal_second_part(std::uint32_t length = 36) {
        put(rsdp + 20, length);
        seal(rsdp, 36, 32);
    }

    template <class T>
    void put(std::uint64_t at, T value) {
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
    }
    /// Makes the bytes of [at, at + size) add up to 0 by the one at `checksum`.
    void seal(std::uint64_t at, std::uint64_t size, std::uint64_t checksum) {
        bytes_[at + checksum] = std::byte{0};
        unsigned sum = 0;
        for (std::uint64_t i = 0; i < size; ++i) sum += std::to_integer<unsigned>(bytes_[at + i]);
        bytes_[at + checksum] = static_cast<std::byte>(-sum);
    }
    std::span<const std::byte> view() const { return bytes_; }

   private:
    void text(std::uint64_t at, std::string_view text) {
        std::memcpy(bytes_.data() + at, text.data(), text.size());
    }
    void table(std::uint64_t at, std::string_view signature, std::uint32_t size) {
        text(at, signature);
        put(at + 4, size);
    }
    std::vector<std::byte> bytes_;
};

std::vector<std::uint32_t> ids(const Tables& tables) {
    const auto cpus = find_cpus(tables.view(), Hpa{Tables::rsdp});
    if (!cpus) return {};
    return {cpus->begin(), cpus->end()};
}

TEST(Acpi, EnabledCpusAreFoundThroughEitherRoot) {
    EXPECT_EQ(ids(Tables{false}), (std::vector<std::uint32_t>{3, 300}));
    EXPECT_EQ(ids(Tables{true}), (std::vector<std::uint32_t>{3, 300}));
}

TEST(Acpi, RootPointerIsSearchedInTheBiosArea) {
    Tables tables{true};
    EXPECT_EQ(find_rsdp(tables.view()), Hpa{Tables::rsdp});
    tables.put<std::uint8_t>(Tables::rsdp + 9, 77);  // its checksum is wrong now
    EXPECT_EQ(find_rsdp(tables.view()).error(), Error::NotFound);
    EXPECT_EQ(find_rsdp(tables.view().first(0xe0020)).error(), Error::NotFound);
}

TEST(Acpi, DamagedTablesAreErrors) {
    Tables tables{false};
    tables.put<std::uint8_t>(Tables::madt + 47, 99);
    EXPECT_EQ(find_cpus(tables.view(), Hpa{Tables::rsdp}).error(), Error::BadFormat) << "checksum";
    tables.put<std::uint8_t>(Tables::madt + 45, 0);
    tables.seal(Tables::madt, Tables::madt_size, 9);
    EXPECT_EQ(find_cpus(tables.view(), Hpa{Tables::rsdp}).error(), Error::BadFormat)
        << "a record of no length would be read for ever";
    tables.put<std::uint8_t>(Tables::madt + 45, 200);
    tables.seal(Tables::madt, Tables::madt_size, 9);
    EXPECT_EQ(find_cpus(tables.view(), Hpa{Tables::rsdp}).error(), Error::Truncated);
    tables.put<std::uint32_t>(Tables::madt + 4, 0xffff'ffff);
    EXPECT_FALSE(find_cpus(tables.view(), Hpa{Tables::rsdp}).has_value());
    EXPECT_EQ(find_cpus(tables.view(), Hpa{~0ULL - 3}).error(), Error::BadFormat)
        << "no root pointer";
    EXPECT_FALSE(find_cpus(tables.view().first(Tables::madt), Hpa{0}).has_value());
}

TEST(Acpi, WhatIsBehindAVersion1PointerIsNotLookedAt) {
    // A copy in a tag of 20 bytes may say "version 2"; then comes whatever the loader wrote next.
    Tables tables{false};
    tables.put<std::uint8_t>(Tables::rsdp + 15, 2);
    tables.seal(Tables::rsdp, 20, 8);
    tables.put<std::uint64_t>(Tables::rsdp + 24, 0x4000);
    EXPECT_EQ(ids(tables), (std::vector<std::uint32_t>{3, 300}));
    for (const std::uint32_t length : {0U, 20U, 35U, 0x10'0000U, ~0U}) {
        tables.seal_second_part(length);
        EXPECT_EQ(ids(tables), (std::vector<std::uint32_t>{3, 300})) << "length " << length;
    }
    tables.seal_second_part();
    EXPECT_EQ(find_cpus(tables.view(), Hpa{Tables::rsdp}).error(), Error::BadFormat)
        << "a whole version 2: its XSDT counts, and there is none";
}

TEST(Acpi, ACpuThatIsTwiceInTheTableIsOne) {
    Tables tables{false};
    tables.put<std::uint32_t>(Tables::madt + 76, 3);  // the x2APIC's is the local APIC's
    tables.seal(Tables::madt, Tables::madt_size, 9);
    EXPECT_EQ(ids(tables), (std::vector<std::uint32_t>{3}));
}

TEST(Acpi, PointersOutOfMemoryArePassedOver) {
    for (const bool extended : {false, true}) {
        Tables tables{extended};
        if (extended)
            tables.put<std::uint64_t>(Tables::root + 36, ~0ULL - 3);
        else
            tables.put<std::uint32_t>(Tables::root + 36, 0xffff'fff0);
        const unsigned size = 36 + 2 * (extended ? 8 : 4);
        tables.seal(Tables::root, size, 9);
        EXPECT_EQ(ids(tables), (std::vector<std::uint32_t>{3, 300}));
        // Half a pointer at the end of the table is none.
        tables.put<std::uint32_t>(Tables::root + 4, size - 1);
        tables.seal(Tables::root, size - 1, 9);
        EXPECT_EQ(find_cpus(tables.view(), Hpa{Tables::rsdp}).error(), Error::NotFound);
    }
}

TEST(Acpi, SurvivesAnyChange) {
    for (const bool extended : {false, true}) {
        kern::test::Random random{};
        for (int round = 0; round < 300; ++round) {
            Tables tables{extended};
            const std::uint64_t places[] = {Tables::rsdp, Tables::root, Tables::madt};
            for (int change = 0; change < 3; ++change)
                tables.put(places[random.between(0, 2)] + random.between(0, 80),
                           static_cast<std::uint8_t>(random.next()));
            // Behind right checksums, so that what is wrong is looked at.
            tables.seal(Tables::madt, Tables::madt_size, 9);
            tables.seal(Tables::root, 36 + 2 * (extended ? 8 : 4), 9);
            tables.seal(Tables::rsdp, 20, 8);
            tables.seal(Tables::rsdp, 36, 32);
            const auto cpus = find_cpus(tables.view(), Hpa{Tables::rsdp});
            if (cpus) {
                EXPECT_LE(cpus->size(), 64U);
            }
        }
    }
}

}  // namespace
}  // namespace kern::acpi
