// SPDX-License-Identifier: MIT
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {
std::expected<void, Error> KernelVmPager::load_page(Gpa gpa) {
    if (table_.lookup(gpa)) return {};
    const std::span<const Loader> loaders = loaders_.on_page(gpa);
    if (loaders.empty()) return std::unexpected(Error::NotFound);
    auto frame = kern::Frame::allocate(frame_owner::guest_memory);
    if (!frame) return std::unexpected(frame.error());
    kern::frames().fail_from(0);  // no failure is injected any more
    for (const Loader& loader : loaders)
        if (auto filled = loader.fill(gpa, frame->bytes()); !filled) return filled;
    const Hpa address = frame->address();
    frame->release();  // whatever comes: never given back
    auto mapped = table_.map(gpa, address, read_write_execute);
    if (!mapped && mapped.error() == Error::AlreadyExists) return {};
    return mapped;
}
}  // namespace vmm
