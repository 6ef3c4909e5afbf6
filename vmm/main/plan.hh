// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "kern/lib/fixed.hh"
#include "kern/plan/plan.hh"
#include "vmm/address.hh"
#include "vmm/backend.hh"
#include "vmm/paging/entry_format.hh"

namespace vmm {

// The plan of virtual machines. What all plans share: kern/plan/plan.hh.
//
//   vm name=alpha file=gkernel.elf vcpus=2 ram=65536 limit=5000 keep=1 hold=0x204000:2
//   args=touch=bss
//
// One line is one virtual machine; they run one after the other, in this order.
//
//   name=TEXT       the machine's
//   file=TEXT       the guest's image
//   vcpus=N         1 to 8; default 1
//   ram=KIB         guest memory in KiB, the image included; default 65536
//   limit=MS        the VM is stopped after so many milliseconds; 0: never; default 10000
//   keep=0|1        1: the VM is not destroyed, so that its memory can be read; default 0
//   info=GPA        where the multiboot2 information goes; page-aligned; default 0
//   hold=GPA:N      the file read that serves the page at GPA waits until N faults on it were
//                   counted
//   hold=GPA:until:GPA2  that read waits until the page at GPA2 is present, and a read that serves
//                   GPA2 waits until one for GPA has begun: both are under way at once, whoever is
//                   first
//   hold_limit=MS   a held read is let go after so many milliseconds; default 2000
//   fail=GPA        every file read that serves the page at GPA fails
//   memory=N        once the VM is ready to run, the host has N frames left and no more
//   protect=GPA:r|rw|rx|rwx  the page is loaded before the start, with these permissions; up to 4
//                   times
//   mmio=GPA        a page of a device stands at GPA: READ and EXECUTE; up to 4 times
//   ports=strict|open  what an access to an I/O port that no device serves does. strict: it ends
//                   the VM with a report; open: reads give all ones, writes are ignored, as on a PC
//                   without that device. Default strict
//   exits=cr3,pf    what exits although nobody needs it: each write of CR3, each page fault of the
//                   guest's own, or both. Default none
//   apic=x2apic|xapic  the guest's local APIC. x2apic: its registers are MSRs; xapic: CPUID tells of no
//                   x2APIC, and the registers are in the page at 0xfee00000. Default x2apic
//   args=TEXT       the guest's command line
//
// Every GPA is page-aligned and below 2^40.

/// When a file read may go on that serves the page `page`.
struct HoldPlan {
    /// Until so many faults, or until another page is present.
    enum class Kind : std::uint8_t { None, Faults, Until };
    Kind kind = Kind::None;  ///< which of them
    Gpa page{};
    unsigned faults = 0;  ///< Faults: so many vCPUs have faulted on `page`
    Gpa until{};          ///< Until: this page is present
};

/// The permissions of one page before the start.
struct ProtectPlan {
    Gpa page{};
    Permission permission{};
};

/// One virtual machine of the plan. Texts point into the plan's text.
struct VmPlan {
    static constexpr std::size_t max_pages = 4;

    std::string_view name{};
    std::string_view file{};
    unsigned vcpus = 1;
    std::uint64_t ram_kib = 65536;
    std::uint64_t limit_ms = 10000;
    bool keep = false;
    Gpa information{};
    HoldPlan hold{};
    std::uint64_t hold_limit_ms = 2000;
    bool has_fail = false;
    Gpa fail{};
    bool has_memory = false;
    std::uint64_t memory_frames = 0;
    kern::FixedList<ProtectPlan, max_pages> protect{};
    kern::FixedList<Gpa, max_pages> mmio{};
    bool open_ports = false;
    OptionalExits exits{};
    bool x2apic = true;
    std::string_view args{};
};

/// Reads the whole plan into `machines`.
/// @return how many there are
/// @note The first error ends the reading. More lines than `machines` has places is an error.
std::expected<std::size_t, kern::plan::PlanError> parse_plan(std::string_view text,
                                                             std::span<VmPlan> machines);

}  // namespace vmm
