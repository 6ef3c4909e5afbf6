// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string_view>

#include "kern/elf/elf.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/error.hh"
#include "vmm/address.hh"
#include "vmm/exit.hh"
#include "vmm/pager/loader.hh"
#include "vmm/paging/second_level_table.hh"

namespace vmm {

/// The entry point of a kernel image as a guest-physical address (task lab5.kernel_entry).
///
/// e_entry is a virtual address, but a kernel is entered with paging off, so the guest needs the
/// physical address of that instruction. The program header whose bytes in memory hold it,
/// p_vaddr <= e_entry < p_vaddr + p_memsz, says where: each segment has its own distance between
/// p_vaddr and p_paddr.
///
/// @param kernel  an image whose header was checked; its program headers are untrusted
/// @return e_entry - p_vaddr + p_paddr of that PT_LOAD, below 2^40
/// @note Errors: NotFound if no PT_LOAD holds the entry; OutOfRange if the sum wraps or is 2^40 or
///       more; an error of reading a program header as it is. Headers that are not PT_LOAD, or whose
///       p_vaddr + p_memsz wraps, hold nothing.
/// @note Locks: none is held, none is needed.
std::expected<Gpa, Error> kernel_entry(const kern::elf::Executable& kernel);

/// Pages a kernel image into a virtual machine, each page when the guest first touches it.
///
/// Built by one CPU; then try_lazy_paging, gpa2hpa and gva2hpa may run on several at once.
class KernelVmPager {
   public:
    /// Reads the headers of `kernel`, registers its segments and usable RAM of `ram_kib` KiB in all
    /// (image included, rounded down to pages) around it, leaving out the MMIO hole. Reads no segment
    /// and takes no frame beyond the table's root.
    /// Errors: InvalidArgument (RAM of 0, or less than the image), or what parsing, kernel_entry or
    /// load_phdr found.
    static std::expected<std::unique_ptr<KernelVmPager>, Error> from_image(
        kern::File kernel, std::uint64_t ram_kib, const EntryFormat& format);

    KernelVmPager(const KernelVmPager&) = delete;
    KernelVmPager& operator=(const KernelVmPager&) = delete;

    /// An empty pager: nothing registered. from_image builds on it, and so do tests.
    static std::expected<std::unique_ptr<KernelVmPager>, Error> create(const EntryFormat& format);

    /// Registers the loaders of one PT_LOAD segment (task lab5.load_phdr).
    ///
    /// Afterwards the bytes [p_paddr, p_paddr + p_filesz) come from `kernel` at p_offset and
    /// [p_paddr + p_filesz, p_paddr + p_memsz) are zeros. Nothing is read now. Neither end need be
    /// page-aligned, and another segment may own other bytes of the same page.
    ///
    /// @param phdr    a PT_LOAD header; every field is untrusted
    /// @param kernel  the file that it describes
    /// @return nothing. A segment of p_memsz 0 is well-formed and registers nothing.
    /// @note Errors, with nothing registered: BadFormat if p_filesz > p_memsz; OutOfRange if
    ///       p_paddr + p_memsz wraps or leaves the 40-bit space, or the range touches the MMIO hole
    ///       [mmio_hole_begin, mmio_hole_end); Truncated if p_offset + p_filesz wraps or lies beyond
    ///       the file's end; Overlap if a byte already belongs to another loader; OutOfMemory if the
    ///       loader map is full.
    /// @note Locks: none is held; one CPU builds the pager.
    std::expected<void, Error> load_phdr(const kern::elf::ProgramHeader& phdr,
                                         const kern::File& kernel);

    /// Makes the page at `gpa` present: READ, WRITE and EXECUTE (task lab5.load_page).
    ///
    /// The frame (account frame_owner::guest_memory) holds what every loader on that page says, and
    /// zeros elsewhere. Several CPUs may call this at once:
    /// - for one page, exactly one frame is published, whoever loses frees its own, and all of them
    ///   succeed; the page is never filled more often than there are callers;
    /// - for different pages, nobody waits for another's Loader::fill.
    ///
    /// @param gpa  the page that faulted; page-aligned
    /// @return nothing; the page is present (perhaps by another CPU) when it returns
    /// @note Errors, with no frame taken: NotFound if no loader has a byte of the page; OutOfMemory;
    ///       what Loader::fill reports. A later call for the page may succeed.
    /// @note Locks: none is held by the caller. Hold none of your own around Loader::fill.
    std::expected<void, Error> load_page(Gpa gpa);

    /// Registers a loader for the one page at `gpa`. Errors: Unaligned, OutOfRange, AlreadyExists (a
    /// byte of it is registered, or the page is mapped).
    std::expected<void, Error> map_page(Gpa gpa, PageLoader loader);

    /// Maps `frame` (account guest_memory, the table's from now on) as a device's page at `gpa`, READ
    /// and EXECUTE only: a write faults. Errors: Unaligned, OutOfRange, AlreadyExists, OutOfMemory.
    std::expected<void, Error> map_mmio_page(Gpa gpa, Hpa frame);

    /// Writes the multiboot2 information (command line, memory map of what is registered, end tag)
    /// into the page at `at`, in place of that page's loader, and maps it [multiboot2 3.6]. With `at`
    /// not zero a guest that reads EBX = 0 as "none" finds it too.
    /// @return the address for the guest's EBX, `at`. Errors: Unaligned, NotFound (no RAM at `at`),
    ///         OutOfRange (the command line and map do not fit a page), OutOfMemory, Overlap (`at` is
    ///         in the image).
    std::expected<Gpa, Error> finalize_mem(std::string_view command_line, Gpa at = Gpa{0});

    /// The guest-physical address of the first instruction.
    Gpa entry() const { return entry_; }
    SecondLevelTable& table() { return table_; }
    const SecondLevelTable& table() const { return table_; }
    const LoaderMap& loaders() const { return loaders_; }

    /// Serves a nested page fault by load_page. Errors: Unsupported (the exit is no nested page
    /// fault, or the page is present and the permission is missing), or what load_page reports.
    std::expected<void, Error> try_lazy_paging(const Exit& exit);

    /// How many nested faults on `page` were handed to load_page so far. Tests hold a read until a
    /// second CPU has faulted on the same page; counts the last pages watched by watch_page only.
    void watch_page(Gpa page);
    unsigned faults_on_watched_page() const { return watched_faults_.load(); }

    /// Where the table puts `gpa`; an error (NotFound) if the page is not present.
    std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const;

    /// How the guest translates its own addresses: its control registers.
    struct GuestPaging {
        std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
    };
    /// Where `gva` lies: a walk of the guest's page tables (paging off, 32-bit, PAE, 4 levels, large
    /// pages), each step through gpa2hpa. Errors: NotFound (not present at some level), OutOfRange (not
    /// canonical), Unsupported (5 levels).
    std::expected<Hpa, Error> gva2hpa(Gva gva, const GuestPaging& paging) const;

   private:
    friend struct PagerTestAccess;

    explicit KernelVmPager(SecondLevelTable&& table) : table_{std::move(table)} {}

    /// State that a right answer of load_page may want (a lock, a set of pages under way): zeroed at
    /// the start, never read or written by given code. See task_state().
    static constexpr std::size_t task_state_size = 2048;

    /// The task's state as a `T`, of which all-zero bytes must be the start.
    template <class T>
    T& task_state() {
        static_assert(sizeof(T) <= task_state_size && alignof(T) <= 64);
        return *reinterpret_cast<T*>(load_page_state_.data());
    }

    LoaderMap loaders_{};
    SecondLevelTable table_;
    Gpa entry_{};
    std::atomic<std::uint64_t> watched_page_{~0ULL};
    std::atomic<unsigned> watched_faults_{0};
    alignas(64) std::array<std::byte, task_state_size> load_page_state_{};
};

}  // namespace vmm
