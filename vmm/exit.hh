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
    Gpa address;                 ///< exact; on Intel and AMD alike
    bool read = false;           ///< what the access was; a write may also count as a read
    bool write = false;          ///< see read
    bool fetch = false;          ///< see read
    bool present = false;        ///< the entry was present and the permission missing
    bool in_guest_walk = false;  ///< by the CPU, while it read the guest's own page tables
};
/// IN or OUT, also INS and OUTS.
struct PortAccess {
    std::uint16_t port = 0;  ///< the first, if it spans several
    std::uint8_t size = 1;   ///< bytes: 1, 2 or 4
    bool in = false;         ///< IN or INS, otherwise OUT or OUTS
    bool string = false;     ///< INS or OUTS
    bool repeat = false;     ///< with a REP prefix
};
/// The leaf stands in EAX, the subleaf in ECX.
struct Cpuid {};
/// RDMSR or WRMSR.
struct MsrAccess {
    std::uint32_t msr = 0;  ///< the register's number
    bool write = false;     ///< WRMSR; the value stands in EDX and EAX
};
/// HLT.
struct Halt {};
/// VMMCALL on AMD, VMCALL on Intel.
struct Hypercall {};
/// A physical interrupt arrived and has been handled by the host.
struct ExternalInterrupt {};
/// The guest can take an interrupt or NMI now that it could not take before.
struct InterruptWindow {};
/// A triple fault.
struct Shutdown {};
/// The guest gets exception `vector` (error code 0, where it has one): an instruction that this
/// virtual CPU does not have or does not allow, or an exception that the host only looks at.
struct Exception {
    const char* name = nullptr;  ///< what happened, in words
    std::uint8_t vector = 0;     ///< 0 to 31
};
/// An instruction that only a more privileged host could allow: the guest goes on behind it.
struct IgnoredInstruction {
    const char* name = nullptr;  ///< the instruction's
};
/// MOV to CR3, which exits only if the host asked for it (OptionalExits). The backend has done it; the
/// guest goes on behind it.
struct Cr3Write {};
/// A page fault of the guest's own, which exits only if the host asked for it (OptionalExits).
struct GuestPageFault {
    std::uint64_t address = 0;     ///< linear; CR2 does not have it yet
    std::uint32_t error_code = 0;  ///< [amd/vol2 8.4.2]
};
/// The backend itself has done what the exit asked for; the guest goes on where it is.
struct Served {
    const char* name = nullptr;  ///< what was asked for
};
/// The CPU refused to enter the guest: `field` of the VMCB (VMCS) has `value` and breaks `rule` of
/// the manual.
struct EntryFailure {
    const char* field = nullptr;  ///< as the manual calls it
    const char* rule = nullptr;   ///< that it breaks, in words
    std::uint64_t value = 0;      ///< what it holds
    const char* task = nullptr;   ///< a task whose mistake this likely is, if any
};
/// Anything else; `name` says what it is in the manual's words.
struct Unknown {
    const char* name = nullptr;  ///< a constant
};

}  // namespace exit

/// One exit: the reason, and the vendor's raw numbers for reports.
struct Exit {
    std::variant<exit::Unknown, exit::NestedPageFault, exit::PortAccess, exit::Cpuid,
                 exit::MsrAccess, exit::Halt, exit::Hypercall, exit::ExternalInterrupt,
                 exit::InterruptWindow, exit::Shutdown, exit::Exception, exit::IgnoredInstruction,
                 exit::Cr3Write, exit::GuestPageFault, exit::Served, exit::EntryFailure>
        reason;              ///< what happened
    std::uint64_t rip = 0;   ///< of the guest, when it stopped
    std::uint64_t code = 0;  ///< exit code or exit reason
    std::array<std::uint64_t, 2>
        information{};  ///< EXITINFO1, 2; or qualification, guest-physical address
    /// In bytes, prefixes included, of the instruction that asked for the exit, where the host does
    /// it in the guest's place (see VcpuBackend::skip_instruction); otherwise it means nothing.
    std::uint8_t instruction_length = 0;
};

/// The reason in a few words, for example "nested page fault". A constant.
const char* describe(const Exit& exit);

}  // namespace vmm
