// SPDX-License-Identifier: MIT
#include <array>

#include "kern/mm/frame_allocator.hh"
#include "kern/sync/spin_lock.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<void, Error> KernelVmPager::load_page(Gpa gpa) {
    // A lock for each page, nearly: two pages in 61 have the same.
    auto& locks = task_state<std::array<kern::SpinLock, 61>>();
    const kern::LockGuard guard{
        locks[gpa.value() / page_size * 0x9e37'79b9'7f4a'7c15 % locks.size()]};
    if (table_.lookup(gpa)) return {};

    const std::span<const Loader> loaders = loaders_.on_page(gpa);
    if (loaders.empty()) return std::unexpected(Error::NotFound);

    auto frame = kern::Frame::allocate(frame_owner::guest_memory);
    if (!frame) return std::unexpected(frame.error());
    for (const Loader& loader : loaders)
        if (auto filled = loader.fill(gpa, frame->bytes()); !filled) return filled;

    auto mapped = table_.map(gpa, frame->address(), read_write_execute);
    if (mapped)
        frame->release();  // the table's from now on
    else if (mapped.error() == Error::AlreadyExists)
        return {};  // another CPU was faster: its page stands, and ours is given back here
    return mapped;
}

}  // namespace vmm
