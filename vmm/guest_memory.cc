// SPDX-License-Identifier: MIT
#include "vmm/guest_memory.hh"

#include <algorithm>
#include <cstring>

#include "kern/arch/arch.hh"
#include "vmm/vm.hh"

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

std::size_t read_guest(Vcpu& vcpu, Gva address, std::span<std::byte> out) {
    const SystemRegisters system = vcpu.backend().system_registers();
    return vcpu.vm().memory().read(
        address, {.cr0 = system.cr0, .cr3 = system.cr3, .cr4 = system.cr4, .efer = system.efer},
        out);
}

}  // namespace vmm
