// SPDX-License-Identifier: MIT
#include <bit>

#include "vmm/paging/entry_format.hh"

namespace vmm {
namespace {

constexpr std::uint64_t write_back = 6;  // the memory type of ordinary RAM [intel/vol3c 29.3.7]

/// An entry of Intel's extended page tables [intel/vol3c 29.3.2, tables 29-1 to 29-7].
/// Only ever a value: an entry in memory is a uint64_t.
struct EptEntry {
    std::uint64_t read : 1 = 0;
    std::uint64_t write : 1 = 0;
    std::uint64_t execute : 1 = 0;
    std::uint64_t memory_type : 3 = 0;  // of leaves; 0 in entries that point to a table
    std::uint64_t ignore_pat : 1 = 0;
    std::uint64_t large : 1 = 0;
    std::uint64_t accessed : 1 = 0;
    std::uint64_t dirty : 1 = 0;
    std::uint64_t user_execute : 1 = 0;
    std::uint64_t ignored : 1 = 0;
    std::uint64_t frame : 40 = 0;  // address bits 51 to 12
    std::uint64_t ignored_high : 11 = 0;
    std::uint64_t suppress_ve : 1 = 0;
};
static_assert(sizeof(EptEntry) == sizeof(std::uint64_t));
#ifndef __clang__  // clang-tidy 19 evaluates no bit_cast to bit-fields
static_assert(std::bit_cast<EptEntry>(0x1ULL).read == 1);
static_assert(std::bit_cast<EptEntry>(0x2ULL).write == 1);
static_assert(std::bit_cast<EptEntry>(0x4ULL).execute == 1);
static_assert(std::bit_cast<EptEntry>(0x30ULL).memory_type == write_back);
static_assert(std::bit_cast<EptEntry>(0x80ULL).large == 1);
static_assert(std::bit_cast<EptEntry>(0x100ULL).accessed == 1);
static_assert(std::bit_cast<EptEntry>(0x200ULL).dirty == 1);
static_assert(std::bit_cast<EptEntry>(0x1000ULL).frame == 1);
static_assert(std::bit_cast<EptEntry>(0x8000'0000'0000'0000ULL).suppress_ve == 1);
#endif

std::uint64_t with_permission(std::uint64_t entry, Permission permission) {
    auto ept = std::bit_cast<EptEntry>(entry);
    ept.read = permission.read;
    ept.write = permission.write;
    ept.execute = permission.execute;
    return std::bit_cast<std::uint64_t>(ept);
}

std::uint64_t leaf(Hpa page, Permission permission, Level level) {
    const EptEntry entry{.memory_type = write_back,
                         .large = level == 1 ? 0U : 1U,
                         .frame = page.value() >> kern::page_shift};
    return with_permission(std::bit_cast<std::uint64_t>(entry), permission);
}

std::uint64_t table(Hpa table) {
    return std::bit_cast<std::uint64_t>(
        EptEntry{.read = 1, .write = 1, .execute = 1, .frame = table.value() >> kern::page_shift});
}

DecodedEntry decode(std::uint64_t entry, Level level) {
    const auto ept = std::bit_cast<EptEntry>(entry);
    return {.present = ept.read != 0 || ept.write != 0 || ept.execute != 0,
            .leaf = level == 1 || ept.large != 0,
            .address = Hpa{std::uint64_t{ept.frame} << kern::page_shift},
            .permission = {
                .read = ept.read != 0, .write = ept.write != 0, .execute = ept.execute != 0}};
}

}  // namespace

const EntryFormat ept_format{.name = "EPT",
                             .leaf = leaf,
                             .with_permission = with_permission,
                             .table = table,
                             .decode = decode};

}  // namespace vmm
