// SPDX-License-Identifier: MIT
#include "kern/arch/arch.hh"
#include "vmm/paging/walk.hh"

namespace vmm {

std::expected<void, Error> ept_map_hva2gpa(const EntryFormat& format, Hpa root, kern::Hva hva,
                                           Gpa gpa, Permission permission, bool overwrite) {
    if (!hva.is_aligned() || !gpa.is_aligned()) return std::unexpected(Error::Unaligned);
    if (!permission.read) return std::unexpected(Error::InvalidArgument);

    const auto found = ept_lookup_gpa(format, root, gpa, 1, MissingTable::Make);
    if (!found) return std::unexpected(found.error());
    if (found->level != 1) return std::unexpected(Error::AlreadyExists);

    const Hpa frame = kern::arch::physical_address(reinterpret_cast<const void*>(hva.value()));
    const std::uint64_t leaf = format.leaf(frame, permission, 1);
    std::uint64_t seen = found->value;
    if (!overwrite && format.decode(seen, 1).present) return std::unexpected(Error::AlreadyExists);
    if (!install_entry(*found->entry, seen, leaf) && !overwrite)
        return std::unexpected(Error::AlreadyExists);
    return {};
}

}  // namespace vmm
