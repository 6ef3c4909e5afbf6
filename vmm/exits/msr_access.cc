// SPDX-License-Identifier: MIT
#include <expected>

#include "kern/arch/arch.hh"
#include "vmm/exits/exits.hh"
#include "vmm/vm.hh"

namespace vmm::exits {
namespace {

// APIC_BASE [amd/vol2 16.9]: always enabled, always in x2APIC mode, as firmware may leave it. There
// is no xAPIC: its registers are in memory, and that would need an instruction decoder.
constexpr std::uint64_t apic_base_value = 0xfee0'0000 | 1U << 11 | 1U << 10;
constexpr std::uint64_t apic_base_boot_cpu = 1U << 8;

/// CPUID 8000_0001 EDX[25], which the guest sees as it is: AMD has it, Intel refuses to enter a
/// guest with this bit of EFER.
constexpr std::uint32_t extended_features_leaf = 0x8000'0001;
constexpr std::uint32_t feature_fast_fxsave_restore = 1U << 25;

std::uint64_t efer_writable() {
    const bool has_fast_fxsave =
        (kern::arch::cpuid(extended_features_leaf).edx & feature_fast_fxsave_restore) != 0;
    return efer::syscall_enable | efer::long_mode_enable | efer::no_execute_enable |
           (has_fast_fxsave ? efer::fast_fxsave_restore : 0);
}

std::uint64_t apic_base_of(const Vcpu& vcpu) {
    return apic_base_value | (vcpu.index() == 0 ? apic_base_boot_cpu : 0);
}

bool is_apic(std::uint32_t number) {
    return number >= msr::x2apic_begin && number < msr::x2apic_end;
}

bool is_memory_type_table(std::uint64_t value) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
        const std::uint64_t type = (value >> shift) & 0xff;
        if (type > 7 || type == 2 || type == 3) return false;
    }
    return true;
}

/// An error stands for the #GP that hardware raises.
std::expected<std::uint64_t, Error> read(Vcpu& vcpu, std::uint32_t number) {
    if (is_apic(number)) return vcpu.apic().read(number, kern::arch::nanoseconds());
    switch (number) {
        case msr::time_stamp_counter: return kern::arch::timestamp() + vcpu.backend().tsc_offset();
        case msr::apic_base: return apic_base_of(vcpu);
        case msr::page_attribute_table: return vcpu.backend().system_registers().pat;
        case msr::efer: return vcpu.backend().system_registers().efer;
        case msr::microcode_patch_level:
        case msr::debug_control: return 0;
        default: return std::unexpected{Error::NotFound};
    }
}

std::expected<void, Error> write_efer(Vcpu& vcpu, std::uint64_t value) {
    const SystemRegisters now = vcpu.backend().system_registers();
    // LMA cannot be written: the value that is there may be.
    if ((value & ~(efer_writable() | efer::long_mode_active)) != 0)
        return std::unexpected{Error::InvalidArgument};
    const bool changes_mode = ((value ^ now.efer) & efer::long_mode_enable) != 0;
    if (changes_mode && (now.cr0 & cr0::paging) != 0)
        return std::unexpected{Error::InvalidArgument};
    vcpu.backend().set_efer(value);
    return {};
}

std::expected<void, Error> write_apic(Vcpu& vcpu, std::uint32_t number, std::uint64_t value) {
    const auto command = vcpu.apic().write(number, value, kern::arch::nanoseconds());
    if (!command) return std::unexpected{command.error()};
    if (*command) vcpu.vm().send(**command, vcpu.index());
    vcpu.timer_changed();
    return {};
}

std::expected<void, Error> write(Vcpu& vcpu, std::uint32_t number, std::uint64_t value) {
    if (is_apic(number)) return write_apic(vcpu, number, value);
    switch (number) {
        case msr::time_stamp_counter:
            vcpu.backend().set_tsc_offset(value - kern::arch::timestamp());
            return {};
        case msr::efer: return write_efer(vcpu, value);
        case msr::page_attribute_table:
            if (!is_memory_type_table(value)) break;
            vcpu.backend().set_pat(value);
            return {};
        case msr::apic_base:
            if (value == apic_base_of(vcpu)) return {};
            break;
        case msr::debug_control:
            if (value == 0) return {};
            break;
        default: break;
    }
    return std::unexpected{Error::InvalidArgument};
}

}  // namespace

Handled handle(Vcpu& vcpu, const Exit& exit, const exit::MsrAccess& access) {
    constexpr std::uint64_t lower_half = 0xffff'ffff;
    Registers& registers = vcpu.registers();
    std::expected<void, Error> done{};
    if (access.write) {
        done = write(vcpu, access.msr, registers.rdx << 32 | (registers.rax & lower_half));
    } else if (const auto value = read(vcpu, access.msr)) {
        registers.rax = *value & lower_half;
        registers.rdx = *value >> 32;
    } else {
        done = std::unexpected{value.error()};
    }
    if (done)
        vcpu.backend().skip_instruction(exit);
    else if (vcpu.backend().can_inject())
        vcpu.backend().inject({.vector = vector::general_protection, .error_code = 0});
    return {};
}

}  // namespace vmm::exits
