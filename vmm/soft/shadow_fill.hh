// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/exits/walk_guest.hh"
#include "vmm/soft/shadows.hh"

namespace vmm::soft {

/// What shadow_fill came to.
struct Filled {
    /// Which.
    enum class Kind : std::uint8_t {
        Entry,     ///< there is an entry that allows the access: the instruction is tried again
        Table,     ///< a write to a page that is traced: it is shadow_trace's
        Fault,     ///< the guest's own page fault
        NoMemory,  ///< the guest's tables lead where it has no memory
        NoFrame,   ///< the host has no frame for a shadow table
    };
    Kind kind;           ///< which
    GuestFault fault{};  ///< of Fault
    /// Both are equal.
    bool operator==(const Filled&) const = default;
};

/// Serves a page fault that the real CPU raised while the guest ran (task lab6.shadow_fill).
///
/// The real CPU knows the shadow tables alone. That they lack an entry, or a right, says nothing
/// yet: the guest's own tables decide.
///
/// 1. **Virtual to physical**, by the guest's tables: walk_guest with `access`, which sets accessed
///    and dirty bits as the guest's CPU would. If it is a page fault, the guest gets it: \#PF with
///    *that* error code, and `address` for CR2. The real CPU's error code is another: for it all
///    the guest is ring 3, and a page that is not in the shadow is not present. A table that is not
///    in the guest's memory has no present entries: the same page fault with the bits of `access`
///    for write and user alone (as in vmm/soft/linear.hh).
/// 2. **Physical to machine**: GuestMemory::gpa2hpa of the page. An error there is NoMemory.
/// 3. With paging on, Shadows::trace is told of the table that the last entry stands in, before the
///    rights are decided: its physical address stands in the directory's entry, the first one of the
///    walk. (A table that maps itself is traced by that, and must not be writable.)
/// 4. **Rights.** The entry goes into the active pair's table of the guest's mode: the kernel's at
///    CPL 0, the user's at CPL 3, and into no other. What is not allowed at CPL 3 never gets into
///    the user's table. Ring 3 may *write* by the entry
///
/// | if the guest's tables allow writes: R/W in both entries, or CPL 0 and CR0.WP = 0 | and the dirty bit is set, after this access | and the page is not traced | then |
/// |---|---|---|---|
/// | yes | yes | yes | for a write: yes. For a read: as you like |
/// | yes | yes | no | no; and if `access` is a write: nothing is put in, and the result is Table |
/// | yes | no | | no: the first write has to come here, to set the bit |
/// | no | | | no |
///
/// Without paging (CR0.PG = 0) an address is the physical one, all is allowed, and there are no
/// tables and no bits to be set; a traced page is traced there, too.
///
/// The real CPU's TLB has no copy of an entry that was not there, and a fault makes it forget the
/// entry that it was about. So nothing is to be flushed here.
///
/// @param cpu      the guest's CPU: CPL, CR0, CR3
/// @param memory   the guest's
/// @param shadows  gets the entry
/// @param address  below 4 GiB: the real CR2
/// @param access   what was tried; `user` is SoftCpu::user_mode
/// @note Source: [amd/vol2 5.3, 5.6].
Filled shadow_fill(const SoftCpu& cpu, const GuestMemory& memory, Shadows& shadows, Gva address,
                   const GuestAccess& access);

}  // namespace vmm::soft
