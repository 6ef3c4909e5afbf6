// SPDX-License-Identifier: MIT
#pragma once

#include <expected>

#include "kern/fs/file_system.hh"
#include "vmm/address.hh"

namespace vmm {

/// Why a file cannot be started as a multiboot2 kernel.
struct HeaderRefusal {
    Error error;         ///< BadFormat, Unsupported, or what reading found
    const char* reason;  ///< in words; a constant
};

/// Looks for the multiboot2 header in the first 32 KiB of `kernel` and whether we serve what it
/// asks for [multiboot2 3.1]. A tag whose "optional" flag is set is passed over; so are the tags
/// that ask for nothing on a machine like ours (alignment of modules, of which there are none). The
/// information request is served for the command line, the boot loader's name and the memory map.
/// Errors: BadFormat (no header, or a damaged one), Unsupported (a required tag that is not
/// served), or the device's.
std::expected<void, HeaderRefusal> check_multiboot2_header(const kern::File& kernel);

}  // namespace vmm
