// SPDX-License-Identifier: MIT
#include "vmm/vmx/system_registers.hh"

#include <array>

namespace vmm::vmx {
namespace {

constexpr std::uint64_t numeric_error = 1ULL << 5;  // CR0.NE

/// The exit qualification of a control-register access [intel/vol3c table 28-3].
namespace access {
constexpr std::uint64_t number = 0xf;
constexpr unsigned kind_shift = 4;
constexpr std::uint64_t kind_mask = 3;
constexpr std::uint64_t kind_move_to = 0;
constexpr unsigned register_shift = 8;
constexpr std::uint64_t register_mask = 0xf;
}  // namespace access

std::uint64_t seen_by_guest(const Vmcs& vmcs, Field field, Field mask, Field shadow) {
    const std::uint64_t hosts = vmcs.read(mask);
    return (vmcs.read(field) & ~hosts) | (vmcs.read(shadow) & hosts);
}

CodeSize code_size(const Vmcs& vmcs) {
    if (is_64_bit(vmcs)) return CodeSize::Bits64;
    return (vmcs.read(Field::guest_cs_access_rights) & access_rights::size_32) != 0
               ? CodeSize::Bits32
               : CodeSize::Bits16;
}

SegmentRegister segment(const Vmcs& vmcs, Field base, Field limit) {
    return {.base = vmcs.read(base), .limit = static_cast<std::uint32_t>(vmcs.read(limit))};
}

/// As MOV to CR3 does it, but for the flush.
decltype(Exit::reason) write_cr3(Vmcs& vmcs, std::uint64_t value, unsigned physical_bits) {
    const bool is_long = (vmcs.read(Field::guest_efer) & efer::long_mode_active) != 0;
    if (is_long && value >> physical_bits != 0)
        return exit::Exception{"write of CR3", vector::general_protection};
    // With three levels the CPU loads what CR3 points to into fields of the VMCS.
    if (!is_long && (vmcs.read(Field::guest_cr0) & cr0::paging) != 0 &&
        (vmcs.read(Field::guest_cr4) & cr4::physical_address_extension) != 0)
        return exit::Unknown{"write of CR3 with three levels, which is not served with exits=cr3"};
    vmcs.write(Field::guest_cr3, value);
    return exit::Cr3Write{};
}

}  // namespace

bool is_64_bit(const Vmcs& vmcs) {
    return (vmcs.read(Field::guest_efer) & efer::long_mode_active) != 0 &&
           (vmcs.read(Field::guest_cs_access_rights) & access_rights::long_mode) != 0;
}

void set_guest_cr0(Vmcs& vmcs, std::uint64_t value) {
    vmcs.write(Field::cr0_read_shadow, value);
    vmcs.write(Field::guest_cr0, (value & ~cr0_host_bits) | numeric_error);
}

void set_guest_cr4(Vmcs& vmcs, std::uint64_t value) {
    vmcs.write(Field::cr4_read_shadow, value);
    vmcs.write(Field::guest_cr4, value | cr4_host_bits);
}

SystemRegisters read_system_registers(const Vmcs& vmcs, std::uint64_t cr2) {
    return {.cr0 = seen_by_guest(vmcs, Field::guest_cr0, Field::cr0_guest_host_mask,
                                 Field::cr0_read_shadow),
            .cr2 = cr2,
            .cr3 = vmcs.read(Field::guest_cr3),
            .cr4 = seen_by_guest(vmcs, Field::guest_cr4, Field::cr4_guest_host_mask,
                                 Field::cr4_read_shadow),
            .efer = vmcs.read(Field::guest_efer),
            .pat = vmcs.read(Field::guest_pat),
            .cs_base = is_64_bit(vmcs) ? 0 : vmcs.read(Field::guest_cs_base),
            .cs = static_cast<std::uint16_t>(vmcs.read(Field::guest_cs_selector)),
            .ss = static_cast<std::uint16_t>(vmcs.read(Field::guest_ss_selector)),
            .segments = {{segment(vmcs, Field::guest_es_base, Field::guest_es_limit),
                          segment(vmcs, Field::guest_cs_base, Field::guest_cs_limit),
                          segment(vmcs, Field::guest_ss_base, Field::guest_ss_limit),
                          segment(vmcs, Field::guest_ds_base, Field::guest_ds_limit),
                          segment(vmcs, Field::guest_fs_base, Field::guest_fs_limit),
                          segment(vmcs, Field::guest_gs_base, Field::guest_gs_limit)}},
            .code_size = code_size(vmcs),
            .privilege_level = privilege_level_of(vmcs.read(Field::guest_ss_access_rights))};
}

void set_guest_efer(Vmcs& vmcs, std::uint64_t value) {
    const std::uint64_t now = vmcs.read(Field::guest_efer);
    vmcs.write(Field::guest_efer,
               (value & ~efer::long_mode_active) | (now & efer::long_mode_active));
}

decltype(Exit::reason) serve_control_register_access(Vmcs& vmcs, const Registers& registers,
                                                     unsigned physical_bits) {
    const std::uint64_t qualification = vmcs.read(Field::exit_qualification);
    const std::uint64_t number = qualification & access::number;
    const bool is_move_to =
        ((qualification >> access::kind_shift) & access::kind_mask) == access::kind_move_to;
    if (is_move_to && number == 4)
        return exit::Exception{"write of CR4 (VMXE)", vector::general_protection};
    const auto source =
        general_registers[(qualification >> access::register_shift) & access::register_mask];
    if (is_move_to && number == 3)
        return write_cr3(
            vmcs,
            is_64_bit(vmcs) ? registers.*source : static_cast<std::uint32_t>(registers.*source),
            physical_bits);
    if (!is_move_to || number != 0) return exit::Unknown{"access to a control register"};
    vmcs.write(Field::cr0_read_shadow, registers.*source);
    return exit::Served{"write of CR0 bits that the host keeps"};
}

}  // namespace vmm::vmx
