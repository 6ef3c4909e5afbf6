// SPDX-License-Identifier: MIT
#include "vmm/svm/exits.hh"

#include <array>

namespace vmm::svm {
namespace {

constexpr std::array<const char*, 32> exception_names{
    "exception #DE (divide error)",
    "exception #DB (debug)",
    "exception 2 (NMI)",
    "exception #BP (breakpoint)",
    "exception #OF (overflow)",
    "exception #BR (bound range)",
    "exception #UD (invalid opcode)",
    "exception #NM (device not available)",
    "exception #DF (double fault)",
    "exception 9 (coprocessor segment overrun)",
    "exception #TS (invalid TSS)",
    "exception #NP (segment not present)",
    "exception #SS (stack)",
    "exception #GP (general protection)",
    "exception #PF (page fault)",
    "exception 15 (reserved)",
    "exception #MF (x87 floating point)",
    "exception #AC (alignment check)",
    "exception #MC (machine check)",
    "exception #XF (SIMD floating point)",
    "exception 20 (reserved)",
    "exception #CP (control protection)",
    "exception 22 (reserved)",
    "exception 23 (reserved)",
    "exception 24 (reserved)",
    "exception 25 (reserved)",
    "exception 26 (reserved)",
    "exception 27 (reserved)",
    "exception #HV (hypervisor injection)",
    "exception #VC (VMM communication)",
    "exception #SX (security)",
    "exception 31 (reserved)",
};

/// Codes from 0x60 on.
constexpr std::array<const char*, 0x47> names_from_60{
    "physical interrupt (INTR)",
    "physical NMI",
    "physical SMI",
    "physical INIT",
    "virtual interrupt window (VINTR)",
    "write of CR0 bits other than TS and MP",
    "read of IDTR (SIDT)",
    "read of GDTR (SGDT)",
    "read of LDTR (SLDT)",
    "read of TR (STR)",
    "write of IDTR (LIDT)",
    "write of GDTR (LGDT)",
    "write of LDTR (LLDT)",
    "write of TR (LTR)",
    "RDTSC instruction",
    "RDPMC instruction",
    "PUSHF instruction",
    "POPF instruction",
    "CPUID instruction",
    "RSM instruction",
    "IRET instruction",
    "software interrupt (INT n)",
    "INVD instruction",
    "PAUSE instruction",
    "HLT instruction",
    "INVLPG instruction",
    "INVLPGA instruction",
    "port access (IOIO)",
    "MSR access",
    "task switch",
    "FP error freeze (FERR_FREEZE)",
    "shutdown (triple fault)",
    "VMRUN instruction",
    "VMMCALL instruction",
    "VMLOAD instruction",
    "VMSAVE instruction",
    "STGI instruction",
    "CLGI instruction",
    "SKINIT instruction",
    "RDTSCP instruction",
    "ICEBP instruction",
    "WBINVD or WBNOINVD instruction",
    "MONITOR or MONITORX instruction",
    "MWAIT or MWAITX instruction",
    "MWAIT or MWAITX instruction with the monitor armed",
    "XSETBV instruction",
    "RDPRU instruction",
    "write of EFER (trap after it)",
    "write of CR0 (trap after it)",
    "write of CR1 (trap after it)",
    "write of CR2 (trap after it)",
    "write of CR3 (trap after it)",
    "write of CR4 (trap after it)",
    "write of CR5 (trap after it)",
    "write of CR6 (trap after it)",
    "write of CR7 (trap after it)",
    "write of CR8 (trap after it)",
    "write of CR9 (trap after it)",
    "write of CR10 (trap after it)",
    "write of CR11 (trap after it)",
    "write of CR12 (trap after it)",
    "write of CR13 (trap after it)",
    "write of CR14 (trap after it)",
    "write of CR15 (trap after it)",
    "INVLPGB instruction",
    "illegal INVLPGB instruction",
    "INVPCID instruction",
    "MCOMMIT instruction",
    "TLBSYNC instruction",
    "bus lock",
    "HLT instruction while no virtual interrupt is pending",
};

constexpr std::array<const char*, 64> register_names{
    "read of CR0",   "read of CR1",   "read of CR2",   "read of CR3",   "read of CR4",
    "read of CR5",   "read of CR6",   "read of CR7",   "read of CR8",   "read of CR9",
    "read of CR10",  "read of CR11",  "read of CR12",  "read of CR13",  "read of CR14",
    "read of CR15",  "write of CR0",  "write of CR1",  "write of CR2",  "write of CR3",
    "write of CR4",  "write of CR5",  "write of CR6",  "write of CR7",  "write of CR8",
    "write of CR9",  "write of CR10", "write of CR11", "write of CR12", "write of CR13",
    "write of CR14", "write of CR15", "read of DR0",   "read of DR1",   "read of DR2",
    "read of DR3",   "read of DR4",   "read of DR5",   "read of DR6",   "read of DR7",
    "read of DR8",   "read of DR9",   "read of DR10",  "read of DR11",  "read of DR12",
    "read of DR13",  "read of DR14",  "read of DR15",  "write of DR0",  "write of DR1",
    "write of DR2",  "write of DR3",  "write of DR4",  "write of DR5",  "write of DR6",
    "write of DR7",  "write of DR8",  "write of DR9",  "write of DR10", "write of DR11",
    "write of DR12", "write of DR13", "write of DR14", "write of DR15",
};

/// EXITINFO1 of a nested page fault [amd/vol2 15.25.6].
namespace fault_bit {
constexpr std::uint64_t present = 1ULL << 0;
constexpr std::uint64_t write = 1ULL << 1;
constexpr std::uint64_t reserved_bit_set = 1ULL << 3;
constexpr std::uint64_t fetch = 1ULL << 4;
constexpr std::uint64_t guest_walk = 1ULL << 33;
}  // namespace fault_bit

/// EXITINFO1 of a port access [amd/vol2 15.10.2].
namespace io_bit {
constexpr std::uint64_t in = 1ULL << 0;
constexpr std::uint64_t string = 1ULL << 2;
constexpr std::uint64_t repeat = 1ULL << 3;
constexpr unsigned size_shift = 4;  // one of three bits is set: 1, 2 or 4 bytes
constexpr std::uint64_t size_mask = 7;
constexpr unsigned port_shift = 16;
}  // namespace io_bit

constexpr std::uint8_t invalid_opcode = vector::invalid_opcode;

decltype(Exit::reason) decode_nested_page_fault(std::uint64_t info, Gpa address) {
    if ((info & fault_bit::reserved_bit_set) != 0)
        return exit::Unknown{"nested page fault: a reserved bit is set in a second-level entry"};
    return exit::NestedPageFault{
        .address = address,
        .read = (info & (fault_bit::write | fault_bit::fetch)) == 0,
        .write = (info & fault_bit::write) != 0,
        .fetch = (info & fault_bit::fetch) != 0,
        .present = (info & fault_bit::present) != 0,
        .in_guest_walk = (info & fault_bit::guest_walk) != 0,
    };
}

exit::PortAccess decode_port_access(std::uint64_t info) {
    return {.port = static_cast<std::uint16_t>(info >> io_bit::port_shift),
            .size = static_cast<std::uint8_t>((info >> io_bit::size_shift) & io_bit::size_mask),
            .in = (info & io_bit::in) != 0,
            .string = (info & io_bit::string) != 0,
            .repeat = (info & io_bit::repeat) != 0};
}

/// The negative codes are 64 bits wide [amd/vol2 appendix C], but QEMU writes their lower half
/// alone.
[[gnu::hot]] std::uint64_t exit_code_of(const ControlArea& control) {
    constexpr std::uint32_t lowest_negative = 0xffff'fffc;
    const std::uint64_t code = control.exit_code;
    if (code >= lowest_negative && code <= ~std::uint32_t{0})
        return code | std::uint64_t{~std::uint32_t{0}} << 32;
    return code;
}

[[gnu::hot]] decltype(Exit::reason) decode_reason(const ControlArea& control, std::uint64_t rcx) {
    const std::uint64_t code = exit_code_of(control);
    switch (code) {
        case exit_code::nested_page_fault:
            return decode_nested_page_fault(control.exit_info1, Gpa{control.exit_info2});
        case exit_code::interrupt:
        case exit_code::nmi: return exit::ExternalInterrupt{};
        case exit_code::virtual_interrupt: return exit::InterruptWindow{};
        case exit_code::iret:
        case exit_code::ltr: return exit::Served{exit_name(code)};
        case exit_code::hlt: return exit::Halt{};
        case exit_code::cpuid: return exit::Cpuid{};
        case exit_code::msr:
            return exit::MsrAccess{.msr = static_cast<std::uint32_t>(rcx),
                                   .write = control.exit_info1 == msr_write};
        case exit_code::io: return decode_port_access(control.exit_info1);
        case exit_code::vmmcall: return exit::Hypercall{};
        case exit_code::write_cr3: return exit::Cr3Write{};
        case exit_code::exception + vector::page_fault:
            return exit::GuestPageFault{
                .address = control.exit_info2,
                .error_code = static_cast<std::uint32_t>(control.exit_info1)};
        case exit_code::shutdown: return exit::Shutdown{};
        case exit_code::invd:
        case exit_code::wbinvd: return exit::IgnoredInstruction{exit_name(code)};
        case exit_code::rdpmc: return exit::Exception{exit_name(code), vector::general_protection};
        case exit_code::rsm:
        case exit_code::invlpga:
        case exit_code::monitor:
        case exit_code::mwait:
        case exit_code::mwait_armed:
        case exit_code::xsetbv:
        case exit_code::rdpru: return exit::Exception{exit_name(code), invalid_opcode};
        case exit_code::exception + vector::debug:
            return exit::Exception{exit_name(code), vector::debug};
        case exit_code::exception + vector::alignment_check:
            return exit::Exception{exit_name(code), vector::alignment_check};
        case exit_code::invalid: return exit::EntryFailure{};
        default: break;
    }
    // Without EFER.SVME, which the guest cannot have, these raise #UD [amd/vol3 4].
    if (code >= exit_code::vmrun && code <= exit_code::skinit)
        return exit::Exception{exit_name(code), invalid_opcode};
    return exit::Unknown{exit_name(code)};
}

}  // namespace

const char* exit_name(std::uint64_t code) {
    if (code < register_names.size()) return register_names[code];
    if (code - exit_code::exception < exception_names.size())
        return exception_names[code - exit_code::exception];
    if (code - exit_code::interrupt < names_from_60.size())
        return names_from_60[code - exit_code::interrupt];
    switch (code) {
        case 0x400: return "nested page fault";
        case 0x401: return "AVIC: incomplete IPI delivery";
        case 0x402: return "AVIC: unaccelerated register access";
        case 0x403: return "VMGEXIT instruction";
        case 0xf000'0000: return "exit code for software use";
        case ~0ULL: return "invalid guest state in the VMCB";
        case ~1ULL: return "the VMCB's busy bit is set";
        case ~2ULL: return "the sibling thread is not idle";
        case ~3ULL: return "invalid PMC state";
        default: return "reserved exit code";
    }
}

[[gnu::hot]] Exit decode_exit(const Vmcb& vmcb, std::uint64_t rcx) {
    Exit exit{.reason = decode_reason(vmcb.control, rcx),
              .rip = vmcb.save.rip,
              .code = exit_code_of(vmcb.control),
              .information = {vmcb.control.exit_info1, vmcb.control.exit_info2}};
    // EXITINFO2 is where RIP goes [amd/vol2 15.10.2].
    if (exit.code == exit_code::io)
        exit.instruction_length = static_cast<std::uint8_t>(vmcb.control.exit_info2 - exit.rip);
    return exit;
}

}  // namespace vmm::svm
