// SPDX-License-Identifier: MIT
#include <algorithm>
#include <new>

#include "kern/proc/address_space.hh"

namespace kern {
namespace {

/// What a page of the segment was before.
struct Before {
    bool there;
    Rights rights;
};

std::expected<void, Error> load_page(AddressSpace& space, const elf::ProgramHeader& segment,
                                     const Peeker& file, Uva address, Rights rights) {
    auto page = space.find(address);
    if (page) {
        if (auto done = space.set_rights(address, page->rights | rights); !done) return done;
    } else {
        const auto made = space.allocate_page(address, rights);
        if (!made) return std::unexpected(made.error());
        page = *made;
    }
    const auto bytes = AddressSpace::bytes(*page);
    const std::uint64_t begin = std::max(address.value(), segment.p_vaddr);
    const std::uint64_t end =
        std::min(address.value() + page_size, segment.p_vaddr + segment.p_memsz);
    const std::uint64_t file_end = std::clamp(segment.p_vaddr + segment.p_filesz, begin, end);
    std::ranges::fill(bytes.subspan(file_end - address.value(), end - file_end), std::byte{});
    if (begin == file_end) return {};
    return file.peek(segment.p_offset + (begin - segment.p_vaddr),
                     bytes.subspan(begin - address.value(), file_end - begin));
}

}  // namespace

std::expected<void, Error> map_segment(AddressSpace& space, const elf::ProgramHeader& segment,
                                       const Peeker& file) {
    if (segment.p_filesz > segment.p_memsz) return std::unexpected(Error::BadFormat);
    if (segment.p_memsz == 0) return {};
    if (((segment.p_vaddr ^ segment.p_offset) & (page_size - 1)) != 0)
        return std::unexpected(Error::BadFormat);
    if (segment.p_vaddr < page_size || segment.p_memsz > user_layout::end.value() ||
        segment.p_vaddr > user_layout::end.value() - segment.p_memsz)
        return std::unexpected(Error::OutOfRange);
    if (file.size() < segment.p_filesz || file.size() - segment.p_filesz < segment.p_offset)
        return std::unexpected(Error::Truncated);

    const Uva first = Uva{segment.p_vaddr}.page();
    const std::uint64_t count =
        (Uva{segment.p_vaddr + segment.p_memsz - 1}.page() - first) / page_size + 1;
    if (count > frames().available() + space.page_count())
        return std::unexpected(Error::OutOfMemory);
    const std::unique_ptr<Before[]> before{new (std::nothrow) Before[count]};
    if (!before) return std::unexpected(Error::OutOfMemory);
    const Rights rights{.write = (segment.p_flags & elf::pf_w) == elf::pf_w,
                        .execute = (segment.p_flags & elf::pf_x) == elf::pf_x};
    for (std::uint64_t i = 0; i < count; ++i) {
        const Uva address = first + i * page_size;
        const auto old = space.find(address);
        before[i] = old ? Before{true, old->rights} : Before{false, {}};
        const auto done = load_page(space, segment, file, address, rights);
        if (done) continue;
        for (std::uint64_t k = 0; k <= i; ++k) {
            const Uva back = first + k * page_size;
            if (before[k].there)
                (void)space.set_rights(back, before[k].rights);
            else
                (void)space.unmap_page(back);  // the last may not even be there
        }
        return done;
    }
    return {};
}

}  // namespace kern
