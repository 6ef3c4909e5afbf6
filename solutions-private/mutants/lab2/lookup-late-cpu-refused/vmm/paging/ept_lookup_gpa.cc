// SPDX-License-Identifier: MIT
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/paging/walk.hh"

namespace vmm {

std::expected<WalkResult, Error> ept_lookup_gpa(const EntryFormat& format, Hpa root, Gpa gpa,
                                                Level target, MissingTable missing) {
    if (gpa.value() >= guest_physical_end) return std::unexpected(Error::OutOfRange);
    if (target < 1 || target > root_level) return std::unexpected(Error::InvalidArgument);

    Hpa table = root;
    for (Level level = root_level;; --level) {
        std::uint64_t& entry = entries_of(table)[table_index(gpa, level)];
        std::uint64_t value = load_entry(entry);
        if (level == target) return WalkResult{&entry, level, value};

        if (!format.decode(value, level).present) {
            if (missing == MissingTable::Stop) return WalkResult{&entry, level, value};
            auto made = kern::Frame::allocate(frame_owner::second_level_table);
            if (!made) return std::unexpected(made.error());
            const std::uint64_t link = format.table(made->address());
            if (install_entry(entry, value, link)) {
                made->release();
                value = link;
            } else {
                return std::unexpected(Error::OutOfMemory);
            }
        }
        const DecodedEntry decoded = format.decode(value, level);
        if (decoded.leaf) return WalkResult{&entry, level, value};
        table = decoded.address;
    }
}

}  // namespace vmm
