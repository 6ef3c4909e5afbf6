// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/soft/shadows.hh"

namespace vmm::soft {

/// What a guest has told its CPU to forget.
struct Forget {
    /// How much.
    enum class Kind : std::uint8_t {
        Nothing,
        Page,        ///< INVLPG: the page of `address`
        Everything,  ///< a write to CR3, or another way of paging
    };
    Kind kind = Kind::Nothing;  ///< how much
    Gva address{};              ///< of Page: any address in it
    /// Both are equal.
    bool operator==(const Forget&) const = default;
};

/// Makes the active pair of shadows, and the real CPU, forget what the guest's CPU forgets (task
/// lab6.shadow_flush). It is called while that pair is loose (Shadows::is_loose): with the
/// lecture's option one always.
///
/// The guest has changed its tables before, and tells the CPU only now. So whatever a shadow table
/// says of what is named may be wrong, in the kernel's table as well as in the user's; and the
/// real CPU's TLB has a copy of it, which goes by ShadowMachine's methods alone. What is *not*
/// named stays in the shadows: each entry that goes costs a trap to come back. The TLB may forget
/// more.
///
/// @param shadows  the guest's
/// @param forget   what is named
/// @note Source: [amd/vol2 5.5.2].
void shadow_flush(Shadows& shadows, const Forget& forget);

}  // namespace vmm::soft
