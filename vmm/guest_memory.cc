// SPDX-License-Identifier: MIT
#include "vmm/guest_memory.hh"

#include <algorithm>
#include <cstring>

#include "kern/arch/arch.hh"

namespace vmm {

std::size_t GuestMemory::read(Gva gva, const GuestPaging& paging, std::span<std::byte> out) const {
    std::size_t done = 0;
    while (done < out.size()) {
        const Gva at = gva + done;
        const auto host = gva2hpa(at, paging);
        if (!host) break;
        const std::size_t piece =
            std::min<std::size_t>(page_size - at.page_offset(), out.size() - done);
        std::memcpy(out.data() + done, kern::arch::direct_map(*host), piece);
        done += piece;
    }
    return done;
}

}  // namespace vmm
