// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kern/proc/address_space.hh"

namespace kern {
namespace {

/// The part of a page that is the segment's, as bytes of the page.
struct Part {
    std::uint64_t begin, end;
};

Part part_of(Uva page, const elf::ProgramHeader& segment) {
    const std::uint64_t first = page.value(), last = first + page_size;
    return {std::max(first, segment.p_vaddr) - first,
            std::min(last, segment.p_vaddr + segment.p_memsz) - first};
}

}  // namespace

std::expected<void, Error> map_segment(AddressSpace& space, const elf::ProgramHeader& segment,
                                       const Peeker& file) {
    if (segment.p_memsz == 0 && segment.p_filesz == 0) return {};
    std::uint64_t end = 0;
    if (__builtin_add_overflow(segment.p_vaddr, segment.p_memsz, &end) ||
        end > user_layout::end.value() || segment.p_vaddr < user_layout::begin.value())
        return std::unexpected(Error::OutOfRange);
    if (segment.p_filesz > segment.p_memsz ||
        segment.p_vaddr % page_size != segment.p_offset % page_size)
        return std::unexpected(Error::BadFormat);
    std::uint64_t file_end = 0;
    if (__builtin_add_overflow(segment.p_offset, segment.p_filesz, &file_end) ||
        file_end > file.size())
        return std::unexpected(Error::Truncated);

    const Rights rights{(segment.p_flags & elf::pf_w) != 0, (segment.p_flags & elf::pf_x) != 0};
    const Uva first = Uva{segment.p_vaddr}.page();
    auto ours = AddressSpace::create();
    if (!ours) return std::unexpected(ours.error());
    for (Uva page = first; page.value() < end; page += page_size) {
        const auto made = (*ours)->allocate_page(page, rights);
        if (!made) return std::unexpected(made.error());
        const Part part = part_of(page, segment);
        const std::uint64_t done = page.value() + part.begin - segment.p_vaddr;
        if (done >= segment.p_filesz) continue;
        const std::uint64_t count = std::min(part.end - part.begin, segment.p_filesz - done);
        const auto read = file.peek(segment.p_offset + done,
                                    AddressSpace::bytes(*made).subspan(part.begin, count));
        if (!read) return read;
    }

    for (std::size_t i = 0; i < (*ours)->page_count(); ++i) {
        const UserPage page = (*ours)->page(i);
        if (space.find(page.address)) continue;
        const auto shared = space.share_page(page.address, **ours, page.address, rights);
        if (shared) continue;
        // Those that it has from us are those in our frames.
        for (std::size_t k = 0; k < i; ++k) {
            const UserPage before = (*ours)->page(k);
            if (space.find(before.address)->frame == before.frame)
                (void)space.unmap_page(before.address);
        }
        return shared;
    }
    for (std::size_t i = 0; i < (*ours)->page_count(); ++i) {
        const UserPage from = (*ours)->page(i);
        const UserPage to = *space.find(from.address);
        if (from.frame == to.frame) continue;
        const Part part = part_of(from.address, segment);
        std::ranges::copy(
            AddressSpace::bytes(from).subspan(part.begin, part.end - part.begin),
            AddressSpace::bytes(to).subspan(part.begin, part.end - part.begin).begin());
        (void)space.set_rights(to.address, to.rights | rights);
    }
    return {};
}

}  // namespace kern
