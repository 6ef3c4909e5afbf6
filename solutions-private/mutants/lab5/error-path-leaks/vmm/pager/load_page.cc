// SPDX-License-Identifier: MIT
#include "kern/arch/arch.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<void, Error> KernelVmPager::load_page(Gpa gpa) {
    if (table_.lookup(gpa)) return {};
    const std::span<const Loader> loaders = loaders_.on_page(gpa);
    if (loaders.empty()) return std::unexpected(Error::NotFound);

    auto frame = kern::frames().allocate(frame_owner::guest_memory);
    if (!frame) return std::unexpected(frame.error());
    const std::span<std::byte, page_size> bytes{kern::arch::direct_map(*frame), page_size};
    for (const Loader& loader : loaders)
        if (auto filled = loader.fill(gpa, bytes); !filled) return filled;

    auto mapped = table_.map(gpa, *frame, read_write_execute);
    if (!mapped && mapped.error() == Error::AlreadyExists) {
        kern::frames().free(frame_owner::guest_memory, *frame);
        return {};
    }
    return mapped;
}

}  // namespace vmm
