// SPDX-License-Identifier: MIT

#include "kern/arch/arch.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/sync/spin_lock.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

// Fills a frame without a lock, then takes a short one to look again and to map: whoever finds the
// page there by then gives the frame back. The frame is a bare one, freed by hand.
std::expected<void, Error> KernelVmPager::load_page(Gpa gpa) {
    if (table_.lookup(gpa)) return {};
    if (loaders_.on_page(gpa).empty()) return std::unexpected(Error::NotFound);

    const auto frame = kern::frames().allocate(frame_owner::guest_memory);
    if (!frame) return std::unexpected(frame.error());
    const std::span<std::byte, page_size> bytes{kern::arch::direct_map(*frame), page_size};
    std::expected<void, Error> result{};
    for (const Loader& loader : loaders_.on_page(gpa)) {
        result = loader.fill(gpa, bytes);
        if (!result) break;
    }

    bool published = false;
    if (result) {
        const kern::LockGuard guard{task_state<kern::SpinLock>()};
        if (!table_.lookup(gpa)) {
            result = table_.map(gpa, *frame, read_write_execute);
            published = result.has_value();
        }
    }
    if (!published) kern::frames().free(frame_owner::guest_memory, *frame);
    return result;
}

}  // namespace vmm
