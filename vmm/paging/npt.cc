// SPDX-License-Identifier: MIT
#include <bit>

#include "vmm/paging/entry_format.hh"

namespace vmm {
namespace {

/// An entry of AMD's nested page tables: the format of long mode's own tables
/// [amd/vol2 5.3, 15.25.5]. Only ever a value: an entry in memory is a uint64_t.
struct NptEntry {
    std::uint64_t present : 1 = 0;
    std::uint64_t writable : 1 = 0;
    std::uint64_t user : 1 = 0;  // must be 1: every guest access counts as a user access
    std::uint64_t write_through : 1 = 0;
    std::uint64_t cache_disable : 1 = 0;
    std::uint64_t accessed : 1 = 0;
    std::uint64_t dirty : 1 = 0;
    std::uint64_t large : 1 = 0;  // PS in levels 2 and 3; PAT in level 1
    std::uint64_t global : 1 = 0;
    std::uint64_t available : 3 = 0;
    std::uint64_t frame : 40 = 0;  // address bits 51 to 12
    std::uint64_t available_high : 11 = 0;
    std::uint64_t no_execute : 1 = 0;
};
static_assert(sizeof(NptEntry) == sizeof(std::uint64_t));
#ifndef __clang__  // clang-tidy 19 evaluates no bit_cast to bit-fields
static_assert(std::bit_cast<NptEntry>(0x1ULL).present == 1);
static_assert(std::bit_cast<NptEntry>(0x2ULL).writable == 1);
static_assert(std::bit_cast<NptEntry>(0x4ULL).user == 1);
static_assert(std::bit_cast<NptEntry>(0x20ULL).accessed == 1);
static_assert(std::bit_cast<NptEntry>(0x40ULL).dirty == 1);
static_assert(std::bit_cast<NptEntry>(0x80ULL).large == 1);
static_assert(std::bit_cast<NptEntry>(0x1000ULL).frame == 1);
static_assert(std::bit_cast<NptEntry>(0x8000'0000'0000'0000ULL).no_execute == 1);
#endif

std::uint64_t with_permission(std::uint64_t entry, Permission permission) {
    auto npt = std::bit_cast<NptEntry>(entry);
    npt.present = permission.read;
    npt.writable = permission.write;
    npt.no_execute = !permission.execute;
    return std::bit_cast<std::uint64_t>(npt);
}

std::uint64_t leaf(Hpa page, Permission permission, Level level) {
    const NptEntry entry{
        .user = 1, .large = level == 1 ? 0U : 1U, .frame = page.value() >> kern::page_shift};
    return with_permission(std::bit_cast<std::uint64_t>(entry), permission);
}

std::uint64_t table(Hpa table) {
    return std::bit_cast<std::uint64_t>(NptEntry{
        .present = 1, .writable = 1, .user = 1, .frame = table.value() >> kern::page_shift});
}

DecodedEntry decode(std::uint64_t entry, Level level) {
    const auto npt = std::bit_cast<NptEntry>(entry);
    return {
        .present = npt.present != 0,
        .leaf = level == 1 || npt.large != 0,
        .address = Hpa{std::uint64_t{npt.frame} << kern::page_shift},
        .permission = {
            .read = npt.present != 0, .write = npt.writable != 0, .execute = npt.no_execute == 0}};
}

}  // namespace

const EntryFormat npt_format{.name = "NPT",
                             .leaf = leaf,
                             .with_permission = with_permission,
                             .table = table,
                             .decode = decode};

}  // namespace vmm
