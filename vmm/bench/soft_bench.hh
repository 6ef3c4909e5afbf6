// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "kern/fs/file_system.hh"
#include "vmm/backend.hh"

/// The measurements of virtualization in software (lab 6).
namespace vmm::bench {

/// An emulated CLI, a shadow's entry on demand, and a store to a traced table, each against a fault
/// of ring 3 that does next to nothing, and each in a guest of 8 MiB and in one of 256 MiB.
void measure_traps();

/// The same work of guest/tiny with option one, option two, and in a virtual machine with nested
/// paging: exits, page tables that were loaded, time.
/// @param image   the file's bytes
/// @param file    the same, for the pager
/// @param backend for which Vm::prepare has succeeded
/// @param times   how often
void measure_tiny(std::span<const std::byte> image, kern::File file, const Backend& backend,
                  unsigned times);

}  // namespace vmm::bench
