// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <variant>

#include "vmm/address.hh"

namespace vmm {

/// Why a guest stopped running, in words that hold for every vendor. Callers never see a VMCB or
/// VMCS.
namespace exit {

/// An access that the second-level table does not allow: AMD's nested page fault, Intel's EPT
/// violation.
struct NestedPageFault {
    Gpa address;        ///< exact; on Intel and AMD alike
    bool read = false;  ///< what the access was; a write may also count as a read
    bool write = false;
    bool fetch = false;
    bool present = false;        ///< the entry was present and the permission missing
    bool in_guest_walk = false;  ///< by the CPU, while it read the guest's own page tables
};
/// IN or OUT, also INS and OUTS.
struct PortAccess {
    std::uint16_t port = 0;
    std::uint8_t size = 1;  ///< bytes: 1, 2 or 4
    bool in = false;
    bool string = false;
    bool repeat = false;
    std::uint64_t next_rip = 0;
};
struct Cpuid {};
struct MsrAccess {
    std::uint32_t msr = 0;
    bool write = false;
};
struct Halt {};
/// VMMCALL on AMD, VMCALL on Intel.
struct Hypercall {};
/// A physical interrupt arrived and has been handled by the host.
struct ExternalInterrupt {};
/// The guest can take an interrupt now.
struct InterruptWindow {};
/// A triple fault.
struct Shutdown {};
/// An instruction that this virtual CPU does not have: the guest gets #UD.
struct MissingInstruction {
    const char* name = nullptr;
};
/// An instruction that only a more privileged host could allow: the guest goes on behind it.
struct IgnoredInstruction {
    const char* name = nullptr;
    unsigned length = 0;  ///< in bytes
};
/// The CPU refused to enter the guest: `field` of the VMCB (VMCS) has `value` and breaks `rule` of
/// the manual.
struct EntryFailure {
    const char* field = nullptr;
    const char* rule = nullptr;
    std::uint64_t value = 0;
};
/// Anything else; `name` says what it is in the manual's words.
struct Unknown {
    const char* name = nullptr;
};

}  // namespace exit

/// One exit: the reason, and the vendor's raw numbers for reports.
struct Exit {
    std::variant<exit::Unknown, exit::NestedPageFault, exit::PortAccess, exit::Cpuid,
                 exit::MsrAccess, exit::Halt, exit::Hypercall, exit::ExternalInterrupt,
                 exit::InterruptWindow, exit::Shutdown, exit::MissingInstruction,
                 exit::IgnoredInstruction, exit::EntryFailure>
        reason;
    std::uint64_t rip = 0;
    std::uint64_t code = 0;  ///< exit code or exit reason
    std::array<std::uint64_t, 2>
        information{};  ///< EXITINFO1, 2; or qualification, guest-physical address
};

/// The reason in a few words, for example "nested page fault". A constant.
const char* describe(const Exit& exit);

}  // namespace vmm
