// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/kernel_map.hh"

#include <algorithm>
#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/descriptors.hh"
#include "kern/arch/x86_64/image.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/mm/frame_allocator.hh"

namespace kern::arch {
namespace {

constexpr std::uint64_t entries = 512;
constexpr unsigned pml4_shift = 39, pdpt_shift = 30, directory_shift = 21;
constexpr std::uint64_t gib = 1ULL << pdpt_shift;
constexpr std::uint64_t four_gib = 4 * gib;
/// What one PDPT maps; memory beyond is not used.
constexpr std::uint64_t direct_map_limit = entries * gib;

constexpr std::uint64_t stack_base = 0xffff'9000'0000'0000;
/// Each stack lies at the top of a slot; the rest of the slot is its guard.
constexpr std::uint64_t stack_slot = 64ULL * 1024;
constexpr std::uint64_t largest_stack = stack_slot / 2;
constexpr std::uint64_t stack_slots = max_cpus * (interrupt_stack::count + 1ULL);
constexpr std::uint64_t slots_per_table = large_page_size / stack_slot;
constexpr std::uint64_t stack_tables = (stack_slots + slots_per_table - 1) / slots_per_table;

constexpr std::uint64_t index_in(std::uint64_t address, unsigned shift) {
    return (address >> shift) % entries;
}

/// A run of tables, or of pages of entries.
std::uint64_t* make_tables(std::uint64_t count) {
    const auto run = frames().allocate_run(frame_owner::page_table, count);
    check(run.has_value(), "no memory for the kernel's page tables");
    return reinterpret_cast<std::uint64_t*>(direct_map(*run));
}

/// An entry that points to a table; the rights are in the last level's.
std::uint64_t pointer_to(const std::uint64_t* table) {
    return physical_address(table).value() | x86::pte::present | x86::pte::write;
}

std::uint64_t* pml4 = nullptr;
std::uint64_t* stack_entries = nullptr;  // one for each page of the stacks' region
std::array<std::atomic<std::uint32_t>, stack_slots> stack_sizes{};  // bytes by slot; 0: unused
std::atomic<unsigned> stacks_made{0};

void map_physical_memory(const BootInfo& boot) {
    std::uint64_t top = four_gib, low_top = 0;
    for (const MemoryRange& range : boot.usable) {
        top = std::max(top, range.end.value());
        if (range.begin.value() < four_gib)
            low_top = std::max(low_top, std::min(range.end.value(), four_gib));
    }
    low_top = align_up(low_top, large_page_size);
    top = std::min(top, direct_map_limit);
    const std::uint64_t directories = align_up(top, gib) / gib;
    std::uint64_t* directory = make_tables(directories);
    for (std::uint64_t i = 0; i < directories * entries; ++i) {
        const std::uint64_t address = i * large_page_size;
        const bool device = address >= low_top && address < four_gib;
        directory[i] = address | x86::pte::present | x86::pte::write | x86::pte::large |
                       x86::pte::no_execute | (device ? x86::pte::uncached : 0);
    }
    std::uint64_t* pdpt = make_tables(1);
    for (std::uint64_t i = 0; i < directories; ++i) pdpt[i] = pointer_to(directory + i * entries);
    pml4[index_in(direct_map_base, pml4_shift)] = pointer_to(pdpt);
}

void map_image() {
    const auto begin = reinterpret_cast<std::uint64_t>(image_begin);
    const auto end = reinterpret_cast<std::uint64_t>(image_end);
    const std::uint64_t first = align_down(begin, large_page_size);
    const std::uint64_t tables = (align_up(end, large_page_size) - first) / large_page_size;
    check(index_in(end, pdpt_shift) == index_in(begin, pdpt_shift), "the image crosses a GiB");

    std::uint64_t* table = make_tables(tables);
    for (std::uint64_t address = begin; address < end; address += page_size) {
        std::uint64_t rights = x86::pte::write | x86::pte::no_execute;
        if (address < reinterpret_cast<std::uint64_t>(text_end))
            rights = 0;
        else if (address < reinterpret_cast<std::uint64_t>(rodata_end))
            rights = x86::pte::no_execute;
        if (address != reinterpret_cast<std::uint64_t>(boot_stack_guard))
            table[(address - first) / page_size] =
                (address - kernel_offset) | x86::pte::present | rights;
    }
    std::uint64_t* directory = make_tables(1);
    for (std::uint64_t i = 0; i < tables; ++i)
        directory[index_in(first, directory_shift) + i] = pointer_to(table + i * entries);
    std::uint64_t* pdpt = make_tables(1);
    pdpt[index_in(begin, pdpt_shift)] = pointer_to(directory);
    pml4[index_in(begin, pml4_shift)] = pointer_to(pdpt);
}

void prepare_stacks() {
    stack_entries = make_tables(stack_tables);
    std::uint64_t* directory = make_tables(1);
    for (std::uint64_t i = 0; i < stack_tables; ++i)
        directory[index_in(stack_base, directory_shift) + i] =
            pointer_to(stack_entries + i * entries);
    std::uint64_t* pdpt = make_tables(1);
    pdpt[index_in(stack_base, pdpt_shift)] = pointer_to(directory);
    pml4[index_in(stack_base, pml4_shift)] = pointer_to(pdpt);
}

}  // namespace

void build_kernel_map(const BootInfo& boot) {
    pml4 = make_tables(1);
    map_physical_memory(boot);
    map_image();
    prepare_stacks();
    x86::write_cr3(physical_address(pml4).value());
}

Hpa kernel_root() {
    return physical_address(pml4);
}

std::span<const std::byte> low_memory() {
    return {direct_map(Hpa{0}), four_gib};
}

std::uint64_t make_stack(std::uint64_t size) {
    const unsigned slot = stacks_made.fetch_add(1);
    check(slot < stack_slots && size <= largest_stack && size % page_size == 0,
          "no room for another stack");
    const std::uint64_t top = (slot + 1) * stack_slot;  // from stack_base on
    for (std::uint64_t at = top - size; at < top; at += page_size) {
        const auto frame = frames().allocate(frame_owner::stack);
        check(frame.has_value(), "no memory for a stack");
        stack_entries[at / page_size] =
            frame->value() | x86::pte::present | x86::pte::write | x86::pte::no_execute;
    }
    stack_sizes[slot].store(static_cast<std::uint32_t>(size));
    return stack_base + top;
}

bool is_in_stack(std::uint64_t address) {
    const auto boot_begin = reinterpret_cast<std::uint64_t>(boot_stack);
    const auto boot_end = reinterpret_cast<std::uint64_t>(boot_stack_top);
    constexpr std::uint64_t access = 16;
    if (address >= boot_begin && address <= boot_end - access) return true;
    if (address < stack_base) return false;
    const std::uint64_t slot = (address - stack_base) / stack_slot;
    if (slot >= stack_slots) return false;
    const std::uint64_t top = stack_base + (slot + 1) * stack_slot;
    return address >= top - stack_sizes[slot].load() && address <= top - access;
}

bool is_stack_guard(Hva address) {
    const auto boot_guard = reinterpret_cast<std::uint64_t>(boot_stack_guard);
    if (address.value() - boot_guard < page_size) return true;
    return address.value() - stack_base < stack_slots * stack_slot && !is_in_stack(address.value());
}

}  // namespace kern::arch
