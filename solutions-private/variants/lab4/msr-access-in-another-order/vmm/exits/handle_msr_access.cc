// SPDX-License-Identifier: MIT
#include "vmm/exits/handle_msr_access.hh"

#include "kern/arch/arch.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

using Mode = X2Apic::Mode;
constexpr std::uint64_t mode_bits = apic_base::enabled | apic_base::x2apic;

/// RDMSR and WRMSR of one vCPU; each says whether the register is there and took the value.
class Msrs {
   public:
    explicit Msrs(Vcpu& vcpu) : vcpu_{vcpu}, now_{vcpu.backend().system_registers()} {}

    bool read(std::uint32_t number, std::uint64_t& value) {
        value = 0;
        if (is_apic(number)) {
            if (vcpu_.apic().mode() != Mode::X2apic) return false;
            const auto found = vcpu_.apic().read(number, kern::arch::nanoseconds());
            value = found.value_or(0);
            return found.has_value();
        }
        switch (number) {
            case msr::debug_control:
            case msr::microcode_patch_level: break;
            case msr::efer: value = now_.efer; break;
            case msr::page_attribute_table: value = now_.pat; break;
            case msr::apic_base: value = base(); break;
            case msr::time_stamp_counter:
                value = vcpu_.backend().tsc_offset() + kern::arch::timestamp();
                break;
            default: return false;
        }
        return true;
    }

    bool write(std::uint32_t number, std::uint64_t value) {
        if (is_apic(number)) return write_apic(number, value);
        if (number == msr::debug_control) return value == 0;
        if (number == msr::time_stamp_counter) {
            vcpu_.backend().set_tsc_offset(value - kern::arch::timestamp());
            return true;
        }
        if (number == msr::page_attribute_table) return write_pat(value);
        if (number == msr::apic_base) return write_base(value);
        return number == msr::efer && write_efer(value);
    }

   private:
    static bool is_apic(std::uint32_t number) {
        return number - msr::x2apic_begin < msr::x2apic_end - msr::x2apic_begin;
    }
    std::uint64_t base() {
        std::uint64_t value = apic_base::address;
        if (vcpu_.index() == 0) value |= apic_base::boot_cpu;
        if (vcpu_.apic().mode() != Mode::Disabled) value |= apic_base::enabled;
        if (vcpu_.apic().mode() == Mode::X2apic) value |= apic_base::x2apic;
        return value;
    }
    bool write_base(std::uint64_t value) {
        if (((value ^ base()) & ~mode_bits) != 0) return false;
        const std::uint64_t wanted = value & mode_bits;
        const std::uint64_t is = base() & mode_bits;
        if (wanted != is) {
            if (wanted == apic_base::x2apic) return false;
            if (wanted == mode_bits && is != apic_base::enabled) return false;
            if (wanted == apic_base::enabled && is == mode_bits) return false;
        }
        vcpu_.apic().set_mode(wanted == mode_bits ? Mode::X2apic
                              : wanted != 0       ? Mode::Xapic
                                                  : Mode::Disabled);
        vcpu_.timer_changed();
        return true;
    }
    bool write_apic(std::uint32_t number, std::uint64_t value) {
        if (vcpu_.apic().mode() != Mode::X2apic) return false;
        const auto done = vcpu_.apic().write(number, value, kern::arch::nanoseconds());
        if (!done) return false;
        vcpu_.timer_changed();
        if (done->has_value()) vcpu_.vm().send(done->value(), vcpu_.index());
        return true;
    }
    bool write_pat(std::uint64_t value) {
        constexpr std::uint64_t types = 0b1111'0011;  // 0, 1, 4, 5, 6, 7
        for (unsigned i = 0; i < 8; ++i) {
            const std::uint64_t type = value >> (8 * i) & 0xff;
            if (type > 7 || (types >> type & 1) == 0) return false;
        }
        vcpu_.backend().set_pat(value);
        return true;
    }
    bool write_efer(std::uint64_t value) {
        const std::uint64_t wanted =
            (value & ~efer::long_mode_active) | (now_.efer & efer::long_mode_active);
        std::uint64_t writable = efer::long_mode_active | efer::long_mode_enable |
                                 efer::no_execute_enable | efer::syscall_enable;
        if ((kern::arch::cpuid(0x8000'0001).edx >> 25 & 1) != 0)
            writable |= efer::fast_fxsave_restore;
        if ((wanted & ~writable) != 0) return false;
        if ((now_.cr0 & cr0::paging) != 0 && ((wanted ^ now_.efer) & efer::long_mode_enable) != 0)
            return false;
        vcpu_.backend().set_efer(wanted);
        return true;
    }

    Vcpu& vcpu_;
    SystemRegisters now_;
};

}  // namespace

Handled handle_msr_access(Vcpu& vcpu, const Exit& exit, const exit::MsrAccess& access) {
    Msrs msrs{vcpu};
    Registers& registers = vcpu.registers();
    std::uint64_t value = (registers.rax & 0xffff'ffff) + (registers.rdx << 32);
    const bool done = access.write ? msrs.write(access.msr, value) : msrs.read(access.msr, value);
    if (!done) {
        if (vcpu.backend().can_inject())
            vcpu.backend().inject({.vector = vector::general_protection, .error_code = 0});
        return {};
    }
    if (!access.write) {
        registers.rax = static_cast<std::uint32_t>(value);
        registers.rdx = static_cast<std::uint32_t>(value >> 32);
    }
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm
