// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "vmm/address.hh"
#include "vmm/exit.hh"

namespace vmm {

/// A guest's memory, as a virtual machine sees it: the second-level table that translates for the
/// CPU, and what is done when the guest touches a page that is not there. How pages come there is
/// the business of who inherits: KernelVmPager loads them, and a user-level VMM maps them.
///
/// All methods but set_shootdown may be called on several CPUs at once, with no lock held.
class GuestMemory {
   public:
    GuestMemory() = default;
    GuestMemory(const GuestMemory&) = delete;
    GuestMemory& operator=(const GuestMemory&) = delete;
    virtual ~GuestMemory() = default;

    /// The second-level table's root, for the VMCB's nCR3 or the VMCS's EPT pointer.
    virtual Hpa table_root() const = 0;

    /// Makes the page of `fault` present. Errors: Unsupported (it is present, and the permission is
    /// missing), NotFound (there is no memory), or what went wrong while it was loaded.
    virtual std::expected<void, Error> serve_fault(const exit::NestedPageFault& fault) = 0;

    /// Where the table puts `gpa`; an error (NotFound) if the page is not present.
    virtual std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const = 0;
    /// Whether the page of `gpa` is present, and the table lets the guest write to it.
    virtual bool is_writable(Gpa gpa) const = 0;

    /// Called after entries were changed or removed that other CPUs may hold in their TLBs: every
    /// vCPU of this VM must have left the guest, and must flush before it enters again, when it
    /// returns.
    using Shootdown = void (*)(void* context);
    /// Who is to be called when entries change (nullptr: nobody); nobody at first. To be set while
    /// no vCPU runs: before the VM does, and again when it goes and its memory stays.
    virtual void set_shootdown(Shootdown shootdown, void* context) = 0;

    /// How the guest translates its own addresses: its control registers.
    struct GuestPaging {
        ///@{
        /// As the guest sees it.
        std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
        ///@}
        /// All of them are equal.
        bool operator==(const GuestPaging&) const = default;
    };
    /// What a walk of the guest's page tables has read: as long as that stands there, and no entry
    /// of the second-level table is changed or removed, the same walk comes to the same place.
    class Walk {
       public:
        /// Whether the guest's entries are what they were.
        bool still_holds() const;

        /// Nothing has been read.
        void clear() { count_ = 0; }
        /// An entry of `size` bytes, 4 or 8, stands at `place` and held `value`. At most 4.
        void add(Hpa place, unsigned size, std::uint64_t value) {
            entries_[count_++] = {place, size, value};
        }

        /// An entry that was read.
        struct Entry {
            Hpa place;                ///< where it stands
            unsigned size = 0;        ///< bytes
            std::uint64_t value = 0;  ///< what it held, before the walk set bits in it
        };
        /// What was read, from the root on.
        std::span<const Entry> entries() const { return {entries_.data(), count_}; }

       private:
        std::array<Entry, 4> entries_{};
        unsigned count_ = 0;
    };
    /// Where `gva` lies: walk_guest, which only looks, and gpa2hpa. Errors: NotFound (not present at
    /// some level, or a table or the page not in memory), OutOfRange (4 levels: not canonical; else:
    /// beyond 4 GiB), Unsupported (5 levels).
    /// @param walk if not null, gets what has been read
    std::expected<Hpa, Error> gva2hpa(Gva gva, const GuestPaging& paging,
                                      Walk* walk = nullptr) const;

    /// Reads what the guest's instructions would find at `gva`, and makes nothing present. Returns
    /// how many bytes could be read before a page was missing.
    std::size_t read(Gva gva, const GuestPaging& paging, std::span<std::byte> out) const;
};

}  // namespace vmm
