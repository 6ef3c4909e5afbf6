// SPDX-License-Identifier: MIT
#include <algorithm>
#include <new>

#include "kern/proc/address_space.hh"

namespace kern {
namespace {

/// The pages that one call has brought into a space. They go again unless it ends well.
class NewPages {
   public:
    explicit NewPages(AddressSpace& space) : space_{space} {}
    NewPages(const NewPages&) = delete;
    NewPages& operator=(const NewPages&) = delete;
    ~NewPages() {
        while (last_) {
            const std::unique_ptr<Page> page = std::move(last_);
            last_ = std::move(page->before);
            if (!kept_) (void)space_.unmap_page(page->address);
        }
    }

    std::expected<void, Error> add(Uva address, Rights rights) {
        std::unique_ptr<Page> page{new (std::nothrow) Page{address, nullptr}};
        if (!page) return std::unexpected(Error::OutOfMemory);
        if (auto made = space_.allocate_page(address, rights); !made)
            return std::unexpected(made.error());
        page->before = std::move(last_);
        last_ = std::move(page);
        return {};
    }
    void keep() { kept_ = true; }

   private:
    struct Page {
        Uva address;
        std::unique_ptr<Page> before;
    };
    AddressSpace& space_;
    std::unique_ptr<Page> last_;
    bool kept_ = false;
};

/// The bytes of `page` that are the segment's: from the file up to `file_end`, then zeros.
std::expected<void, Error> fill(const UserPage& page, Uva begin, Uva file_end, Uva end,
                                const Peeker& file, std::uint64_t offset) {
    const auto bytes = AddressSpace::bytes(page);
    const Uva from = std::max(begin, page.address);
    const Uva to = std::min(end, page.address + page_size);
    const Uva split = std::clamp(file_end, from, to);
    const auto part = bytes.subspan(from - page.address, to - from);
    std::ranges::fill(part.subspan(split - from), std::byte{});
    if (from == split) return {};
    return file.peek(offset + (from - begin), part.first(split - from));
}

}  // namespace

std::expected<void, Error> map_segment(AddressSpace& space, const elf::ProgramHeader& segment,
                                       const Peeker& file) {
    const Uva begin{segment.p_vaddr};
    if (segment.p_memsz == 0 && segment.p_filesz == 0) return {};
    // Compared by subtraction: the sums may wrap.
    if (segment.p_offset > file.size() || segment.p_filesz > file.size() - segment.p_offset)
        return std::unexpected(Error::Truncated);
    if (begin < user_layout::begin || begin >= user_layout::end ||
        segment.p_memsz > user_layout::end - begin)
        return std::unexpected(Error::OutOfRange);
    if (segment.p_filesz > segment.p_memsz) return std::unexpected(Error::BadFormat);
    if (begin.page_offset() != segment.p_offset % page_size)
        return std::unexpected(Error::BadFormat);

    const Uva end = begin + segment.p_memsz;
    const Rights rights{.write = (segment.p_flags & elf::pf_w) != 0,
                        .execute = (segment.p_flags & elf::pf_x) != 0};
    NewPages made{space};
    for (Uva page = begin.page(); page < end; page += page_size) {
        if (space.find(page)) continue;
        if (auto added = made.add(page, rights); !added) return added;
    }
    for (Uva page = begin.page(); page < end; page += page_size)
        if (auto filled = fill(*space.find(page), begin, begin + segment.p_filesz, end, file,
                               segment.p_offset);
            !filled)
            return filled;
    // Last, since from here on nothing can fail: the pages are there.
    for (Uva page = begin.page(); page < end; page += page_size)
        (void)space.set_rights(page, space.find(page)->rights | rights);
    made.keep();
    return {};
}

}  // namespace kern
