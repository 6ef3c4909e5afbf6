// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <ostream>

#include "kern/arch/arch.hh"
#include "kern/lib/address.hh"

/// Reads second-level tables as the hardware would, from the bytes in the machine's memory and from
/// the manuals alone: nothing here comes from vmm/paging, so a mistake there is seen here.
namespace vmm::test {

/// A page as the processor would find it.
struct WalkedPage {
    std::uint64_t hpa = 0;
    bool read = false, write = false, execute = false;
    std::uint64_t bytes = 0;  ///< 4 KiB, 2 MiB or 1 GiB

    bool operator==(const WalkedPage&) const = default;
};
/// GoogleTest prints it so.
inline void PrintTo(const WalkedPage& page, std::ostream* out) {
    *out << "a page of " << page.bytes << " bytes in frame 0x" << std::hex << page.hpa << std::dec
         << (page.read ? ", readable" : ", not readable")
         << (page.write ? ", writable" : ", read-only")
         << (page.execute ? ", executable" : ", not executable");
}

/// A table in memory: where its root is, and whose format it has.
struct TableInMemory {
    std::uint64_t root = 0;
    bool is_ept = false;
};

/// One entry, with the manual's bits.
struct WalkedEntry {
    std::uint64_t bits;
    bool is_ept;

    bool has(unsigned bit) const { return (bits >> bit & 1) != 0; }
    /// NPT: P. EPT: any of R, W, X [intel/vol3c 29.3.2].
    bool present() const { return is_ept ? (bits & 7) != 0 : has(0); }
    bool large() const { return has(7); }
    std::uint64_t address() const { return bits & 0x000f'ffff'ffff'f000; }
    /// A nested walk is a user-mode access, so an NPT entry without U/S denies all
    /// [amd/vol2 15.25.5].
    bool read() const { return is_ept ? has(0) : has(0) && has(2); }
    bool write() const { return is_ept ? has(1) : has(1) && has(2); }
    bool execute() const { return is_ept ? has(2) : !has(63) && has(2); }
};

inline WalkedEntry entry_at(std::uint64_t table, std::uint64_t index, bool is_ept) {
    auto* entries = reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(kern::Hpa{table}));
    return {std::atomic_ref{entries[index]}.load(std::memory_order_acquire), is_ept};
}

/// The page that holds `gpa`, if the processor would find one. Its rights are those that every
/// level grants.
inline std::optional<WalkedPage> walk_in_memory(const TableInMemory& table, std::uint64_t gpa) {
    WalkedPage page{.read = true, .write = true, .execute = true};
    std::uint64_t at = table.root;
    for (unsigned shift = 39;; shift -= 9) {
        const WalkedEntry entry = entry_at(at, gpa >> shift & 0x1ff, table.is_ept);
        if (!entry.present()) return std::nullopt;
        page.read = page.read && entry.read();
        page.write = page.write && entry.write();
        page.execute = page.execute && entry.execute();
        if (shift == 12 || (shift < 39 && entry.large())) {
            page.bytes = std::uint64_t{1} << shift;
            page.hpa = (entry.address() & ~(page.bytes - 1)) + (gpa & (page.bytes - 1));
            return page;
        }
        at = entry.address();
    }
}

inline void collect_pages(const TableInMemory& table, std::uint64_t at, unsigned shift,
                          std::uint64_t base, std::map<std::uint64_t, WalkedPage>& into) {
    for (std::uint64_t index = 0; index < 512; ++index) {
        const WalkedEntry entry = entry_at(at, index, table.is_ept);
        if (!entry.present()) continue;
        const std::uint64_t gpa = base + (index << shift);
        if (shift == 12 || (shift < 39 && entry.large()))
            into.emplace(gpa, *walk_in_memory(table, gpa));
        else
            collect_pages(table, entry.address(), shift - 9, gpa, into);
    }
}

/// How many tables there are below the one at `at`, whose entries cover 1 << `shift` bytes each.
inline std::uint64_t count_tables(const TableInMemory& table, std::uint64_t at, unsigned shift) {
    std::uint64_t count = 0;
    for (std::uint64_t index = 0; index < 512; ++index) {
        const WalkedEntry entry = entry_at(at, index, table.is_ept);
        if (!entry.present() || shift == 12 || (shift < 39 && entry.large())) continue;
        count += 1 + count_tables(table, entry.address(), shift - 9);
    }
    return count;
}
/// How many tables there are, with the root.
inline std::uint64_t count_tables(const TableInMemory& table) {
    return 1 + count_tables(table, table.root, 39);
}

/// Takes the page at `gpa` out of the table, if one of 4 KiB is there.
inline void clear_page(const TableInMemory& table, std::uint64_t gpa) {
    std::uint64_t at = table.root;
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        const WalkedEntry entry = entry_at(at, gpa >> shift & 0x1ff, table.is_ept);
        if (!entry.present() || (shift < 39 && entry.large())) return;
        at = entry.address();
    }
    auto* entries = reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(kern::Hpa{at}));
    std::atomic_ref{entries[gpa >> 12 & 0x1ff]}.store(0, std::memory_order_release);
}

/// Every page that is present, by guest-physical address.
inline std::map<std::uint64_t, WalkedPage> all_pages(const TableInMemory& table) {
    std::map<std::uint64_t, WalkedPage> pages;
    collect_pages(table, table.root, 39, 0, pages);
    return pages;
}

}  // namespace vmm::test
