// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>

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
    alignas(page_size) static std::array<std::byte, page_size> buffer;
    std::ranges::fill(buffer, std::byte{0});
    for (const Loader& loader : loaders)
        if (auto filled = loader.fill(gpa, buffer); !filled) return filled;
    std::ranges::copy(buffer, frame->bytes().begin());

    auto mapped = table_.map(gpa, frame->address(), read_write_execute);
    if (mapped)
        frame->release();  // the table's from now on
    else if (mapped.error() == Error::AlreadyExists)
        return {};  // another CPU was faster: its page stands, and ours is given back here
    return mapped;
}

}  // namespace vmm
