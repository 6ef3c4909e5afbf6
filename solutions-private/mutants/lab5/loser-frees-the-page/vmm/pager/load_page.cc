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
    for (const Loader& loader : loaders)
        if (auto filled = loader.fill(gpa, frame->bytes()); !filled) return filled;

    auto mapped = table_.map(gpa, frame->address(), read_write_execute);
    if (mapped)
        frame->release();  // the table's from now on
    else if (mapped.error() == Error::AlreadyExists) {
        const auto there = table_.lookup(gpa);
        frame->release();
        kern::frames().free(frame_owner::guest_memory, there->address);
        return {};
    }
    return mapped;
}

}  // namespace vmm
