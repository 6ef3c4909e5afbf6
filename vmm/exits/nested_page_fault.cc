// SPDX-License-Identifier: MIT
#include "vmm/exits/exits.hh"
#include "vmm/exits/handle_mmio.hh"
#include "vmm/exits/touch_guest.hh"
#include "vmm/vm.hh"

namespace vmm::exits {
namespace {

bool is_in_hole(Gpa address) {
    return address >= mmio_hole_begin && address < mmio_hole_end;
}

const char* why_not_served(const exit::NestedPageFault& fault, Error error) {
    if (is_in_hole(fault.address) && !fault.present)
        return "access in the MMIO hole, where no device is";
    if (fault.present && fault.write) return "write to a page that the guest may not write";
    if (fault.present && fault.fetch) return "fetch from a page that the guest may not execute";
    if (fault.present) return "read of a page that the guest may not read";
    if (error == Error::NotFound) return "access to guest-physical memory that is not there";
    return "a page of the guest could not be loaded";
}

/// An access to a device's registers in memory.
Handled access_device(Vcpu& vcpu, const Exit& exit, const exit::NestedPageFault& fault) {
    if (fault.in_guest_walk)
        return std::unexpected{ExitFailure{"the guest's page tables lie in a device's registers"}};
    if (fault.fetch)
        return std::unexpected{ExitFailure{"fetch of an instruction from a device's registers"}};
    return handle_mmio(vcpu, exit, fault);
}

/// A page of memory that is not there.
[[gnu::hot]] Handled serve_page(Vcpu& vcpu, const exit::NestedPageFault& fault) {
    const bool again = vcpu.count_nested_fault(fault.address.page());
    if (VmObserver* const observer = vcpu.vm().observer())
        observer->before_fault_is_served(fault.address.page(), vcpu.index());
    const auto served = vcpu.vm().memory().serve_fault(fault);
    if (served) {
        // The guest executes the same instruction again. Were the page still missing, it would do
        // so for ever: so look, but not before it has come back.
        if (!again || vcpu.vm().memory().gpa2hpa(fault.address)) return {};
        return std::unexpected{
            ExitFailure{"load_page reported success, and the page is not present"}};
    }
    return std::unexpected{ExitFailure{why_not_served(fault, served.error()), served.error()}};
}

}  // namespace

[[gnu::hot]] Handled handle(Vcpu& vcpu, const Exit& exit, const exit::NestedPageFault& fault) {
    if (is_in_hole(fault.address) && !fault.present && vcpu.vm().mmio().has(fault.address))
        return access_device(vcpu, exit, fault);
    return serve_page(vcpu, fault);
}

}  // namespace vmm::exits

namespace vmm {

std::expected<Hpa, ExitFailure> touch_guest(Vcpu& vcpu, Gpa gpa, bool write) {
    GuestMemory& memory = vcpu.vm().memory();
    const auto present = memory.gpa2hpa(gpa);
    if (present && (!write || memory.is_writable(gpa))) return *present;
    const exit::NestedPageFault fault{
        .address = gpa, .read = !write, .write = write, .present = present.has_value()};
    if (const auto served = exits::serve_page(vcpu, fault); !served)
        return std::unexpected{served.error()};
    const auto host = memory.gpa2hpa(gpa);
    if (!host)
        return std::unexpected{
            ExitFailure{"load_page reported success, and the page is not present"}};
    return *host;
}

}  // namespace vmm
