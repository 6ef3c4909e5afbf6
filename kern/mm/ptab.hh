// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <utility>

#include "kern/lib/address.hh"
#include "kern/lib/error.hh"
#include "kern/mm/frame_allocator.hh"

namespace kern {

/// What a page-table entry says besides an address: bits of the entry itself, by the manual's names
/// [amd/vol2 5.4]. They are combined by `|`.
enum class Attributes : std::uint64_t {
    none = 0,                 ///< nothing is there
    present = 1ULL << 0,      ///< P: the entry is valid
    write = 1ULL << 1,        ///< R/W: may be written
    user = 1ULL << 2,         ///< U/S: ring 3 may use it
    accessed = 1ULL << 5,     ///< A: set by the processor
    dirty = 1ULL << 6,        ///< D: set by the processor, in the last level
    no_execute = 1ULL << 63,  ///< NX: no instructions are fetched from there
};
/// Both sets of bits.
constexpr Attributes operator|(Attributes a, Attributes b) {
    // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): a set of bits has no name
    return Attributes{std::to_underlying(a) | std::to_underlying(b)};
}
/// Whether all bits of `bits` are in `attributes`.
constexpr bool has(Attributes attributes, Attributes bits) {
    return (std::to_underlying(attributes) & std::to_underlying(bits)) == std::to_underlying(bits);
}

/// The page tables of one address space: four levels of 512 entries, the root first
/// [amd/vol2 5.3]. The lower half, 47 bits, is a user program's; the upper half is the kernel's,
/// the same in every address space.
class Ptab {
   public:
    /// The first address beyond the lower half.
    static constexpr Uva user_end{1ULL << 47};
    /// Levels of tables; the last one's entries point to pages.
    static constexpr unsigned levels = 4;
    /// Entries in a table, each of 8 bytes.
    static constexpr std::size_t entries = 512;
    /// Where an entry has the address of the next table or of the page; the rest are attributes.
    static constexpr std::uint64_t address_mask = 0x000f'ffff'ffff'f000;
    /// One table's entries.
    using Table = std::span<std::uint64_t, entries>;

    /// A root with an empty lower half, on account page_table. Error: OutOfMemory.
    static std::expected<Ptab, Error> create();
    /// Takes the tables over from `other`.
    Ptab(Ptab&& other) noexcept : root_{other.root_} { other.root_ = Hpa{}; }
    Ptab& operator=(Ptab&&) = delete;
    /// Gives all tables of the lower half back, the root too. The pages that they map are somebody
    /// else's.
    ~Ptab();

    /// The root's address: what CR3 holds while this address space is in use.
    Hpa root() const { return root_; }
    /// The entries of the table at `table`, through the direct map.
    static Table table_at(Hpa table);

    /// Lets the page at `virt` be translated to the frame at `phys` with the attributes `attr`, or
    /// removes its translation if `attr` has no Attributes::present (task lab1.insert_mapping).
    /// The only walk of ordinary page tables in this kernel.
    ///
    /// - The walk takes 9 bits of `virt` for each level: bits 47 to 39 index the root, 20 to 12 the
    ///   last table. The entry there becomes `phys` with exactly the bits of `attr`, in one store;
    ///   what stood there before is replaced. All other pages stay translated as they were.
    /// - A table that is missing on the way is made: a frame from
    ///   frames().allocate(frame_owner::page_table), which is zeroed. The entry that points to it
    ///   gets present, write and user, never no_execute: a page's rights are those that all levels
    ///   grant, so only the last level restricts.
    /// - Without Attributes::present the entry becomes 0, and `phys` means nothing. If a table is
    ///   missing on the way, there is nothing to remove: that is no error, and no table is made.
    ///
    /// @param virt  page-aligned, below user_end
    /// @param phys  page-aligned, within address_mask
    /// @param attr  the last level's bits
    /// @note Errors: Unaligned (`virt`; or `phys`, if it counts), OutOfRange (`virt` not below
    /// user_end; or `phys` beyond address_mask, if it counts), OutOfMemory (no frame for a table).
    /// After an error every page is translated as before; tables made on the way may stay, they are
    /// given back with the others.
    /// @note Locks: the caller sees to it that nobody else changes this Ptab meanwhile. TLBs are
    /// the caller's too.
    std::expected<void, Error> insert_mapping(Uva virt, Hpa phys, Attributes attr);

   private:
    explicit Ptab(Hpa root) : root_{root} {}
    static void free_tables(Hpa table, unsigned level, std::size_t count);

    Hpa root_;  // 0: moved away
};

}  // namespace kern
