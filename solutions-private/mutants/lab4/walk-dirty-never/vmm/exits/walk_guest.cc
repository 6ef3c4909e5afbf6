// SPDX-License-Identifier: MIT
#include "vmm/exits/walk_guest.hh"

#include <array>
#include <atomic>

#include "kern/arch/arch.hh"
#include "vmm/x86.hh"

namespace vmm {
namespace {

using GuestPaging = GuestMemory::GuestPaging;
using Kind = WalkFault::Kind;

constexpr std::uint64_t four_gib = 1ULL << 32;

/// How the tables are laid out in a paging mode.
struct Mode {
    unsigned levels;
    unsigned index_bits;
    unsigned entry_size;
    std::uint64_t root_mask;
    unsigned large_level;  // the highest level where PS means a page; 1: none
};
constexpr Mode two_levels{2, 10, 4, 0xffff'f000, 1};
constexpr Mode two_levels_pse{2, 10, 4, 0xffff'f000, 2};
constexpr Mode three_levels{3, 9, 8, 0xffff'ffe0, 2};
constexpr Mode four_levels{4, 9, 8, pte::address, 3};

const Mode& mode_of(const GuestPaging& paging) {
    if ((paging.efer & efer::long_mode_active) != 0) return four_levels;
    if ((paging.cr4 & cr4::physical_address_extension) != 0) return three_levels;
    return (paging.cr4 & cr4::page_size_extensions) != 0 ? two_levels_pse : two_levels;
}

bool is_canonical(std::uint64_t gva) {
    constexpr unsigned unused_bits = 64 - 48;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(gva << unused_bits) >>
                                      unused_bits) == gva;
}

/// An entry that was read.
struct Entry {
    Hpa place;
    unsigned size;
    std::uint64_t value;

    /// Sets `bits` in it, if it is as it was.
    bool set(std::uint64_t bits) const {
        if ((value & bits) == bits) return true;
        std::byte* const bytes = kern::arch::direct_map(place);
        if (size == sizeof(std::uint32_t)) {
            auto expected = static_cast<std::uint32_t>(value);
            return std::atomic_ref{*reinterpret_cast<std::uint32_t*>(bytes)}
                .compare_exchange_strong(expected, static_cast<std::uint32_t>(value | bits));
        }
        std::uint64_t expected = value;
        return std::atomic_ref{*reinterpret_cast<std::uint64_t*>(bytes)}.compare_exchange_strong(
            expected, value | bits);
    }
};

std::uint64_t large_page_address(std::uint64_t entry, const Mode& mode, std::uint64_t page_bytes) {
    if (mode.entry_size == sizeof(std::uint64_t)) return entry & pte::address & ~(page_bytes - 1);
    constexpr std::uint64_t high_bits = 0xff;
    return (entry & 0xffc0'0000) | ((entry >> 13) & high_bits) << 32;
}

bool has_reserved_bit(std::uint64_t entry, const Mode& mode, unsigned level, bool is_large,
                      std::uint64_t page_bytes, const GuestPaging& paging) {
    if (mode.entry_size != sizeof(std::uint64_t)) return false;
    if ((entry & guest_entry::beyond_memory) != 0) return true;
    if ((entry & guest_entry::no_execute) != 0 && (paging.efer & efer::no_execute_enable) == 0)
        return true;
    if (level > mode.large_level && (entry & guest_entry::large) != 0) return true;
    constexpr std::uint64_t first_address_bit = 1U << 13;  // bit 12 is the PAT's
    return is_large && (entry & (page_bytes - 1) & ~(first_address_bit - 1)) != 0;
}

/// What all levels together allow.
struct Rights {
    bool write = true, user = true, execute = true;
};

bool allows(const Rights& rights, const GuestAccess& access, const GuestPaging& paging) {
    if (access.user && !rights.user) return false;
    if (access.fetch)
        return rights.execute && (access.user || !rights.user || (paging.cr4 & cr4::smep) == 0);
    if (!access.user && rights.user && (paging.cr4 & cr4::smap) != 0 && !access.alignment_check)
        return false;
    return !access.write || rights.write ||
           (!access.user && (paging.cr0 & cr0::write_protect) == 0);
}

std::unexpected<WalkFault> page_fault(const std::optional<GuestAccess>& access,
                                      const GuestPaging& paging, std::uint64_t what) {
    if (!access) return std::unexpected{WalkFault{.kind = Kind::PageFault}};
    namespace bits = kern::arch::x86::page_fault;
    const bool tells_fetch =
        (paging.cr4 & cr4::smep) != 0 || ((paging.efer & efer::no_execute_enable) != 0 &&
                                          mode_of(paging).entry_size == sizeof(std::uint64_t));
    const std::uint64_t code = what | (access->write ? bits::write : 0) |
                               (access->user ? bits::user : 0) |
                               (access->fetch && tells_fetch ? bits::fetch : 0);
    return std::unexpected{
        WalkFault{.kind = Kind::PageFault, .error_code = static_cast<std::uint32_t>(code)}};
}

std::unexpected<WalkFault> fault(Kind kind, Gpa table = {}) {
    return std::unexpected{WalkFault{.kind = kind, .table = table}};
}

/// One walk; Busy if an entry has changed meanwhile.
std::expected<Gpa, WalkFault> attempt(const GuestMemory& memory, const GuestPaging& paging, Gva gva,
                                      const std::optional<GuestAccess>& access,
                                      GuestMemory::Walk* walk) {
    namespace bits = kern::arch::x86::page_fault;
    const Mode& mode = mode_of(paging);
    std::array<Entry, 4> used;
    unsigned count = 0;
    Rights rights;
    std::uint64_t table = paging.cr3 & mode.root_mask;
    for (unsigned level = mode.levels;; --level) {
        const unsigned below = mode.index_bits * (level - 1);
        const std::uint64_t covered = page_size << below;
        const std::uint64_t index =
            gva.value() / page_size >> below & ((1ULL << mode.index_bits) - 1);
        const Gpa at{table + index * mode.entry_size};
        const auto place = memory.gpa2hpa(at);
        if (!place) return fault(Kind::NotInMemory, at);
        const std::uint64_t entry = load_guest_entry(*place, mode.entry_size);
        if (walk != nullptr) walk->add(*place, mode.entry_size, entry);
        if ((entry & guest_entry::present) == 0) return page_fault(access, paging, 0);

        const bool is_pointer = level == 3 && mode.levels == 3;
        const bool is_large =
            level > 1 && level <= mode.large_level && (entry & guest_entry::large) != 0;
        if (!is_pointer) {
            if (access && has_reserved_bit(entry, mode, level, is_large, covered, paging))
                return page_fault(access, paging, bits::present | bits::reserved_bit);
            rights.write &= (entry & guest_entry::write) != 0;
            rights.user &= (entry & guest_entry::user) != 0;
            if (mode.entry_size == sizeof(std::uint64_t))
                rights.execute &= (entry & guest_entry::no_execute) == 0;
            used[count++] = {*place, mode.entry_size, entry};
        }
        table = entry & pte::address;
        if (level > 1 && !is_large) continue;

        const std::uint64_t first = is_large ? large_page_address(entry, mode, covered) : table;
        const Gpa result{first + (gva.value() & (covered - 1))};
        if (!access) return result;
        if (!allows(rights, *access, paging)) return page_fault(access, paging, bits::present);
        for (unsigned i = 0; i < count; ++i) {
            const bool is_last = i == count - 1;
            if (!used[i].set(guest_entry::accessed | (is_last ? 0ULL : 0ULL)))
                return fault(Kind::Busy);
        }
        return result;
    }
}

}  // namespace

std::expected<Gpa, WalkFault> walk_guest(const GuestMemory& memory, const GuestPaging& paging,
                                         Gva gva, std::optional<GuestAccess> access,
                                         GuestMemory::Walk* walk) {
    if (walk != nullptr) walk->clear();
    const bool paging_on = (paging.cr0 & cr0::paging) != 0;
    const bool long_mode = paging_on && (paging.efer & efer::long_mode_active) != 0;
    if (long_mode && (paging.cr4 & cr4::five_levels) != 0) return fault(Kind::Unsupported);
    if (long_mode ? !is_canonical(gva.value()) : gva.value() >= four_gib)
        return fault(Kind::NotCanonical);
    if (!paging_on) return Gpa{gva.value()};
    for (unsigned left = walk_attempts;; --left) {
        if (walk != nullptr) walk->clear();
        const auto found = attempt(memory, paging, gva, access, walk);
        if (found || found.error().kind != Kind::Busy || left == 1) return found;
    }
}

}  // namespace vmm
