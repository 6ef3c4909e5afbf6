// SPDX-License-Identifier: MIT
#include <atomic>

#include "kern/arch/arch.hh"
#include "vmm/guest_memory.hh"
#include "vmm/x86.hh"

namespace vmm {
namespace {

constexpr std::uint64_t four_gib = 1ULL << 32;

/// How the guest's tables are laid out in one of its paging modes.
struct GuestMode {
    unsigned levels;
    unsigned index_bits;        // of a table, 9 or 10
    unsigned entry_size;        // bytes
    std::uint64_t root_mask;    // the root's address in CR3
    unsigned large_leaf_level;  // the highest level where PS means a page; 1: none
};
constexpr GuestMode two_levels{2, 10, 4, 0xffff'f000, 1};
constexpr GuestMode two_levels_pse{2, 10, 4, 0xffff'f000, 2};
constexpr GuestMode pae{3, 9, 8, 0xffff'ffe0, 2};
constexpr GuestMode four_levels{4, 9, 8, pte::address, 3};

bool is_canonical(std::uint64_t gva) {
    constexpr unsigned unused_bits = 64 - 48;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(gva << unused_bits) >>
                                      unused_bits) == gva;
}

/// The entry of `size` bytes at `address`. The guest may write it at the same moment.
std::uint64_t load_entry(Hpa address, unsigned size) {
    std::byte* const bytes = kern::arch::direct_map(address);
    if (size == sizeof(std::uint32_t))
        return std::atomic_ref{*reinterpret_cast<std::uint32_t*>(bytes)}.load(
            std::memory_order_relaxed);
    return std::atomic_ref{*reinterpret_cast<std::uint64_t*>(bytes)}.load(
        std::memory_order_relaxed);
}

/// The address of a large page. In a 4 MiB entry bits 20 to 13 are the page's address bits 39 to 32
/// (PSE-36) [amd/vol2 5.2.2].
std::uint64_t large_page_address(std::uint64_t entry, const GuestMode& mode,
                                 std::uint64_t page_bytes) {
    if (mode.entry_size == sizeof(std::uint64_t)) return entry & pte::address & ~(page_bytes - 1);
    constexpr std::uint64_t high_bits = 0xff;
    return (entry & 0xffc0'0000) | (((entry >> 13) & high_bits) << 32);
}

}  // namespace

[[gnu::hot]] bool GuestMemory::Walk::still_holds() const {
    for (unsigned i = 0; i < count_; ++i)
        if (load_entry(entries_[i].place, entries_[i].size) != entries_[i].value) return false;
    return true;
}

std::expected<Hpa, Error> GuestMemory::gva2hpa(Gva gva, const GuestPaging& paging,
                                               Walk* walk) const {
    if (walk != nullptr) walk->count_ = 0;
    const bool long_mode = (paging.efer & efer::long_mode_active) != 0;
    const bool paging_on = (paging.cr0 & cr0::paging) != 0;
    if (paging_on && long_mode && (paging.cr4 & cr4::five_levels))
        return std::unexpected(Error::Unsupported);
    if (paging_on && long_mode ? !is_canonical(gva.value()) : gva.value() >= four_gib)
        return std::unexpected(Error::OutOfRange);
    if (!paging_on) return gpa2hpa(Gpa{gva.value()});

    const GuestMode& mode = long_mode                                      ? four_levels
                            : paging.cr4 & cr4::physical_address_extension ? pae
                            : paging.cr4 & cr4::page_size_extensions       ? two_levels_pse
                                                                           : two_levels;
    std::uint64_t table = paging.cr3 & mode.root_mask;
    for (unsigned level = mode.levels;; --level) {
        const std::uint64_t covered = page_size << (mode.index_bits * (level - 1));
        const std::uint64_t index = (gva.value() / covered) & ((1ULL << mode.index_bits) - 1);
        const auto place = gpa2hpa(Gpa{table + index * mode.entry_size});
        if (!place) return place;
        const std::uint64_t entry = load_entry(*place, mode.entry_size);
        if (walk != nullptr) walk->entries_[walk->count_++] = {*place, mode.entry_size, entry};
        if (!(entry & pte::present)) return std::unexpected(Error::NotFound);

        const bool large = level > 1 && level <= mode.large_leaf_level && (entry & pte::large);
        if (large)
            return gpa2hpa(
                Gpa{large_page_address(entry, mode, covered) + (gva.value() & (covered - 1))});
        table = entry & pte::address;
        if (level == 1) return gpa2hpa(Gpa{table + gva.page_offset()});
    }
}

}  // namespace vmm
