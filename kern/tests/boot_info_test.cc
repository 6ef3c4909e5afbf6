// SPDX-License-Identifier: MIT
#include "kern/boot/boot_info.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

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

/// A structure with a command line, a module, an unknown tag, a map of three entries of 32 bytes
/// (more than the 24 that this kernel knows), and a copy of an RSDP.
Memory multiboot2() {
    Memory memory;
    std::uint64_t at = info.value() + 8;
    const auto tag = [&](std::uint32_t type, std::uint32_t size) {
        memory.put(at, type);
        memory.put(at + 4, size);
        const std::uint64_t body = at + 8;
        at = align_up(at + size, 8);
        return body;
    };
    memory.text(tag(1, 8 + 12), "hello world");
    std::uint64_t body = tag(3, 16 + 5);
    memory.put<std::uint32_t>(body, 0x5000);
    memory.put<std::uint32_t>(body + 4, 0x6001);
    memory.text(body + 8, "disk");
    tag(4242, 8 + 3);
    body = tag(6, 16 + 3 * 32);
    memory.put<std::uint32_t>(body, 32);
    memory.put<std::uint32_t>(body + 4, 0);
    const std::uint64_t entries[3][3] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0x100000, 0x700000, 1}};
    for (std::uint64_t i = 0; i < 3; ++i)
        for (std::uint64_t j = 0; j < 3; ++j) memory.put(body + 8 + i * 32 + j * 8, entries[i][j]);
    memory.text(tag(14, 8 + 20), "RSD PTR ");
    tag(0, 8);
    memory.put<std::uint32_t>(at - 1, 0);
    memory.put(info.value(), static_cast<std::uint32_t>(at - info.value()));
    return memory;
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

TEST(FreeMemory, LeavesOutWhatIsTakenAndPartsOfPages) {
    BootInfo boot;
    boot.usable.add(range(0x100800, 0x800000));
    boot.usable.add(range(0x0, 0x9fc00));
    boot.reserved.add(range(0x1fff, 0x2001));  // touches two pages
    boot.modules.add({range(0x300000, 0x300001), {}});
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
