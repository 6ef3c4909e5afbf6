// SPDX-License-Identifier: MIT
#pragma once

#include <expected>

#include "vmm/address.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// Where the byte at `gpa` lies for an access that the host makes in the guest's place, up to the end
/// of its page. A page that is not there is made present, as at an access of the guest's own
/// (GuestMemory::serve_fault), and a write is refused where the guest may not write.
/// @param write  it is written
/// @return an error is why the VM is to end, as it would by such an access of its own
std::expected<Hpa, ExitFailure> touch_guest(Vcpu& vcpu, Gpa gpa, bool write);

}  // namespace vmm
