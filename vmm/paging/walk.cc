// SPDX-License-Identifier: MIT
#include "vmm/paging/walk.hh"

#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"

namespace vmm {

//   47       39 38       30 29       21 20       12 11            0
//  +-----------+-----------+-----------+-----------+---------------+
//  |  index in |  index in |  index in |  index in |  byte in the  |
//  |  level 4  |  level 3  |  level 2  |  level 1  |  4 KiB page   |
//  +-----------+-----------+-----------+-----------+---------------+
//       root ------> table -----> table -----> table -----> page
std::expected<WalkResult, Error> walk(const EntryFormat& format, Hpa root, Gpa gpa, Level target,
                                      MissingTable missing) {
    Hpa table = root;
    for (Level level = root_level;; --level) {
        auto* const entries = reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(table));
        auto* const entry = entries + gpa.value() / bytes_per_entry(level) % entries_per_table;
        const std::atomic_ref shared{*entry};
        // Acquire: whoever published a table published its zeros with it.
        std::uint64_t value = shared.load(std::memory_order_acquire);
        if (level == target) return WalkResult{entry, level, value};

        if (!format.decode(value, level).present) {
            if (missing == MissingTable::Stop) return WalkResult{entry, level, value};
            auto made = kern::Frame::allocate(frame_owner::second_level_table);
            if (!made) return std::unexpected(made.error());
            const std::uint64_t link = format.table(made->address());
            if (shared.compare_exchange_strong(value, link, std::memory_order_acq_rel,
                                               std::memory_order_acquire)) {
                made->release();
                value = link;
            }
        }
        const DecodedEntry decoded = format.decode(value, level);
        if (decoded.leaf) return WalkResult{entry, level, value};
        table = decoded.address;
    }
}

}  // namespace vmm
