// SPDX-License-Identifier: MIT
#include <atomic>

#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

// Publishes by a compare-and-swap of its own on the entry, which it finds before it reads anything.
std::expected<void, Error> KernelVmPager::load_page(Gpa gpa) {
    const auto loaders = loaders_.on_page(gpa);
    if (loaders.empty())
        return table_.lookup(gpa) ? std::expected<void, Error>{} : std::unexpected(Error::NotFound);

    const auto place = table_.entry(gpa);
    if (!place) {
        // A large page is there, or no table could be made.
        if (place.error() == Error::AlreadyExists) return {};
        return std::unexpected(place.error());
    }
    const std::atomic_ref entry{**place};
    if (entry.load(std::memory_order_acquire) != 0) return {};

    auto frame = kern::Frame::allocate(frame_owner::guest_memory);
    if (!frame) return std::unexpected(frame.error());
    for (const Loader& loader : loaders)
        if (auto filled = loader.fill(gpa, frame->bytes()); !filled) return filled;

    std::uint64_t empty = 0;
    const std::uint64_t leaf = table_.format().leaf(frame->address(), read_write_execute, 1);
    if (entry.compare_exchange_strong(empty, leaf, std::memory_order_release,
                                      std::memory_order_relaxed))
        frame->release();
    return {};
}

}  // namespace vmm
