// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/exits/decode_access.hh"
#include "vmm/exits/walk_guest.hh"
#include "vmm/soft/instruction.hh"
#include "vmm/soft/shadows.hh"

namespace vmm::soft {

/// What shadow_trace came to.
enum class Traced : std::uint8_t {
    Done,     ///< the write is done, in the guest's table and in the shadows; EIP is behind it
    Dropped,  ///< the page is not traced any more; the guest tries its instruction again
};

/// Serves a write of the guest to one of its own page tables (task lab6.shadow_trace): the
/// lecture's option two. It is called when shadow_fill has said Table for the same access: so the
/// guest's tables allow the write, its accessed and dirty bits are set, and the page is traced.
///
/// **A plain store** is done here. It is one that decode_access knows as a Store, that is no string
/// instruction, and whose operand, as decoded, lies wholly in the page of `address`.
/// - The value, of the decoded size, goes into the guest's memory: GuestMemory::gpa2hpa of the page
///   says where that is, and kern::arch::direct_map leads there; walk_guest without `access` says
///   which page. EIP moves behind the instruction, modulo 2^32, and no other register changes.
/// - Each entry of 4 bytes of which a byte was written may mean something else now. A store that is
///   not aligned is over two of them. For each such entry, and each Use of the table
///   (Shadows::uses): in a table, the entry of that one page goes from both shadow tables of the
///   use's pair. In a directory, all of the entry's 4 MiB do, and Shadows::drop_use takes back the
///   use of the table that the entry led to: **a page that no entry leads to is ordinary memory
///   again**.
/// - An entry of which the value stays the same need not be forgotten. You may also fill in anew
///   what the guest's table now says, if the shadows then say no more than it does.
/// - Everything else stays in the shadows: that is what option two is for.
/// - What the active pair has lost, the real CPU's TLB must lose (it may lose more).
///
/// **Any other instruction** (it does not decode, it computes, it crosses the page's end) is not
/// done here. Every pair that has a Use of the page is dropped (Shadows::loosen), and the TLB
/// forgets everything. So the page is ordinary memory, and the guest's instruction does by itself
/// what it does; nothing else has changed. Until CR3 is written that pair is kept as with option
/// one.
///
/// @param cpu      the guest's CPU; RIP is at the instruction
/// @param memory   the guest's
/// @param shadows  with Keeping::Traced
/// @param address  where the real CPU's fault was: a byte of the operand
/// @param bytes    what stands at EIP, as far as it could be fetched
/// @note Source: [amd/vol2 5.3].
Traced shadow_trace(SoftCpu& cpu, const GuestMemory& memory, Shadows& shadows, Gva address,
                    std::span<const std::byte> bytes);

}  // namespace vmm::soft
