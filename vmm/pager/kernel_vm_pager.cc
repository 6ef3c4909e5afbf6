// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"

#include <algorithm>
#include <new>

namespace vmm {
namespace {

Gpa next_page(Gpa address) {
    return Gpa{kern::align_up(address.value(), page_size)};
}

std::unexpected<Refusal> refuse(Error error, const char* reason,
                                std::optional<std::uint32_t> number = {}) {
    return std::unexpected(Refusal{error, reason, number});
}

const char* why_no_elf(Error error) {
    switch (error) {
        case Error::BadFormat:
            return "it is no ELF executable, or its headers contradict themselves";
        case Error::Truncated: return "its headers tell of more bytes than the file has";
        case Error::Unsupported: return "it is no x86 executable, or has too many program headers";
        default: return "reading its ELF headers";
    }
}

const char* why_no_segment(Error error) {
    switch (error) {
        case Error::BadFormat: return "p_filesz is greater than p_memsz: program header";
        case Error::OutOfRange: return "it leaves 2^40 or is in the MMIO hole: program header";
        case Error::Truncated: return "the file ends before its bytes: program header";
        case Error::Overlap: return "it shares a byte with another: program header";
        default: return "its segment cannot be registered: program header";
    }
}

/// A vmlinux has the physical address in e_entry, which is virtual by [elf 4].
const char* why_no_entry(const kern::elf::Executable& image, Error error) {
    if (error != Error::NotFound) return "its entry point lies beyond 2^40";
    const std::uint64_t entry = image.header().entry;
    for (const auto& phdr : image.program_headers())
        if (phdr.p_type == kern::elf::pt_load && entry >= phdr.p_paddr &&
            entry - phdr.p_paddr < phdr.p_memsz)
            return "e_entry is a physical address: a virtual one is wanted";
    return "no segment holds its entry point";
}

/// A guest begins in 32-bit protected mode [multiboot2 3.3].
constexpr std::uint64_t protected_mode_end = 1ULL << 32;

}  // namespace

std::expected<std::unique_ptr<KernelVmPager>, Error> KernelVmPager::create(
    const EntryFormat& format) {
    auto table = SecondLevelTable::create(format);
    if (!table) return std::unexpected(table.error());
    std::unique_ptr<KernelVmPager> pager{new (std::nothrow) KernelVmPager{std::move(*table)}};
    if (!pager) return std::unexpected(Error::OutOfMemory);
    return pager;
}

std::expected<std::unique_ptr<KernelVmPager>, Refusal> KernelVmPager::from_image(
    kern::File kernel, std::uint64_t ram_kib, const EntryFormat& format) {
    const std::uint64_t pages = ram_kib / (page_size / 1024);
    if (pages == 0 || pages > guest_physical_end / page_size)
        return refuse(Error::InvalidArgument, "ram= is less than a page, or more than 2^40 bytes");

    const kern::FilePeeker peeker{kernel};
    const auto image = kern::elf::elf_decode(peeker);
    if (!image) return refuse(image.error(), why_no_elf(image.error()));
    const auto request = check_multiboot2_header(kernel);
    if (!request) return std::unexpected(request.error());

    auto made = create(format);
    if (!made) return refuse(made.error(), "no memory for its table");
    KernelVmPager& pager = **made;
    if (const auto loaded = pager.load_segments(*image, kernel); !loaded)
        return std::unexpected(loaded.error());
    const auto entry = kernel_entry(*image);
    if (!entry) return refuse(entry.error(), why_no_entry(*image, entry.error()));
    if (entry->value() >= protected_mode_end)
        return refuse(Error::OutOfRange, "its entry lies beyond 4 GiB: it begins without paging");
    pager.entry_ = *entry;
    if (const auto filled = pager.fill_ram(pages); !filled)
        return refuse(filled.error(), filled.error() == Error::InvalidArgument
                                          ? "ram= is less than its image, or more than 2^40 bytes"
                                          : "too many gaps between its segments");

    using Sections = Multiboot2Request::Sections;
    if (request->sections != Sections::No) {
        const auto sections = find_section_table(peeker);
        if (sections) {
            pager.wanted_sections_ = request->sections;
            pager.sections_ = *sections;
            pager.kernel_ = kernel;
        } else if (request->sections == Sections::Required) {
            return refuse(sections.error(), "its section headers, which it asks for, are damaged");
        }
    }
    return std::move(*made);
}

std::expected<void, Refusal> KernelVmPager::load_segments(const kern::elf::Executable& image,
                                                          const kern::File& kernel) {
    std::uint32_t number = 0;
    for (const auto& phdr : image.program_headers()) {
        if (phdr.p_type == kern::elf::pt_load)
            if (const auto loaded = load_phdr(phdr, kernel); !loaded)
                return refuse(loaded.error(), why_no_segment(loaded.error()), number);
        ++number;
    }
    return {};
}

std::expected<void, Error> KernelVmPager::fill_ram(std::uint64_t pages) {
    const auto segments = loaders_.all();
    const Gpa image_begin = segments.empty() ? Gpa{0} : segments.front().begin().page();
    const Gpa image_end = segments.empty() ? Gpa{0} : next_page(segments.back().end());
    std::uint64_t image_pages = (image_end - image_begin) / page_size;
    if (image_begin < mmio_hole_begin && mmio_hole_end < image_end)
        image_pages -= (mmio_hole_end - mmio_hole_begin) / page_size;
    if (pages < image_pages) return std::unexpected(Error::InvalidArgument);
    std::uint64_t left = pages - image_pages;

    // Gaps between segments, in whole pages: the rest of a segment's page is zeros without a
    // loader. Each turn looks for the next segment anew, because adding a gap moves the loaders
    // behind it.
    for (Gpa gap = image_begin; gap < image_end;) {
        const Loader next = loaders_.in_range(gap, image_end).front();
        std::uint64_t counted_already = image_pages;
        if (auto added = add_ram(gap, next.begin().page(), counted_already); !added) return added;
        gap = next_page(next.end());
    }
    if (auto added = add_ram(Gpa{0}, image_begin, left); !added) return added;
    if (auto added = add_ram(image_end, Gpa{guest_physical_end}, left); !added) return added;
    if (left != 0) return std::unexpected(Error::InvalidArgument);
    return {};
}

/// Registers RAM from `begin` up to `limit`, at most `pages` pages; takes what it has registered
/// from `pages`.
std::expected<void, Error> KernelVmPager::add_ram(Gpa begin, Gpa limit, std::uint64_t& pages) {
    const struct {
        Gpa from, to;
    } around_hole[] = {{begin, std::min(limit, mmio_hole_begin)},
                       {std::max(begin, mmio_hole_end), limit}};
    for (const auto& part : around_hole) {
        if (part.from >= part.to) continue;
        const std::uint64_t count = std::min(pages, (part.to - part.from) / page_size);
        if (count == 0) continue;
        const auto ram = Loader::zeros(part.from, part.from + count * page_size);
        if (auto added = loaders_.add(ram); !added) return added;
        pages -= count;
    }
    return {};
}

std::expected<void, Error> KernelVmPager::map_page(Gpa gpa, PageLoader loader) {
    if (!gpa.is_aligned()) return std::unexpected(Error::Unaligned);
    if (gpa.value() >= guest_physical_end) return std::unexpected(Error::OutOfRange);
    if (!loader.fill) return std::unexpected(Error::InvalidArgument);
    if (!loaders_.on_page(gpa).empty() || table_.lookup(gpa))
        return std::unexpected(Error::AlreadyExists);
    return loaders_.add(Loader::call(gpa, loader));
}

std::expected<void, Error> KernelVmPager::map_mmio_page(Gpa gpa, Hpa frame) {
    if (!loaders_.on_page(gpa).empty()) return std::unexpected(Error::AlreadyExists);
    return table_.map(gpa, frame, read_execute);
}

std::expected<void, Error> KernelVmPager::try_lazy_paging(const exit::NestedPageFault& fault) {
    if (fault.present) return std::unexpected(Error::Unsupported);
    const Gpa page = fault.address.page();
    if (page.value() == watched_page_.load(std::memory_order_relaxed))
        watched_faults_.fetch_add(1, std::memory_order_acq_rel);
    return load_page(page);
}

std::expected<Hpa, Error> KernelVmPager::gpa2hpa(Gpa gpa) const {
    const auto mapping = table_.lookup(gpa);
    if (!mapping) return std::unexpected(Error::NotFound);
    return mapping->address;
}

void KernelVmPager::watch_page(Gpa page) {
    watched_faults_.store(0, std::memory_order_relaxed);
    watched_page_.store(page.page().value(), std::memory_order_release);
}

}  // namespace vmm
