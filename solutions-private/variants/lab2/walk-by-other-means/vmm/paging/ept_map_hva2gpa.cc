// SPDX-License-Identifier: MIT
#include <atomic>

#include "kern/arch/arch.hh"
#include "vmm/paging/walk.hh"

namespace vmm {

std::expected<void, Error> ept_map_hva2gpa(const EntryFormat& format, Hpa root, kern::Hva hva,
                                           Gpa gpa, Permission permission, bool overwrite) {
    if (!permission.read) return std::unexpected(Error::InvalidArgument);
    if (gpa.page_offset() != 0 || hva.page_offset() != 0) return std::unexpected(Error::Unaligned);

    auto found = ept_lookup_gpa(format, root, gpa, 1, MissingTable::Stop);
    if (!found) return std::unexpected(found.error());
    const DecodedEntry there = format.decode(found->value, found->level);
    if (there.present && (!overwrite || found->level != 1))
        return std::unexpected(Error::AlreadyExists);
    if (found->level != 1) found = ept_lookup_gpa(format, root, gpa, 1, MissingTable::Make);
    if (!found) return std::unexpected(found.error());
    if (found->level != 1) return std::unexpected(Error::AlreadyExists);

    const auto* const bytes = reinterpret_cast<const std::byte*>(hva.value());
    const std::uint64_t page = format.leaf(kern::arch::physical_address(bytes), permission, 1);
    const std::atomic_ref entry{*found->entry};
    if (overwrite) {
        entry.exchange(page);
        return {};
    }
    std::uint64_t seen = entry.load();
    while (!format.decode(seen, 1).present)
        if (entry.compare_exchange_weak(seen, page)) return {};
    return std::unexpected(Error::AlreadyExists);
}

}  // namespace vmm
