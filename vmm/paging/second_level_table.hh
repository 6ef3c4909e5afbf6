// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "kern/mm/frame_allocator.hh"
#include "vmm/address.hh"
#include "vmm/paging/entry_format.hh"

namespace vmm {

/// The size of a page, in bytes.
enum class PageSize : std::uint64_t { Small = kern::page_size, Large = kern::large_page_size };

/// What a table says of one guest-physical address.
struct Mapping {
    Hpa address;            ///< of the very byte asked for
    Permission permission;  ///< of its page
    PageSize size;          ///< of its page
};

/// The second-level page table of one virtual machine: guest-physical to host-physical.
///
/// Every method may be called on several CPUs at once, and none takes a lock: each change is one
/// compare-and-swap of one entry, and a table, once it is part of the tree, stays until the end.
/// Only construction, set_shootdown and destruction belong to one CPU. The table owns its own
/// frames (account second_level_table) and, from a successful map on, the frames that it maps
/// (account guest_memory, unless it was told another way to give them back): it gives all of them
/// back when it is destroyed.
class SecondLevelTable {
   public:
    /// Called after entries were changed or removed that other CPUs may hold in their TLBs: every
    /// vCPU of this VM must have left the guest, and must flush before it enters again, when it
    /// returns.
    using Shootdown = void (*)(void* context);

    /// Gives a page back that the table owned.
    using GiveBack = void (*)(Hpa page, PageSize size);
    /// Frees the page's frames, on account guest_memory.
    static void free_guest_memory(Hpa page, PageSize size);

    /// An empty table, which gives back what it maps at its end by `give_back`. Error: OutOfMemory.
    static std::expected<SecondLevelTable, Error> create(const EntryFormat& format,
                                                         GiveBack give_back = free_guest_memory);
    /// Takes everything over; the other one is empty and may only be destroyed.
    SecondLevelTable(SecondLevelTable&&) noexcept;
    SecondLevelTable& operator=(SecondLevelTable&&) = delete;
    ~SecondLevelTable();

    /// How its entries are written.
    const EntryFormat& format() const { return *format_; }
    /// The root table's address, for the VMCB's nCR3 or the VMCS's EPT pointer.
    Hpa root() const { return root_; }

    /// Maps the page at `gpa` to the frame (or the 512 frames) at `page`, at once and atomically:
    /// every CPU sees no entry or the whole one. On success the table owns the frames; on an error
    /// they stay the caller's and no page has changed (tables made on the way stay, for the next
    /// attempt). Errors: Unaligned (`gpa` or `page`, for this size), OutOfRange (2^40 or beyond),
    /// InvalidArgument (a permission without read), AlreadyExists (something is mapped there,
    /// perhaps by another CPU just now; for a large page also: there is a table of small ones),
    /// OutOfMemory (for a table).
    std::expected<void, Error> map(Gpa gpa, Hpa page, Permission permission,
                                   PageSize size = PageSize::Small);

    /// Removes the page that holds `gpa`, shoots it down, and gives its frames to the caller, who
    /// must free them (account guest_memory). The mapping returned is that of the page's first
    /// byte. Error: NotFound.
    std::expected<Mapping, Error> unmap(Gpa gpa);

    /// Changes the permission of the page that holds `gpa`, and shoots it down. What the CPU has
    /// noted in the entry (accessed, dirty) is kept. Errors: NotFound, InvalidArgument (a
    /// permission without read).
    std::expected<void, Error> protect(Gpa gpa, Permission permission);

    /// The mapping of `gpa`; nothing if its page is not present.
    std::optional<Mapping> lookup(Gpa gpa) const;
    /// Whether the page of `gpa` is present, and may be written.
    bool is_writable(Gpa gpa) const {
        const auto mapping = lookup(gpa);
        return mapping && mapping->permission.write;
    }

    /// The level-1 entry of `gpa`'s 4 KiB page, with the tables above it made where they are
    /// missing; touch it through std::atomic_ref only. It stays valid as long as the table. An
    /// entry stored there must be made by format().leaf. Errors: OutOfMemory, OutOfRange,
    /// AlreadyExists (a 2 MiB page is mapped there).
    std::expected<std::uint64_t*, Error> entry(Gpa gpa);

    /// Pages present, in units of 4 KiB. While other CPUs map and unmap, a value between.
    std::uint64_t present_pages() const;

    /// Who is to be called when entries change (nullptr: nobody); nobody at first. To be set while
    /// no vCPU runs.
    void set_shootdown(Shootdown shootdown, void* context);

   private:
    SecondLevelTable(const EntryFormat& format, Hpa root, GiveBack give_back)
        : format_{&format}, root_{root}, give_back_{give_back} {}
    void shoot_down() const;

    const EntryFormat* format_;  // null in a table that was moved from
    Hpa root_;
    GiveBack give_back_;
    Shootdown shootdown_ = nullptr;
    void* shootdown_context_ = nullptr;
};

}  // namespace vmm
