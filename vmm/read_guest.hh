// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <expected>
#include <span>

#include "vmm/address.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// GuestMemory::read for the guest of `vcpu`, as its paging is now.
std::size_t read_guest(Vcpu& vcpu, Gva address, std::span<std::byte> out);

}  // namespace vmm
