// SPDX-License-Identifier: MIT
#include "vmm/exits/walk_guest.hh"

#include <atomic>

#include "kern/arch/arch.hh"
#include "vmm/x86.hh"

namespace vmm {
namespace {

using Kind = WalkFault::Kind;
using Result = std::expected<Gpa, WalkFault>;

/// Rights as an entry has them, NX turned round: a bit that is set allows.
constexpr std::uint64_t all_rights =
    guest_entry::write | guest_entry::user | guest_entry::no_execute;

struct Walker {
    const GuestMemory& memory;
    const GuestMemory::GuestPaging& paging;
    std::uint64_t gva;
    const std::optional<GuestAccess>& access;
    GuestMemory::Walk* walk;

    bool is_long = (paging.efer & efer::long_mode_active) != 0;
    bool is_wide = is_long || (paging.cr4 & cr4::physical_address_extension) != 0;
    bool has_nx = is_wide && (paging.efer & efer::no_execute_enable) != 0;

    Result page_fault(std::uint32_t code) const {
        if (!access) return std::unexpected{WalkFault{.kind = Kind::PageFault}};
        if (access->write) code |= 2;
        if (access->user) code |= 4;
        if (access->fetch && (has_nx || (paging.cr4 & cr4::smep) != 0)) code |= 16;
        return std::unexpected{WalkFault{.kind = Kind::PageFault, .error_code = code}};
    }

    bool is_allowed(std::uint64_t rights) const {
        const bool users = (rights & guest_entry::user) != 0;
        if (access->user && !users) return false;
        if (access->fetch) {
            if ((rights & guest_entry::no_execute) == 0) return false;
            return access->user || !users || (paging.cr4 & cr4::smep) == 0;
        }
        if (!access->user && users && (paging.cr4 & cr4::smap) != 0) {
            if (!access->alignment_check) return false;
        }
        if (!access->write || (rights & guest_entry::write) != 0) return true;
        return !access->user && (paging.cr0 & cr0::write_protect) == 0;
    }

    template <class Entry>
    Result down(std::uint64_t table, unsigned level, std::uint64_t rights) const {
        const unsigned bits = sizeof(Entry) == 8 ? 9 : 10;
        const unsigned shift = 12 + bits * (level - 1);
        const std::uint64_t index = gva >> shift & ((1U << bits) - 1);
        const Gpa at{table + sizeof(Entry) * index};
        const auto place = memory.gpa2hpa(at);
        if (!place) return std::unexpected{WalkFault{.kind = Kind::NotInMemory, .table = at}};
        std::atomic_ref<Entry> entry{*reinterpret_cast<Entry*>(kern::arch::direct_map(*place))};
        Entry seen = entry.load();
        if (walk != nullptr) walk->add(*place, sizeof(Entry), seen);
        if ((seen & guest_entry::present) == 0) return page_fault(0);
        const bool is_pointer = is_wide && !is_long && level == 3;
        if (is_pointer) return down<Entry>(seen & pte::address, 2, rights);

        const bool ps = level > 1 && (seen & guest_entry::large) != 0;
        bool is_last = level <= 1;
        if (sizeof(Entry) == 4)
            is_last = is_last || (ps && (paging.cr4 & cr4::page_size_extensions) != 0);
        else
            is_last = is_last || (ps && level < 4);
        if (access && sizeof(Entry) == 8) {
            std::uint64_t reserved = guest_entry::beyond_memory;
            if (!has_nx) reserved |= guest_entry::no_execute;
            if (level == 4) reserved |= guest_entry::large;
            if (is_last && level > 1) reserved |= ((1ULL << shift) - 1) & ~0x1fffULL;
            if ((seen & reserved) != 0) return page_fault(1 | 8);
        }
        const std::uint64_t allowing =
            sizeof(Entry) == 8 ? seen ^ guest_entry::no_execute : seen | guest_entry::no_execute;
        rights &= allowing;

        Result result;
        if (!is_last) {
            result = down<Entry>(seen & pte::address, level - 1, rights);
            if (!result) return result;
        } else {
            const std::uint64_t offset = gva & ((1ULL << shift) - 1);
            std::uint64_t first = seen & pte::address & ~((1ULL << shift) - 1);
            if (sizeof(Entry) == 4 && level == 2) first |= std::uint64_t{seen >> 13 & 0xff} << 32;
            result = Gpa{first + offset};
            if (access && !is_allowed(rights)) return page_fault(1);
        }
        if (!access) return result;
        Entry marked = seen | guest_entry::accessed;
        if (is_last && access->write) marked |= guest_entry::dirty;
        if (marked != seen && !entry.compare_exchange_strong(seen, marked))
            return std::unexpected{WalkFault{.kind = Kind::Busy}};
        return result;
    }

    Result once() const {
        if (is_long) return down<std::uint64_t>(paging.cr3 & pte::address, 4, all_rights);
        if (is_wide) return down<std::uint64_t>(paging.cr3 & 0xffff'ffe0, 3, all_rights);
        return down<std::uint32_t>(paging.cr3 & 0xffff'f000, 2, all_rights);
    }
};

}  // namespace

std::expected<Gpa, WalkFault> walk_guest(const GuestMemory& memory,
                                         const GuestMemory::GuestPaging& paging, Gva gva,
                                         std::optional<GuestAccess> access,
                                         GuestMemory::Walk* walk) {
    if (walk != nullptr) walk->clear();
    const Walker walker{memory, paging, gva.value(), access, walk};
    if ((paging.cr0 & cr0::paging) == 0) {
        if (gva.value() >> 32 != 0) return std::unexpected{WalkFault{.kind = Kind::NotCanonical}};
        return Gpa{gva.value()};
    }
    if (walker.is_long) {
        if ((paging.cr4 & cr4::five_levels) != 0)
            return std::unexpected{WalkFault{.kind = Kind::Unsupported}};
        const std::uint64_t upper = gva.value() >> 47;
        if (upper != 0 && upper != 0x1ffff)
            return std::unexpected{WalkFault{.kind = Kind::NotCanonical}};
    } else if (gva.value() >> 32 != 0) {
        return std::unexpected{WalkFault{.kind = Kind::NotCanonical}};
    }
    Result result = walker.once();
    for (unsigned again = 1; again < walk_attempts; ++again) {
        if (result || result.error().kind != Kind::Busy) break;
        if (walk != nullptr) walk->clear();
        result = walker.once();
    }
    return result;
}

}  // namespace vmm
