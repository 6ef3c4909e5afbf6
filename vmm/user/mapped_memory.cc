// SPDX-License-Identifier: MIT
#include <new>
#include <utility>

#include "kern/proc/address_space.hh"
#include "vmm/user/guest_env.hh"

namespace vmm {
namespace {

/// The table's way to give a page back: it owns a reference, and not the frame.
void give_back(Hpa page, PageSize) {
    kern::UserFrame::give_back(page);
}

}  // namespace

std::expected<std::unique_ptr<MappedMemory>, Error> MappedMemory::create(const EntryFormat& format,
                                                                         std::uint64_t bytes) {
    auto table = SecondLevelTable::create(format, give_back);
    if (!table) return std::unexpected{table.error()};
    std::unique_ptr<MappedMemory> memory{new (std::nothrow) MappedMemory{std::move(*table), bytes}};
    if (!memory) return std::unexpected{Error::OutOfMemory};
    return memory;
}

std::expected<void, Error> MappedMemory::serve_fault(const exit::NestedPageFault& fault) {
    if (fault.present) return std::unexpected{Error::Unsupported};
    // Its VMM may have mapped it just now, on another CPU.
    if (table_.lookup(fault.address)) return {};
    return std::unexpected{Error::NotFound};
}

std::expected<Hpa, Error> MappedMemory::gpa2hpa(Gpa gpa) const {
    const auto mapping = table_.lookup(gpa);
    if (!mapping) return std::unexpected{Error::NotFound};
    return mapping->address;
}

void MappedMemory::set_shootdown(Shootdown shootdown, void* context) {
    table_.set_shootdown(shootdown, context);
}

}  // namespace vmm
