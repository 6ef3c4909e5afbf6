// SPDX-License-Identifier: MIT
#pragma once

#include <expected>

#include "kern/fs/file_system.hh"
#include "vmm/refusal.hh"

namespace vmm {

/// What a multiboot2 kernel asks for that it does not get unasked.
struct Multiboot2Request {
    /// Whether it wants its own section headers in the information, and what if they do not fit.
    enum class Sections : std::uint8_t { No, Optional, Required };
    Sections sections = Sections::No;  ///< information type 9
};

/// Looks for the multiboot2 header in the first 32 KiB of `kernel`, and whether we serve what it
/// asks for [multiboot2 3.1]. A tag whose "optional" flag is set is passed over where we do not
/// serve it; so are the tags that ask for nothing on a machine like ours: alignment of modules, of
/// which there are none, and what is for EFI alone.
///
/// Information is served that we can tell, or know not to be there: a type that is asked for need
/// not come [multiboot2 3.1.4]. These are command line, boot loader's name, basic memory
/// information, memory map and ELF sections; modules and the BIOS's boot device, of which our
/// guests have none.
/// @return what is asked for. Errors: BadFormat (no header, or a damaged one), Unsupported (a
///         required tag or information that is not served, whose type is the number; a multiboot1
///         header alone), OutOfMemory, or the device's.
std::expected<Multiboot2Request, Refusal> check_multiboot2_header(const kern::File& kernel);

}  // namespace vmm
