// SPDX-License-Identifier: MIT
#include "vmm/exits/handle_msr_access.hh"

#include <expected>

#include "kern/arch/arch.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

/// An error stands for #GP.
using Value = std::expected<std::uint64_t, Error>;
using Done = std::expected<void, Error>;

std::unexpected<Error> refuse() {
    return std::unexpected{Error::InvalidArgument};
}

constexpr std::uint32_t extended_features_leaf = 0x8000'0001;
constexpr std::uint32_t feature_fast_fxsave_restore = 1U << 25;

std::uint64_t efer_writable() {
    const bool has_fast_fxsave =
        (kern::arch::cpuid(extended_features_leaf).edx & feature_fast_fxsave_restore) != 0;
    return efer::syscall_enable | efer::long_mode_enable | efer::no_execute_enable |
           (has_fast_fxsave ? efer::fast_fxsave_restore : 0);
}

std::uint64_t bits_of(X2Apic::Mode mode) {
    switch (mode) {
        case X2Apic::Mode::Disabled: return 0;
        case X2Apic::Mode::Xapic: return apic_base::enabled;
        case X2Apic::Mode::X2apic: return apic_base::enabled | apic_base::x2apic;
    }
    return 0;
}

std::uint64_t read_apic_base(Vcpu& vcpu) {
    return apic_base::address | (vcpu.index() == 0 ? apic_base::boot_cpu : 0) |
           bits_of(vcpu.apic().mode());
}

bool is_x2apic(Vcpu& vcpu, std::uint32_t number) {
    return number >= msr::x2apic_begin && number < msr::x2apic_end &&
           vcpu.apic().mode() == X2Apic::Mode::X2apic;
}

bool are_memory_types(std::uint64_t value) {
    for (; value != 0; value >>= 8) {
        const std::uint64_t type = value & 0xff;
        if (type > 7 || type == 2 || type == 3) return false;
    }
    return true;
}

Value read(Vcpu& vcpu, std::uint32_t number) {
    if (is_x2apic(vcpu, number)) return vcpu.apic().read(number, kern::arch::nanoseconds());
    switch (number) {
        case msr::time_stamp_counter: return kern::arch::timestamp() + vcpu.backend().tsc_offset();
        case msr::apic_base: return read_apic_base(vcpu);
        case msr::page_attribute_table: return vcpu.backend().system_registers().pat;
        case msr::efer: return vcpu.backend().system_registers().efer;
        case msr::microcode_patch_level:
        case msr::debug_control: return 0;
        default: return refuse();
    }
}

Done write_efer(Vcpu& vcpu, std::uint64_t value) {
    const SystemRegisters now = vcpu.backend().system_registers();
    if ((value & ~(efer_writable() | efer::long_mode_active)) != 0) return refuse();
    const bool changes_mode = ((value ^ now.efer) & efer::long_mode_enable) != 0;
    if (changes_mode && (now.cr0 & cr0::paging) != 0) return refuse();
    vcpu.backend().set_efer(value);
    return {};
}

Done write_apic_base(Vcpu& vcpu, std::uint64_t value) {
    using Mode = X2Apic::Mode;
    const Mode now = vcpu.apic().mode();
    for (const Mode mode : {Mode::Disabled, Mode::Xapic, Mode::X2apic}) {
        if (value != ((read_apic_base(vcpu) & ~bits_of(now)) | bits_of(mode))) continue;
        if ((now == Mode::Disabled && mode == Mode::X2apic) ||
            (now == Mode::X2apic && mode == Mode::Xapic))
            return refuse();
        vcpu.apic().set_mode(mode);
        vcpu.timer_changed();
        return {};
    }
    return refuse();
}

Done write_apic(Vcpu& vcpu, std::uint32_t number, std::uint64_t value) {
    const auto command = vcpu.apic().write(number, value, kern::arch::nanoseconds());
    if (!command) return std::unexpected{command.error()};
    if (*command) vcpu.vm().send(**command, vcpu.index());
    return {};
}

Done write(Vcpu& vcpu, std::uint32_t number, std::uint64_t value) {
    if (is_x2apic(vcpu, number)) return write_apic(vcpu, number, value);
    switch (number) {
        case msr::time_stamp_counter:
            vcpu.backend().set_tsc_offset(value - kern::arch::timestamp());
            return {};
        case msr::efer: return write_efer(vcpu, value);
        case msr::page_attribute_table:
            if (!are_memory_types(value)) return refuse();
            vcpu.backend().set_pat(value);
            return {};
        case msr::apic_base: return write_apic_base(vcpu, value);
        case msr::debug_control:
            if (value != 0) return refuse();
            return {};
        default: return refuse();
    }
}

}  // namespace

Handled handle_msr_access(Vcpu& vcpu, const Exit& exit, const exit::MsrAccess& access) {
    constexpr std::uint64_t lower_half = 0xffff'ffff;
    Registers& registers = vcpu.registers();
    Done done{};
    if (access.write) {
        done = write(vcpu, access.msr, registers.rdx << 32 | (registers.rax & lower_half));
    } else if (const Value value = read(vcpu, access.msr)) {
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

}  // namespace vmm
