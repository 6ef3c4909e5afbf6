// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "kern/elf/elf.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/error.hh"
#include "vmm/address.hh"
#include "vmm/exit.hh"
#include "vmm/guest_memory.hh"
#include "vmm/pager/elf_sections.hh"
#include "vmm/pager/loader.hh"
#include "vmm/pager/multiboot2_header.hh"
#include "vmm/paging/second_level_table.hh"
#include "vmm/refusal.hh"

namespace vmm {

/// The entry point of a kernel image as a guest-physical address (task lab5.kernel_entry).
///
/// e_entry is a virtual address, but a kernel is entered with paging off, so the guest needs the
/// physical address of that instruction. The program header whose bytes in memory hold it,
/// p_vaddr <= e_entry < p_vaddr + p_memsz, says where: each segment has its own distance between
/// p_vaddr and p_paddr.
///
/// @param kernel  an image whose headers were read; what its program headers say is untrusted
/// @return e_entry - p_vaddr + p_paddr of that PT_LOAD, below 2^40; of any of them, where several
///         hold the entry
/// @note Errors: NotFound if no PT_LOAD holds the entry, also where e_entry would be a physical
///       address of one, as in a Linux vmlinux: nothing is guessed. OutOfRange if the sum wraps or
///       is 2^40 or more. Headers that are not PT_LOAD, or whose p_vaddr + p_memsz wraps (2^64 is
///       too much already), hold nothing. A header that does not hold the entry is no error,
///       whatever it says.
/// @note Locks: none is held, none is needed.
std::expected<Gpa, Error> kernel_entry(const kern::elf::Executable& kernel);

/// Pages a kernel image into a virtual machine, each page when the guest first touches it.
///
/// It keeps two things: loaders(), which say what each registered byte of guest-physical memory is
/// before anybody has touched it, and table(), which holds the pages that somebody has touched. A
/// page moves from the one to the other in load_page.
///
/// Built by one CPU; then try_lazy_paging, gpa2hpa and gva2hpa may run on several at once.
class KernelVmPager final : public GuestMemory {
   public:
    /// Reads the headers of `kernel`, registers its segments and fills RAM around them. Reads no
    /// segment and takes no frame beyond the table's root.
    ///
    /// The guest gets `ram_kib` KiB of memory in all, rounded down to pages. The image's span, from
    /// its first byte's page to its last byte's, counts in full: gaps between segments are RAM, and
    /// so is the rest of a page that a segment fills only in part (it reads as zeros). What remains
    /// is laid from 0 up to the image, and then from the image's end on. The MMIO hole is left out
    /// everywhere.
    ///
    /// @param kernel   a multiboot2 kernel, ELF32 or ELF64, all of it untrusted
    /// @param ram_kib  more than this machine has is allowed: a guest that touches it all runs out
    /// @note Errors: InvalidArgument (RAM of less than a page, less than the image's span, or more
    ///       than the 40-bit space); BadFormat (no ELF, or no multiboot2 header); Unsupported (a
    ///       required tag of that header that is not served here, or a multiboot1 header);
    ///       OutOfRange (the entry lies beyond 4 GiB); or what kernel_entry or load_phdr found.
    static std::expected<std::unique_ptr<KernelVmPager>, Refusal> from_image(
        kern::File kernel, std::uint64_t ram_kib, const EntryFormat& format);

    /// An empty pager: nothing registered. from_image builds on it, and so do tests.
    static std::expected<std::unique_ptr<KernelVmPager>, Error> create(const EntryFormat& format);

    /// Registers the loaders of one PT_LOAD segment (task lab5.load_phdr).
    ///
    /// Afterwards the bytes [p_paddr, p_paddr + p_filesz) come from `kernel` at p_offset, and
    /// [p_paddr + p_filesz, p_paddr + p_memsz) are zeros. Only loaders_ changes: nothing is read
    /// and no frame is taken, however long the segment is. Neither end need be page-aligned, nor
    /// need p_offset and p_paddr agree within the page. Another segment may own other bytes of the
    /// same page.
    ///
    /// @param phdr    a PT_LOAD header; every field is untrusted, and a sum of two may wrap
    /// @param kernel  the file that it describes; see Loader::bytes_of
    /// @return nothing. A segment of p_memsz 0 is well-formed, wherever it lies, and registers
    ///         nothing.
    /// @note Errors, with nothing registered; if several hold, any of them:
    ///       - BadFormat: p_filesz > p_memsz
    ///       - OutOfRange: p_paddr + p_memsz wraps or exceeds guest_physical_end, or a byte of
    ///         the range lies in the MMIO hole [mmio_hole_begin, mmio_hole_end)
    ///       - Truncated: p_offset + p_filesz wraps or exceeds the file's size
    ///       - Overlap: a byte already has a loader
    ///       - OutOfMemory: the loader map is full
    /// @note Locks: none is held, none is needed: one CPU builds the pager.
    /// @note Use: Loader::bytes_of, Loader::zeros, LoaderMap.
    std::expected<void, Error> load_phdr(const kern::elf::ProgramHeader& phdr,
                                         const kern::File& kernel);

    /// Makes the page at `gpa` present: READ, WRITE and EXECUTE (task lab5.load_page).
    ///
    /// A new frame (account frame_owner::guest_memory) gets what each loader on that page says, and
    /// zeros elsewhere, and table_ maps it. Several CPUs may call this at once, for any pages:
    /// - For one page, exactly one frame is published, and what the guest has written into it
    ///   since is never lost; whoever comes too late gives its own frame back; all of them succeed.
    ///   The page is filled at most once per caller. Where memory or the file fails for one caller
    ///   only, that caller may report it.
    /// - For different pages, nobody waits for another's Loader::fill.
    ///
    /// @param gpa  the page that faulted; page-aligned
    /// @return nothing. The page is present when it returns, by this CPU or another. A page that
    ///         was present before is left as it is, and nothing is read.
    /// @note Errors: NotFound (no loader has a byte of the page), OutOfMemory, or what Loader::fill
    ///       reports. The page is then as it was, and guest_memory has no frame more than before; a
    ///       later call may succeed.
    /// @note Locks: the caller holds none. Hold none of your own around Loader::fill: it reads a
    ///       file.
    /// @note Use: LoaderMap::on_page, kern::Frame, SecondLevelTable. loaders_ no longer changes.
    ///       State of your own: task_state().
    std::expected<void, Error> load_page(Gpa gpa);

    /// Registers a loader for the one page at `gpa`. Errors: Unaligned, OutOfRange (2^40 or
    /// beyond), InvalidArgument (no function), AlreadyExists (a byte of it is registered, or the
    /// page is mapped), OutOfMemory (the loader map is full).
    std::expected<void, Error> map_page(Gpa gpa, PageLoader loader);

    /// Maps `frame` (account guest_memory; the table's from now on, the caller's on an error) as a
    /// device's page at `gpa`, READ and EXECUTE only: a write faults. Errors: Unaligned,
    /// OutOfRange, AlreadyExists (a byte of the page is registered, or it is mapped), OutOfMemory.
    std::expected<void, Error> map_mmio_page(Gpa gpa, Hpa frame);

    /// Writes the multiboot2 information (command line, boot loader's name, basic memory
    /// information, memory map, end tag) into the page at `at`, and maps that page in place of its
    /// loader [multiboot2 3.6]. The map has every page with a registered byte as available RAM,
    /// neighbours merged. With `at` not zero, a guest that reads EBX = 0 as "none" finds it too. To
    /// be called last, before the VM runs.
    ///
    /// A kernel that asks for its ELF sections gets its section headers as the file has them:
    /// sh_addr is the virtual address of what a segment loads, and 0 of what none does, such as a
    /// symbol table. If they do not fit and were optional they are left out.
    /// @return the address for the guest's EBX, `at`. Errors: Unaligned, NotFound (no RAM at `at`),
    ///         OutOfRange (all that does not fit a page, or the page does not lie below 4 GiB),
    ///         OutOfMemory, Overlap (the page holds bytes of the image or of map_page), or what
    ///         reading the section headers found. On an error nothing has changed.
    std::expected<Gpa, Refusal> finalize_mem(std::string_view command_line, Gpa at = Gpa{0});

    /// The guest-physical address of the first instruction.
    Gpa entry() const { return entry_; }
    ///@{
    /// The pages that are present.
    SecondLevelTable& table() { return table_; }
    const SecondLevelTable& table() const { return table_; }
    ///@}
    /// What each registered byte is before anybody has touched it.
    const LoaderMap& loaders() const { return loaders_; }

    /// Serves a nested page fault by load_page. Errors: Unsupported (the page is present, and the
    /// permission is missing), or what load_page reports.
    std::expected<void, Error> try_lazy_paging(const exit::NestedPageFault& fault);

    /// From now on counts the nested faults on `page` that are handed to load_page; 0 at first. One
    /// page at a time. Tests hold a read until a second CPU has faulted on the same page.
    void watch_page(Gpa page);
    /// How many there were since watch_page.
    unsigned faults_on_watched_page() const {
        return watched_faults_.load(std::memory_order_acquire);
    }

    ///@{
    /// See GuestMemory. A fault is served by try_lazy_paging.
    Hpa table_root() const override { return table_.root(); }
    std::expected<void, Error> serve_fault(const exit::NestedPageFault& fault) override {
        return try_lazy_paging(fault);
    }
    std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const override;
    bool is_writable(Gpa gpa) const override { return table_.is_writable(gpa); }
    void set_shootdown(Shootdown shootdown, void* context) override {
        table_.set_shootdown(shootdown, context);
    }
    ///@}

   private:
    friend struct PagerTestAccess;

    explicit KernelVmPager(SecondLevelTable&& table) : table_{std::move(table)} {}

    /// State that a right answer of load_page may want (a lock, a set of pages under way): zeros at
    /// the start, never read or written by given code. See task_state().
    static constexpr std::size_t task_state_size = 2048;

    /// The task's state as a `T`, for which all-zero bytes must be a good start (kern::SpinLock,
    /// atomics and integers are fine) and which needs no destructor.
    template <class T>
    T& task_state() {
        static_assert(sizeof(T) <= task_state_size && alignof(T) <= 16);
        static_assert(std::is_trivially_destructible_v<T>);
        return *reinterpret_cast<T*>(load_page_state_.data());
    }

    std::expected<void, Refusal> load_segments(const kern::elf::Executable& image,
                                               const kern::File& kernel);
    std::expected<void, Error> fill_ram(std::uint64_t pages);
    std::expected<void, Error> add_ram(Gpa begin, Gpa limit, std::uint64_t& pages);

    LoaderMap loaders_{};
    SecondLevelTable table_;
    Gpa entry_{};
    ///@{
    /// For finalize_mem: the section headers that the kernel asks for, and their file.
    Multiboot2Request::Sections wanted_sections_ = Multiboot2Request::Sections::No;
    SectionTable sections_{};
    std::optional<kern::File> kernel_{};
    ///@}
    std::atomic<std::uint64_t> watched_page_{~0ULL};
    std::atomic<unsigned> watched_faults_{0};
    alignas(16) std::array<std::byte, task_state_size> load_page_state_{};
};

}  // namespace vmm
