// SPDX-License-Identifier: MIT
#include "vmm/soft/shadow_fill.hh"

#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

using Kind = Filled::Kind;

Filled page_fault(Gva address, std::uint32_t code) {
    return {.kind = Kind::Fault,
            .fault = {.vector = vector::page_fault,
                      .error_code = code,
                      .address = static_cast<std::uint32_t>(address.value())}};
}

/// Whether the guest's tables, as they were walked, allow writes.
bool allows_writes(const SoftCpu& cpu, const GuestMemory::Walk& walk) {
    if (!cpu.user_mode && (cpu.cr0 & cr0::write_protect) == 0) return true;
    for (const auto& entry : walk.entries())
        if ((entry.value & guest_entry::write) == 0) return false;
    return true;
}

}  // namespace

Filled shadow_fill(const SoftCpu& cpu, const GuestMemory& memory, Shadows& shadows, Gva address,
                   const GuestAccess& access) {
    namespace bits = kern::arch::x86::page_fault;
    GuestMemory::Walk walk;
    const auto found = walk_guest(memory, cpu.paging(), address, access, &walk);
    if (!found) {
        if (found.error().kind == WalkFault::Kind::PageFault)
            return page_fault(address, found.error().error_code);
        return page_fault(address, static_cast<std::uint32_t>((access.write ? bits::write : 0) |
                                                              (access.user ? bits::user : 0)));
    }
    const Gpa page{found->value() & ~(page_size - 1)};
    const auto frame = memory.gpa2hpa(page);
    if (!frame) return {.kind = Kind::NoMemory};

    const auto entries = walk.entries();
    bool is_dirty = true;
    if (!entries.empty()) {
        shadows.trace(cpu.cr3, Gpa{entries.front().value & ~(page_size - 1)}, address);
        is_dirty = access.write || (entries.back().value & guest_entry::accessed) != 0;
    }
    const bool is_traced = shadows.is_traced(page);
    if (access.write && is_traced) return {.kind = Kind::Table};
    const ShadowEntry entry{.frame = *frame,
                            .write = allows_writes(cpu, walk) && is_dirty && !is_traced};
    const Gva at{address.value() & ~(page_size - 1)};
    if (!shadows.active(access.user).set(at, entry)) return {.kind = Kind::NoFrame};
    return {.kind = Kind::Entry};
}

}  // namespace vmm::soft
