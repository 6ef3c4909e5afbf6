// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>

#include "kern/elf/elf.hh"
#include "kern/elf/peeker.hh"
#include "kern/lib/address.hh"
#include "kern/lib/error.hh"
#include "kern/mm/ptab.hh"

namespace kern {

/// The places in a user program's address space. Programs know the same numbers from
/// kern/user/user.ld and kern/user/user.hh.
namespace user_layout {
/// Below it nothing is ever mapped: a null pointer faults.
inline constexpr Uva begin{page_size};
/// The stack's one page; it grows down from stack_top.
inline constexpr Uva stack_page{0x1000};
/// Where RSP is at the start.
inline constexpr Uva stack_top{0x2000};
/// A page that the user library may map and unmap as it likes.
inline constexpr Uva utemp{0x3ff000};
/// Where programs are linked.
inline constexpr Uva program{0x400000};
/// Beyond the last address that may be mapped. One page below the end of the lower half: after a
/// SYSCALL in the very last bytes RIP would not be canonical, and IRETQ would fault in the kernel.
inline constexpr Uva end = Ptab::user_end - page_size;
}  // namespace user_layout

/// What a program may do with one of its pages. Every page can be read.
struct Rights {
    ///@{
    /// Whether it may.
    bool write = false;
    bool execute = false;
    ///@}
    /// Both alike.
    constexpr bool operator==(const Rights&) const = default;
};
/// What either allows.
constexpr Rights operator|(Rights a, Rights b) {
    return {.write = a.write || b.write, .execute = a.execute || b.execute};
}

/// A page of a program.
struct UserPage {
    Uva address;    ///< of its first byte in the program's address space
    Hpa frame;      ///< where it lies
    Rights rights;  ///< the program's
};

/// A counted reference to a frame of some program's memory: while there is one, the frame stays,
/// whatever the program unmaps and even when it has ended.
///
/// @note Locks: as for AddressSpace.
class [[nodiscard]] UserFrame {
   public:
    /// Takes the reference over from `other`.
    UserFrame(UserFrame&& other) noexcept
        : frame_{other.frame_}, rights_{other.rights_}, held_{other.held_} {
        other.held_ = false;
    }
    UserFrame& operator=(UserFrame&&) = delete;
    /// Gives the reference back, unless it was released.
    ~UserFrame() {
        if (held_) give_back(frame_);
    }

    /// Where the frame lies. The kernel sees it at arch::direct_map(address()).
    Hpa address() const { return frame_; }
    /// What the program may do with its page.
    Rights rights() const { return rights_; }
    /// Takes the reference out of this object: from now on somebody else (an entry of a table) has
    /// it, and gives it back by give_back.
    Hpa release() {
        held_ = false;
        return frame_;
    }
    /// Gives back one reference to `frame` that was released. The frame is freed if it was the last
    /// to show it. Panics if there is none.
    static void give_back(Hpa frame);

   private:
    friend class AddressSpace;
    UserFrame(Hpa frame, Rights rights) : frame_{frame}, rights_{rights} {}

    Hpa frame_;
    Rights rights_;
    bool held_ = true;
};

/// One program's memory: its page table, and a list of its pages, which is what the kernel believes
/// in. The kernel never follows a program's pointer: it looks the page up in the list, checks the
/// right, and copies through the direct map of physical memory. So a bad pointer is an error, and
/// no fault.
///
/// @note Locks: whoever uses an address space sees to it that nobody else does; the process layer
/// has one lock for all.
class AddressSpace {
   public:
    /// An empty one. Error: OutOfMemory.
    static std::expected<std::unique_ptr<AddressSpace>, Error> create();
    AddressSpace(const AddressSpace&) = delete;
    AddressSpace& operator=(const AddressSpace&) = delete;
    /// Gives back the tables, and each page that no other address space shares. It must not be in
    /// use on any CPU.
    ~AddressSpace();

    /// Maps a new frame filled with zeros at `address` and returns the page.
    /// Errors: Unaligned, OutOfRange (outside [user_layout::begin, user_layout::end)),
    /// AlreadyExists, OutOfMemory. After an error nothing has changed.
    std::expected<UserPage, Error> allocate_page(Uva address, Rights rights);
    /// The same, but a page that is already there is replaced by the new one. Errors: as
    /// allocate_page without AlreadyExists.
    std::expected<void, Error> renew_page(Uva address, Rights rights);
    /// Maps the page that `source` has at `source_address` at `address` too: one frame, seen
    /// through both. A page that is already there is replaced. `rights` must not exceed those that
    /// `source` has. Errors: as allocate_page without AlreadyExists; NotFound (`source` has no such
    /// page), InvalidArgument (more rights than `source` has).
    std::expected<void, Error> share_page(Uva address, const AddressSpace& source,
                                          Uva source_address, Rights rights);
    /// Changes the rights of the page at `address`. Errors: Unaligned, OutOfRange, NotFound.
    std::expected<void, Error> set_rights(Uva address, Rights rights);
    /// Unmaps the page at `address` and frees its frame if it was the last to have it.
    /// Errors: Unaligned, OutOfRange, NotFound.
    std::expected<void, Error> unmap_page(Uva address);

    /// The page that holds `address`, if there is one.
    std::optional<UserPage> find(Uva address) const;
    /// A reference to the frame of the page that holds `address`, which need not be aligned;
    /// nothing if no page is there.
    std::optional<UserFrame> reference(Uva address) const;
    /// How many pages there are.
    std::size_t page_count() const { return count_; }
    /// Page number `index` in the order of addresses.
    UserPage page(std::size_t index) const;
    /// The 4096 bytes of a page, through the direct map.
    static std::span<std::byte, page_size> bytes(const UserPage& page);

    /// Copies what the program has at `from` into `to`. Error: OutOfRange, if any byte is not
    /// mapped or the range wraps; nothing is copied then.
    std::expected<void, Error> copy_from_user(std::span<std::byte> to, Uva from) const;
    /// Copies `from` to where the program has `to`. Error: OutOfRange, if any byte is not mapped or
    /// may not be written by the program, or the range wraps; nothing is copied then.
    std::expected<void, Error> copy_to_user(Uva to, std::span<const std::byte> from);
    /// Whether all `size` bytes at `begin` are the program's, and may be written if `write`.
    bool allows(Uva begin, std::uint64_t size, bool write) const;

    /// What CR3 holds while this program runs.
    Hpa root() const { return table_.root(); }

   private:
    friend class UserFrame;
    /// A frame, and how many pages of all address spaces and how many references show it.
    struct SharedFrame;
    struct Entry {
        Uva address;
        Rights rights;
        SharedFrame* frame = nullptr;
    };

    explicit AddressSpace(Ptab table) : table_{std::move(table)} {}
    std::size_t index_at_or_above(Uva address) const;
    Entry* entry_of(Uva address) const;
    std::expected<void, Error> put(Uva address, SharedFrame* frame, Rights rights);
    static void drop(SharedFrame* frame);

    Ptab table_;
    std::unique_ptr<Entry[]> pages_;  // ascending
    std::size_t count_ = 0;
    std::size_t capacity_ = 0;
};

/// Loads one PT_LOAD segment of a program (task lab1.map_segment).
///
/// Every page that holds a byte of [p_vaddr, p_vaddr + p_memsz) is mapped:
/// - A page that the space does not have is allocated (allocate_page: zeroed). One that another
///   segment already brought is kept, and its rights become those of both together.
/// - The page may be written only if p_flags has pf_w, and executed only if it has pf_x.
/// - The first p_filesz bytes of the segment are those of the file from p_offset on, at exactly
///   their addresses; the rest up to p_memsz are zeros, also on a page shared with an earlier
///   segment. No other byte of a shared page changes.
/// - A segment with p_memsz and p_filesz 0 has no pages, and is no error wherever it says that it
///   lies: linkers leave such ones behind. p_type is not looked at.
///
/// @param space    gets the pages
/// @param segment  as it stands in the file: any of its numbers may be anything, and sums may wrap
/// @param file     where p_offset counts from
/// @note Errors: BadFormat (p_filesz greater than p_memsz; p_vaddr and p_offset differ modulo
/// the page size), OutOfRange (a page outside [user_layout::begin, user_layout::end), that is page
/// zero or the kernel's half; the end wraps), Truncated (the file ends before
/// p_offset + p_filesz), OutOfMemory, or the file's own. After an error the space has the pages
/// and rights that it had before.
/// @note Locks: as for AddressSpace.
std::expected<void, Error> map_segment(AddressSpace& space, const elf::ProgramHeader& segment,
                                       const Peeker& file);

}  // namespace kern
