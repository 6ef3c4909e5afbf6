// SPDX-License-Identifier: MIT
#include "kern/boot/boot_info.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "kern/tests/support/random.hh"

namespace kern {
namespace {

/// Physical memory in which a test writes what a boot loader would.
class Memory {
   public:
    template <class T>
    void put(std::uint64_t at, T value) {
        if (at + sizeof(T) > bytes_.size()) bytes_.resize(at + sizeof(T));
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
    }
    void text(std::uint64_t at, std::string_view text) {
        for (const char character : text) put(at++, character);
        put(at, '\0');
    }
    std::span<const std::byte> view() const { return bytes_; }
    std::span<const std::byte> cut(std::size_t size) const { return view().first(size); }
    std::size_t size() const { return bytes_.size(); }

   private:
    std::vector<std::byte> bytes_;
};

constexpr Hpa info{0x100};

std::vector<MemoryRange> list(const auto& ranges) {
    return {ranges.begin(), ranges.end()};
}
MemoryRange range(std::uint64_t begin, std::uint64_t end) {
    return {Hpa{begin}, Hpa{end}};
}

/// Writes a multiboot2 structure at `info`, tag by tag.
class Structure {
   public:
    /// Appends a tag's header, with room for its `size` bytes; where its body goes.
    std::uint64_t tag(std::uint32_t type, std::uint32_t size) {
        memory.put(at_, type);
        memory.put(at_ + 4, size);
        const std::uint64_t body = at_ + 8;
        at_ = align_up(at_ + std::max(size, 8U), 8);
        return body;
    }
    /// Appends a memory map whose entries are `entry_size` bytes long, and full of ones behind what
    /// is known of them.
    void map(const std::vector<std::array<std::uint64_t, 3>>& entries, std::uint32_t entry_size) {
        const auto bytes = static_cast<std::uint32_t>(16 + entries.size() * entry_size);
        const std::uint64_t body = tag(6, bytes);
        for (std::uint64_t i = 8; i < bytes - 8; ++i) memory.put<std::uint8_t>(body + i, 0xff);
        memory.put(body, entry_size);
        memory.put<std::uint32_t>(body + 4, 0);
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const std::uint64_t entry = body + 8 + i * entry_size;
            memory.put(entry, entries[i][0]);
            memory.put(entry + 8, entries[i][1]);
            memory.put(entry + 16, static_cast<std::uint32_t>(entries[i][2]));
        }
    }
    /// The structure, ended by a tag of type 0, or by its size alone.
    const Memory& finish(bool end_tag = true) {
        if (end_tag) tag(0, 8);
        memory.put<std::uint32_t>(at_ - 4, 8);  // the end tag's size; at least all bytes are there
        memory.put(info.value(), static_cast<std::uint32_t>(at_ - info.value()));
        return memory;
    }

    Memory memory{};

   private:
    std::uint64_t at_ = info.value() + 8;
};

constexpr std::uint32_t usable = 1, acpi_tables = 3;

/// A structure with a command line, a module, an unknown tag, a map of three entries of 32 bytes
/// (more than the 24 that this kernel knows), and a copy of an RSDP.
Memory multiboot2() {
    Structure structure;
    Memory& memory = structure.memory;
    memory.text(structure.tag(1, 8 + 12), "hello world");
    const std::uint64_t body = structure.tag(3, 16 + 5);
    memory.put<std::uint32_t>(body, 0x5000);
    memory.put<std::uint32_t>(body + 4, 0x6001);
    memory.text(body + 8, "disk");
    structure.tag(4242, 8 + 3);
    structure.map({{0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0x100000, 0x700000, 1}}, 32);
    memory.text(structure.tag(14, 8 + 20), "RSD PTR ");
    return structure.finish();
}

TEST(Multiboot2, EverythingIsRead) {
    const Memory memory = multiboot2();
    const auto boot = parse_multiboot2(memory.view(), info);
    ASSERT_TRUE(boot.has_value());
    EXPECT_EQ(boot->command_line.view(), "hello world");
    ASSERT_EQ(boot->modules.size(), 1u);
    EXPECT_EQ(boot->modules[0].range, range(0x5000, 0x6001));
    EXPECT_EQ(boot->modules[0].text.view(), "disk");
    EXPECT_EQ(list(boot->usable), (std::vector{range(0, 0x9fc00), range(0x100000, 0x800000)}));
    ASSERT_EQ(boot->reserved.size(), 2u);  // the structure itself, and one entry
    EXPECT_EQ(boot->reserved[0].begin, info);
    EXPECT_EQ(boot->reserved[1], range(0x9fc00, 0xa0000));
    EXPECT_EQ(std::memcmp(memory.view().data() + boot->rsdp.value(), "RSD PTR ", 8), 0);
}

TEST(Multiboot2, CutAnywhereIsAnError) {
    const Memory memory = multiboot2();
    std::uint32_t total = 0;
    std::memcpy(&total, memory.view().data() + info.value(), sizeof(total));
    for (std::size_t size = 0; size < info.value() + total; ++size)
        EXPECT_FALSE(parse_multiboot2(memory.cut(size), info).has_value()) << "cut to " << size;
    // The same with a header that tells of the shorter size: the end tag is missing.
    for (std::uint32_t size = 0; size < total; ++size) {
        Memory shorter = memory;
        shorter.put(info.value(), size);
        EXPECT_FALSE(parse_multiboot2(shorter.view(), info).has_value()) << "total_size " << size;
    }
}

TEST(Multiboot2, ContradictionsAreErrors) {
    const auto with = [](std::uint64_t at, std::uint32_t value) {
        Memory memory = multiboot2();
        memory.put(info.value() + at, value);
        return parse_multiboot2(memory.view(), info);
    };
    EXPECT_EQ(with(8 + 4, 0).error(), Error::BadFormat)
        << "a tag of no size would be read for ever";
    EXPECT_EQ(with(8 + 4, 7).error(), Error::BadFormat);
    EXPECT_EQ(with(8 + 4, 0xffff'ffff).error(), Error::Truncated);
    EXPECT_EQ(with(8 + 24 + 8, 0x7000).error(), Error::BadFormat)
        << "a module that ends before it begins";
}

TEST(Multiboot2, MapEntriesOfNoSizeAreAnError) {
    Memory memory = multiboot2();
    // The map's tag follows command line (24 bytes), module (24) and the unknown tag (16).
    const std::uint64_t map = info.value() + 8 + 24 + 24 + 16;
    memory.put<std::uint32_t>(map + 8, 0);
    EXPECT_EQ(parse_multiboot2(memory.view(), info).error(), Error::BadFormat);
    memory.put<std::uint32_t>(map + 8, 8);
    EXPECT_EQ(parse_multiboot2(memory.view(), info).error(), Error::BadFormat);
}

TEST(Multiboot2, MapEntriesMayBeLonger) {
    for (const std::uint32_t entry_size : {24U, 32U, 40U, 48U, 4096U}) {
        Structure structure;
        structure.map({{0x100000, 0x700000, usable}, {0x200000, 0x1000, acpi_tables}}, entry_size);
        const auto boot = parse_multiboot2(structure.finish().view(), info);
        ASSERT_TRUE(boot.has_value()) << "entries of " << entry_size << " bytes";
        EXPECT_EQ(list(boot->usable), (std::vector{range(0x100000, 0x800000)}));
        ASSERT_EQ(boot->reserved.size(), 2u);
        EXPECT_EQ(boot->reserved[1], range(0x200000, 0x201000));
    }
}

TEST(Multiboot2, HalfAnRsdpIsNone) {
    for (const std::uint32_t bytes : {0U, 1U, 2U, 10U, 19U, 20U, 35U, 36U, 100U})
        for (const std::uint32_t type : {14U, 15U}) {
            Structure structure;
            structure.map({{0x100000, 0x700000, usable}}, 24);
            const std::uint64_t body = structure.tag(type, 8 + bytes);
            const auto boot = parse_multiboot2(structure.finish().view(), info);
            ASSERT_TRUE(boot.has_value());
            EXPECT_EQ(boot->rsdp, bytes >= (type == 14 ? 20U : 36U) ? Hpa{body} : Hpa{})
                << "type " << type << ", " << bytes << " bytes";
        }
}

TEST(Multiboot2, AStructureWithoutItsEndIsRefused) {
    Structure structure;
    structure.map({{0x100000, 0x700000, usable}}, 24);
    EXPECT_EQ(parse_multiboot2(structure.finish(false).view(), info).error(), Error::Truncated);
    // The total says less than the tags need: the last one leaves the structure.
    Memory memory = multiboot2();
    for (std::uint32_t total = 0; total < 8 + 8; ++total) {
        memory.put(info.value(), total);
        EXPECT_EQ(parse_multiboot2(memory.view(), info).error(), Error::Truncated) << total;
    }
}

TEST(Multiboot2, SurvivesAnyChange) {
    const Memory whole = multiboot2();
    kern::test::Random random{};
    for (int round = 0; round < 20'000; ++round) {
        Memory memory = whole;
        for (int change = 0; change < 3; ++change)
            memory.put(random.between(info.value(), whole.size() - 1),
                       static_cast<std::uint8_t>(random.next()));
        const auto boot = parse_multiboot2(memory.view(), info);
        if (boot) (void)free_memory(*boot, {});
    }
}

/// One usable GiB with 80 reserved ranges in it: two pages in each 3 MiB, and a bit.
std::vector<std::array<std::uint64_t, 3>> long_map() {
    std::vector<std::array<std::uint64_t, 3>> entries{{0x4000'0000, 0x4000'0000, usable}};
    for (std::uint64_t i = 0; i < 80; ++i)
        entries.push_back({0x4000'0000 + i * 0x30'0000 + 0x10'0000, 0x2100, acpi_tables});
    return entries;
}

/// Whether no byte is free that `entries` reserve, and little else is lost.
void expect_reserved_is_not_free(const BootInfo& boot,
                                 const std::vector<std::array<std::uint64_t, 3>>& entries) {
    EXPECT_GT(boot.reserved.rounded(), 0u);
    std::uint64_t free_bytes = 0;
    for (const MemoryRange& free : free_memory(boot, {})) {
        free_bytes += free.size();
        for (const auto& [address, length, type] : entries)
            EXPECT_TRUE(type == usable || free.end.value() <= address ||
                        address + length <= free.begin.value())
                << std::hex << "free is " << free.begin.value() << " to " << free.end.value()
                << ", reserved is " << address;
    }
    EXPECT_GT(free_bytes, 0x4000'0000u - 80 * 0x3000 - 20 * 0x30'0000) << "too much is not used";
}

TEST(Multiboot2, NoReservedRangeOfALongMapIsFree) {
    Structure structure;
    structure.map(long_map(), 24);
    const auto boot = parse_multiboot2(structure.finish().view(), info);
    ASSERT_TRUE(boot.has_value());
    expect_reserved_is_not_free(*boot, long_map());
}

/// The same facts as multiboot2() tells.
Memory pvh() {
    Memory memory;
    memory.text(0x200, "hello world");
    memory.text(0x220, "disk");
    memory.put<std::uint64_t>(0x300, 0x5000);
    memory.put<std::uint64_t>(0x308, 0x1001);
    memory.put<std::uint64_t>(0x310, 0x220);
    memory.put<std::uint64_t>(0x318, 0);
    const std::uint64_t entries[3][3] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0x100000, 0x700000, 1}};
    for (unsigned i = 0; i < 3; ++i)
        for (unsigned j = 0; j < 3; ++j) memory.put(0x400 + i * 24 + j * 8, entries[i][j]);
    const std::uint64_t at = info.value();
    memory.put(at, pvh_magic);
    memory.put<std::uint32_t>(at + 4, 1);
    memory.put<std::uint32_t>(at + 12, 1);
    memory.put<std::uint64_t>(at + 16, 0x300);
    memory.put<std::uint64_t>(at + 24, 0x200);
    memory.put<std::uint64_t>(at + 32, 0xf5000);
    memory.put<std::uint64_t>(at + 40, 0x400);
    memory.put<std::uint32_t>(at + 48, 3);
    return memory;
}

TEST(Pvh, EverythingIsRead) {
    const Memory memory = pvh();
    const auto boot = parse_pvh(memory.view(), info);
    ASSERT_TRUE(boot.has_value());
    EXPECT_EQ(boot->command_line.view(), "hello world");
    ASSERT_EQ(boot->modules.size(), 1u);
    EXPECT_EQ(boot->modules[0].range, range(0x5000, 0x6001));
    EXPECT_EQ(boot->modules[0].text.view(), "disk");
    EXPECT_EQ(list(boot->usable), (std::vector{range(0, 0x9fc00), range(0x100000, 0x800000)}));
    EXPECT_EQ(list(boot->reserved), (std::vector{range(0x9fc00, 0xa0000)}));
    EXPECT_EQ(boot->rsdp, Hpa{0xf5000});
}

TEST(Pvh, BadPointersAreErrors) {
    const Memory memory = pvh();
    for (std::size_t size = 0; size < memory.size(); ++size)
        EXPECT_FALSE(parse_pvh(memory.cut(size), info).has_value()) << "cut to " << size;
    const auto with = [&](std::uint64_t at, auto value) {
        Memory changed = memory;
        changed.put(info.value() + at, value);
        return parse_pvh(changed.view(), info).has_value();
    };
    EXPECT_FALSE(with(0, 0U)) << "wrong magic";
    EXPECT_FALSE(with(4, 0U)) << "version 0 has no memory map";
    EXPECT_FALSE(with(12, ~0U)) << "4 G modules";
    EXPECT_FALSE(with(16, ~0ULL)) << "modules at the end of the address space";
    EXPECT_FALSE(with(40, ~0ULL - 8)) << "map at the end of the address space";
    EXPECT_FALSE(with(48, ~0U)) << "4 G map entries";
    EXPECT_TRUE(with(24, ~0ULL)) << "a command line that is not there is an empty one";
}

TEST(Pvh, NoReservedRangeOfALongMapIsFree) {
    Memory memory = pvh();
    const auto entries = long_map();
    for (std::size_t i = 0; i < entries.size(); ++i)
        for (std::size_t j = 0; j < 3; ++j) memory.put(0x400 + i * 24 + j * 8, entries[i][j]);
    memory.put(info.value() + 48, static_cast<std::uint32_t>(entries.size()));
    const auto boot = parse_pvh(memory.view(), info);
    ASSERT_TRUE(boot.has_value());
    expect_reserved_is_not_free(*boot, entries);
}

TEST(Pvh, SurvivesAnyChange) {
    const Memory whole = pvh();
    kern::test::Random random{};
    for (int round = 0; round < 20'000; ++round) {
        Memory memory = whole;
        for (int change = 0; change < 3; ++change)
            memory.put(random.between(info.value(), whole.size() - 1),
                       static_cast<std::uint8_t>(random.next()));
        const auto boot = parse_pvh(memory.view(), info);
        if (boot) (void)free_memory(*boot, {});
    }
}

TEST(MemoryRanges, AreAscendingDisjointAndWhatWasAdded) {
    constexpr std::uint64_t bytes = 400;
    kern::test::Random random{};
    for (int round = 0; round < 300; ++round) {
        MemoryRanges ranges{MemoryRanges::Rounding::Down};
        std::vector<bool> wanted(bytes);
        for (int i = 0; i < 40; ++i) {
            const std::uint64_t begin = random.between(0, bytes), end = random.between(0, bytes);
            ranges.add(range(begin, std::min(end, begin + 20)));
            for (std::uint64_t byte = begin; byte < std::min(end, begin + 20); ++byte)
                wanted[byte] = true;
        }
        std::vector<bool> seen(bytes);
        std::uint64_t last = 0;
        for (const MemoryRange& one : ranges) {
            EXPECT_TRUE(&one == ranges.begin() || one.begin.value() > last) << "a gap between two";
            last = one.end.value();
            for (std::uint64_t byte = one.begin.value(); byte < last; ++byte) seen[byte] = true;
        }
        EXPECT_EQ(seen, wanted);
        EXPECT_EQ(ranges.rounded(), 0u);
    }
}

TEST(MemoryRanges, AFullSetLosesItsSmallestRangeOrItsSmallestGap) {
    MemoryRanges down{MemoryRanges::Rounding::Down}, up{MemoryRanges::Rounding::Up};
    // Range number i has i + 1 pages, and so has the gap behind it.
    std::uint64_t at = 0x1000;
    std::vector<MemoryRange> all;
    for (std::uint64_t i = 0; i <= MemoryRanges::capacity; ++i, at += 2 * i * 0x1000)
        all.push_back(range(at, at + (i + 1) * 0x1000));
    for (std::size_t i = all.size(); i-- > 0;) {
        down.add(all[i]);
        up.add(all[i]);
    }
    EXPECT_EQ(list(down), (std::vector(all.begin() + 1, all.end())));
    EXPECT_EQ(up.size(), MemoryRanges::capacity);
    EXPECT_EQ(up[0], (MemoryRange{all[0].begin, all[1].end}));
    EXPECT_EQ(up[1], all[2]);
    EXPECT_EQ(down.rounded() + up.rounded(), 2u);
    up.add(range(0, ~0ULL));
    EXPECT_EQ(list(up), (std::vector{range(0, ~0ULL)}));
}

TEST(FreeMemory, LeavesOutWhatIsTakenAndPartsOfPages) {
    BootInfo boot;
    boot.usable.add(range(0x100800, 0x800000));
    boot.usable.add(range(0x0, 0x9fc00));
    boot.reserved.add(range(0x1fff, 0x2001));  // touches two pages
    EXPECT_TRUE(boot.modules.push({range(0x300000, 0x300001), {}}));
    const std::array taken{range(0x0, 0x1000), range(0x7ff000, 0x900000)};
    EXPECT_EQ(list(free_memory(boot, taken)),
              (std::vector{range(0x3000, 0x9f000), range(0x101000, 0x300000),
                           range(0x301000, 0x7ff000)}));
}

TEST(FreeMemory, OverlapsAreHandedOutOnce) {
    BootInfo boot;
    boot.usable.add(range(0x1000, 0x5000));
    boot.usable.add(range(0x3000, 0x8000));
    boot.usable.add(range(0x9800, 0x9900));    // not a whole page
    boot.reserved.add(range(0x6000, 0x6000));  // empty
    std::uint64_t total = 0;
    Hpa last{0};
    for (const MemoryRange& free : free_memory(boot, {})) {
        EXPECT_GE(free.begin, last);
        last = free.end;
        total += free.size();
    }
    EXPECT_EQ(total, 0x7000u);
    EXPECT_EQ(last, Hpa{0x8000});
}

TEST(FreeMemory, EndsAtTheEndOfTheAddressSpace) {
    BootInfo boot;
    boot.usable.add(range(0xffff'ffff'ffff'e800, ~0ULL));
    EXPECT_EQ(free_memory(boot, {}).size(), 0u);
    boot.usable.add(range(0x1000, 0x2000));
    EXPECT_EQ(list(free_memory(boot, {})), (std::vector{range(0x1000, 0x2000)}));
}

}  // namespace
}  // namespace kern
