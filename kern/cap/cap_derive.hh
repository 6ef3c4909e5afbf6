// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "kern/cap/tree.hh"

namespace kern::cap {

/// Derives a capability from another: copy, and mint with `data` (task lab8.cap_derive).
///
/// The first of these that applies is the result; then nothing was changed:
///
/// 1. SlotEmpty: `source` is empty. SlotOccupied: `destination` is not.
/// 2. NotAllowed: of IrqControl and PageTable nothing may be derived.
/// 3. HasChildren: an Untyped of which something was derived already.
/// 4. With `data`, by type:
///
/// | type | `data` is | InvalidArgument, if |
/// |---|---|---|
/// | Endpoint, Notification | the badge | it is 0, or `source` has a badge |
/// | CNode | the number of the guard's bits in bits 0 to 5, the guard in those above | there are more than 58 of them, or the guard has more bits than that |
/// | IoPorts | the first port, the last one << 16 | the last is below the first, it is not within `source`'s range, or bits above 31 are set |
/// | others | | always |
///
/// Otherwise Done, and `destination` holds a capability to the same object:
///
/// - Its rights are those that both `source` and `rights` have. Whoever asks for more gets no error
///   and no more. So it is also for types to which rights mean nothing.
/// - It has the badge, guard or range of `data`; without `data`, that of `source`.
/// - A Frame is mapped nowhere (`value` and `where` are 0), wherever `source` is mapped.
/// - An Untyped has all of the memory: its watermark is 0, and nothing of it is known to be zero
///   (`where` is 0). `source` has none left: its watermark is its size in bytes, and what its
///   `where` says does not matter any more.
/// - It stands in the tree as the first child of `source` itself. (Nothing else makes a capability
///   that `source` can revoke later.)
///
/// @param source       of whatever type
/// @param destination  empty
/// @param rights       which to keep, at most
/// @param data         nothing: a copy
[[nodiscard]] Status cap_derive(Slot& source, Slot& destination, Rights rights,
                                std::optional<std::uint64_t> data);

}  // namespace kern::cap
