// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "guest/gkernel/options.hh"
#include "guest/gkernel/results.hh"
#include "kern/boot/boot_info.hh"

namespace guest {

/// Problems (bits) of the memory map that the host gave, and in `kib` how much RAM it names.
std::uint64_t check_memory_map(const kern::BootInfo& boot, std::uint64_t& kib);

/// Reads the pages, and writes them if that was asked for.
AreaResult touch(const Pages& pages, std::uint64_t key);

/// The digest of the one page `number` of `area`.
std::uint64_t digest_of_page(Area area, std::uint64_t number, std::uint64_t key);

}  // namespace guest
