// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <expected>
#include <span>

#include "vmm/address.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// Reads guest memory as the vCPU's instructions would find it at `address`, and makes nothing
/// present. Returns how many bytes could be read before a page was missing.
std::size_t read_guest(Vcpu& vcpu, Gva address, std::span<std::byte> out);

}  // namespace vmm
