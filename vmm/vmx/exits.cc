// SPDX-License-Identifier: MIT
#include "vmm/vmx/exits.hh"

#include <algorithm>
#include <array>

#include "vmm/backend.hh"

namespace vmm::vmx {
namespace {

/// Reasons from 0 on; those without a name are reserved.
constexpr std::array<const char*, 80> names{
    "exception or NMI",
    "external interrupt",
    "triple fault",
    "INIT signal",
    "start-up IPI (SIPI)",
    "I/O system-management interrupt (SMI)",
    "other SMI",
    "interrupt window",
    "NMI window",
    "task switch",
    "CPUID instruction",
    "GETSEC instruction",
    "HLT instruction",
    "INVD instruction",
    "INVLPG instruction",
    "RDPMC instruction",
    "RDTSC instruction",
    "RSM instruction",
    "VMCALL instruction",
    "VMCLEAR instruction",
    "VMLAUNCH instruction",
    "VMPTRLD instruction",
    "VMPTRST instruction",
    "VMREAD instruction",
    "VMRESUME instruction",
    "VMWRITE instruction",
    "VMXOFF instruction",
    "VMXON instruction",
    "access to a control register",
    "MOV DR instruction",
    "I/O instruction",
    "RDMSR instruction",
    "WRMSR instruction",
    "VM-entry failure: invalid guest state",
    "VM-entry failure: loading of MSRs",
    nullptr,
    "MWAIT instruction",
    "monitor trap flag",
    nullptr,
    "MONITOR instruction",
    "PAUSE instruction",
    "VM-entry failure: machine check",
    nullptr,
    "TPR below threshold",
    "APIC access",
    "virtualized EOI",
    "access to GDTR or IDTR",
    "access to LDTR or TR",
    "EPT violation",
    "EPT misconfiguration",
    "INVEPT instruction",
    "RDTSCP instruction",
    "VMX preemption timer",
    "INVVPID instruction",
    "WBINVD or WBNOINVD instruction",
    "XSETBV instruction",
    "APIC write",
    "RDRAND instruction",
    "INVPCID instruction",
    "VMFUNC instruction",
    "ENCLS instruction",
    "RDSEED instruction",
    "page-modification log full",
    "XSAVES instruction",
    "XRSTORS instruction",
    "PCONFIG instruction",
    "sub-page permission",
    "UMWAIT instruction",
    "TPAUSE instruction",
    "LOADIWKEY instruction",
    "ENCLV instruction",
    nullptr,
    "ENQCMD PASID translation failure",
    "ENQCMDS PASID translation failure",
    "bus lock",
    "instruction timeout",
    "SEAMCALL instruction",
    "TDCALL instruction",
    "RDMSRLIST instruction",
    "WRMSRLIST instruction",
};

/// Exit qualification of an EPT violation [intel/vol3c table 28-7].
namespace violation {
constexpr std::uint64_t read = 1ULL << 0;
constexpr std::uint64_t write = 1ULL << 1;
constexpr std::uint64_t fetch = 1ULL << 2;
constexpr std::uint64_t permission = 7ULL << 3;  // what the entry allows
constexpr std::uint64_t linear_valid = 1ULL << 7;
constexpr std::uint64_t final_access = 1ULL << 8;  // means something if linear_valid is set
}  // namespace violation

/// Exit qualification of an I/O instruction [intel/vol3c table 28-5].
namespace io {
constexpr std::uint64_t size = 7;  // one less than the bytes
constexpr std::uint64_t in = 1ULL << 3;
constexpr std::uint64_t string = 1ULL << 4;
constexpr std::uint64_t repeat = 1ULL << 5;
constexpr unsigned port_shift = 16;
}  // namespace io

constexpr std::uint8_t invalid_opcode = vector::invalid_opcode;
constexpr std::uint64_t longest_instruction = 15;

exit::NestedPageFault decode_ept_violation(std::uint64_t qualification, Gpa address) {
    return {.address = address,
            .read = (qualification & violation::read) != 0,
            .write = (qualification & violation::write) != 0,
            .fetch = (qualification & violation::fetch) != 0,
            .present = (qualification & violation::permission) != 0,
            .in_guest_walk = (qualification & violation::linear_valid) != 0 &&
                             (qualification & violation::final_access) == 0};
}

exit::PortAccess decode_port_access(std::uint64_t qualification) {
    return {.port = static_cast<std::uint16_t>(qualification >> io::port_shift),
            .size = static_cast<std::uint8_t>((qualification & io::size) + 1),
            .in = (qualification & io::in) != 0,
            .string = (qualification & io::string) != 0,
            .repeat = (qualification & io::repeat) != 0};
}

/// One of the few exceptions of the exception bitmap, or an NMI of the host.
decltype(Exit::reason) decode_exception(const Vmcs& vmcs) {
    const std::uint64_t information = vmcs.read(Field::exit_interruption_information);
    const std::uint64_t number = information & interruption::vector;
    if ((information & interruption::type) == interruption::nmi) return exit::ExternalInterrupt{};
    switch (number) {
        case vector::debug: return exit::Exception{"exception #DB (debug)", vector::debug};
        case vector::page_fault:
            return exit::GuestPageFault{.address = vmcs.read(Field::exit_qualification),
                                        .error_code = static_cast<std::uint32_t>(
                                            vmcs.read(Field::exit_interruption_error_code))};
        case vector::alignment_check:
            return exit::Exception{"exception #AC (alignment check)", vector::alignment_check};
        default: return exit::Unknown{"exception that the host did not ask for"};
    }
}

[[gnu::hot]] decltype(Exit::reason) decode_reason(const Vmcs& vmcs, std::uint32_t reason,
                                                  const Exit& exit, std::uint64_t rcx) {
    const auto msr = static_cast<std::uint32_t>(rcx);
    switch (reason) {
        case exit_reason::exception_or_nmi: return decode_exception(vmcs);
        case exit_reason::external_interrupt:
        case exit_reason::preemption_timer: return exit::ExternalInterrupt{};
        case exit_reason::interrupt_window:
        case exit_reason::nmi_window: return exit::InterruptWindow{};
        case exit_reason::triple_fault: return exit::Shutdown{};
        case exit_reason::cpuid: return exit::Cpuid{};
        case exit_reason::hlt: return exit::Halt{};
        case exit_reason::vmcall: return exit::Hypercall{};
        case exit_reason::rdmsr: return exit::MsrAccess{.msr = msr, .write = false};
        case exit_reason::wrmsr: return exit::MsrAccess{.msr = msr, .write = true};
        case exit_reason::io_instruction: return decode_port_access(exit.information[0]);
        case exit_reason::ept_violation:
            return decode_ept_violation(exit.information[0], Gpa{exit.information[1]});
        case exit_reason::invd:
        case exit_reason::wbinvd: return exit::IgnoredInstruction{exit_name(reason)};
        case exit_reason::rdpmc:
            return exit::Exception{exit_name(reason), vector::general_protection};
        case exit_reason::getsec:
        case exit_reason::rsm:
        case exit_reason::mwait:
        case exit_reason::monitor:
        case exit_reason::xsetbv:
        // Without CR4.VMXE, which the guest cannot have, all of VMX raises #UD.
        case exit_reason::invept:
        case exit_reason::invvpid: return exit::Exception{exit_name(reason), invalid_opcode};
        default: break;
    }
    if (reason >= exit_reason::vmclear && reason <= exit_reason::vmxon)
        return exit::Exception{exit_name(reason), invalid_opcode};
    return exit::Unknown{exit_name(reason)};
}

bool has_physical_address(std::uint32_t reason) {
    return reason == exit_reason::ept_violation || reason == exit_reason::ept_misconfiguration;
}

}  // namespace

const char* exit_name(std::uint32_t reason) {
    const std::uint32_t basic = reason & exit_reason::basic;
    if (basic < names.size() && names[basic] != nullptr) return names[basic];
    return "reserved exit reason";
}

[[gnu::hot]] Exit decode_exit(const ExitFields& fields, const Vmcs& vmcs, std::uint64_t rcx) {
    const auto code = static_cast<std::uint32_t>(fields.reason);
    const std::uint32_t reason = code & exit_reason::basic;
    Exit exit{.reason = exit::EntryFailure{},
              .rip = fields.rip,
              .code = code,
              .information = {fields.qualification, 0},
              // [intel/vol3c 28.2.5]. After an exit of another kind anything may stand there.
              .instruction_length = static_cast<std::uint8_t>(
                  std::min(fields.instruction_length, longest_instruction))};
    if (has_physical_address(reason))
        exit.information[1] = vmcs.read(Field::guest_physical_address);
    if ((code & exit_reason::entry_failure) == 0)
        exit.reason = decode_reason(vmcs, reason, exit, rcx);
    return exit;
}

}  // namespace vmm::vmx
