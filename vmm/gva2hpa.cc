// SPDX-License-Identifier: MIT
#include <atomic>

#include "kern/arch/arch.hh"
#include "vmm/exits/walk_guest.hh"
#include "vmm/guest_memory.hh"

namespace vmm {
namespace {

Error error_of(WalkFault::Kind kind) {
    switch (kind) {
        case WalkFault::Kind::NotCanonical: return Error::OutOfRange;
        case WalkFault::Kind::Unsupported: return Error::Unsupported;
        case WalkFault::Kind::Busy: return Error::Busy;
        case WalkFault::Kind::PageFault:
        case WalkFault::Kind::NotInMemory: break;
    }
    return Error::NotFound;
}

}  // namespace

[[gnu::hot]] std::uint64_t load_guest_entry(Hpa place, unsigned size) {
    std::byte* const bytes = kern::arch::direct_map(place);
    if (size == sizeof(std::uint32_t))
        return std::atomic_ref{*reinterpret_cast<std::uint32_t*>(bytes)}.load(
            std::memory_order_relaxed);
    return std::atomic_ref{*reinterpret_cast<std::uint64_t*>(bytes)}.load(
        std::memory_order_relaxed);
}

[[gnu::hot]] bool GuestMemory::Walk::still_holds() const {
    for (unsigned i = 0; i < count_; ++i)
        if (load_guest_entry(entries_[i].place, entries_[i].size) != entries_[i].value)
            return false;
    return true;
}

std::expected<Hpa, Error> GuestMemory::gva2hpa(Gva gva, const GuestPaging& paging,
                                               Walk* walk) const {
    const auto gpa = walk_guest(*this, paging, gva, std::nullopt, walk);
    if (!gpa) return std::unexpected{error_of(gpa.error().kind)};
    return gpa2hpa(*gpa);
}

}  // namespace vmm
