// SPDX-License-Identifier: MIT
#include "vmm/paging/second_level_table.hh"

#include <span>
#include <utility>

#include "kern/arch/arch.hh"
#include "vmm/frame_owners.hh"
#include "vmm/paging/walk.hh"

namespace vmm {
namespace {

constexpr PageSize leaf_size(Level level) {
    return level == 1 ? PageSize::Small : PageSize::Large;
}

/// Gives back the table at `table`, all tables below it, and the pages that they map.
void free_tree(const EntryFormat& format, Hpa table, Level level,
               SecondLevelTable::GiveBack give_back) {
    for (std::uint64_t& entry : entries_of(table)) {
        const DecodedEntry decoded = format.decode(load_entry(entry), level);
        if (!decoded.present) continue;
        if (!decoded.leaf)
            free_tree(format, decoded.address, level - 1, give_back);
        else
            give_back(decoded.address, leaf_size(level));
    }
    kern::frames().free(frame_owner::second_level_table, table);
}

std::uint64_t count_pages(const EntryFormat& format, Hpa table, Level level) {
    std::uint64_t pages = 0;
    for (std::uint64_t& entry : entries_of(table)) {
        const DecodedEntry decoded = format.decode(load_entry(entry), level);
        if (!decoded.present) continue;
        pages += decoded.leaf ? bytes_per_entry(level) / page_size
                              : count_pages(format, decoded.address, level - 1);
    }
    return pages;
}

/// Replaces the leaf that maps `gpa` by `change(leaf)`, in one atomic step against other CPUs and
/// against the hardware, which sets accessed and dirty bits. Returns the leaf that was replaced.
template <class Change>
std::expected<WalkResult, Error> replace_leaf(const EntryFormat& format, Hpa root, Gpa gpa,
                                              Change change) {
    auto found = ept_lookup_gpa(format, root, gpa, 1, MissingTable::Stop);
    if (!found) return std::unexpected(found.error());
    for (;;) {
        const DecodedEntry decoded = format.decode(found->value, found->level);
        // The level is that of the walk: an entry that was empty then may point to a table by now.
        if (!decoded.present || !decoded.leaf) return std::unexpected(Error::NotFound);
        const std::uint64_t before = found->value;
        if (install_entry(*found->entry, found->value, change(before))) return found;
    }
}

}  // namespace

std::expected<SecondLevelTable, Error> SecondLevelTable::create(const EntryFormat& format,
                                                                GiveBack give_back) {
    auto root = kern::Frame::allocate(frame_owner::second_level_table);
    if (!root) return std::unexpected(root.error());
    return SecondLevelTable{format, root->release(), give_back};
}

void SecondLevelTable::free_guest_memory(Hpa page, PageSize size) {
    kern::frames().free_run(frame_owner::guest_memory, page,
                            static_cast<std::uint64_t>(size) / page_size);
}

SecondLevelTable::SecondLevelTable(SecondLevelTable&& other) noexcept
    : format_{std::exchange(other.format_, nullptr)},
      root_{other.root_},
      give_back_{other.give_back_},
      shootdown_{other.shootdown_},
      shootdown_context_{other.shootdown_context_} {}

SecondLevelTable::~SecondLevelTable() {
    if (format_) free_tree(*format_, root_, root_level, give_back_);
}

std::expected<void, Error> SecondLevelTable::map(Gpa gpa, Hpa page, Permission permission,
                                                 PageSize size) {
    if (size == PageSize::Small) {
        const kern::Hva hva{reinterpret_cast<std::uintptr_t>(kern::arch::direct_map(page))};
        return ept_map_hva2gpa(*format_, root_, hva, gpa, permission, false);
    }
    const auto bytes = static_cast<std::uint64_t>(size);
    if (!gpa.is_aligned(bytes) || !page.is_aligned(bytes)) return std::unexpected(Error::Unaligned);
    if (!permission.read) return std::unexpected(Error::InvalidArgument);

    constexpr Level level = 2;
    auto found = ept_lookup_gpa(*format_, root_, gpa, level, MissingTable::Make);
    if (!found) return std::unexpected(found.error());
    if (found->level != level) return std::unexpected(Error::AlreadyExists);
    std::uint64_t empty = 0;
    if (!install_entry(*found->entry, empty, format_->leaf(page, permission, level)))
        return std::unexpected(Error::AlreadyExists);
    return {};
}

std::expected<Mapping, Error> SecondLevelTable::unmap(Gpa gpa) {
    if (gpa.value() >= guest_physical_end) return std::unexpected(Error::NotFound);
    auto removed =
        replace_leaf(*format_, root_, gpa, [](std::uint64_t) { return std::uint64_t{0}; });
    if (!removed) return std::unexpected(removed.error());
    shoot_down();
    const DecodedEntry leaf = format_->decode(removed->value, removed->level);
    return Mapping{leaf.address, leaf.permission, leaf_size(removed->level)};
}

std::expected<void, Error> SecondLevelTable::protect(Gpa gpa, Permission permission) {
    if (!permission.read) return std::unexpected(Error::InvalidArgument);
    if (gpa.value() >= guest_physical_end) return std::unexpected(Error::NotFound);
    auto changed = replace_leaf(*format_, root_, gpa, [&](std::uint64_t leaf) {
        return format_->with_permission(leaf, permission);
    });
    if (!changed) return std::unexpected(changed.error());
    shoot_down();
    return {};
}

std::optional<Mapping> SecondLevelTable::lookup(Gpa gpa) const {
    if (gpa.value() >= guest_physical_end) return std::nullopt;
    const auto found = ept_lookup_gpa(*format_, root_, gpa, 1, MissingTable::Stop);
    if (!found) return std::nullopt;
    const DecodedEntry decoded = format_->decode(found->value, found->level);
    if (!decoded.present) return std::nullopt;
    const std::uint64_t offset = gpa.value() & (bytes_per_entry(found->level) - 1);
    return Mapping{decoded.address + offset, decoded.permission, leaf_size(found->level)};
}

std::expected<std::uint64_t*, Error> SecondLevelTable::entry(Gpa gpa) {
    auto found = ept_lookup_gpa(*format_, root_, gpa, 1, MissingTable::Make);
    if (!found) return std::unexpected(found.error());
    if (found->level != 1) return std::unexpected(Error::AlreadyExists);
    return found->entry;
}

std::uint64_t SecondLevelTable::present_pages() const {
    return count_pages(*format_, root_, root_level);
}

void SecondLevelTable::set_shootdown(Shootdown shootdown, void* context) {
    shootdown_ = shootdown;
    shootdown_context_ = context;
}

void SecondLevelTable::shoot_down() const {
    if (shootdown_) shootdown_(shootdown_context_);
}

}  // namespace vmm
