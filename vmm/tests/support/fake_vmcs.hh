// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>

#include "vmm/vmx/consistency.hh"
#include "vmm/vmx/start_state.hh"
#include "vmm/vmx/system_registers.hh"
#include "vmm/vmx/vmcs.hh"

namespace vmm::vmx {

/// A VMCS in a map. Fields that nobody wrote hold ones, as far as they are wide: a VMCS is not
/// zeroed by anything, so code must not count on it.
class FakeVmcs final : public Vmcs {
   public:
    std::uint64_t read(Field field) const override {
        const auto found = values_.find(field);
        return found != values_.end() ? found->second : mask(field);
    }
    void write(Field field, std::uint64_t value) override {
        EXPECT_FALSE(is_read_only(field))
            << "VMWRITE to the read-only field 0x" << std::hex << static_cast<std::uint32_t>(field);
        set(field, value);
    }
    /// As the CPU writes it: the read-only fields too.
    void set(Field field, std::uint64_t value) { values_[field] = value & mask(field); }
    /// Sets and clears bits.
    void change(Field field, std::uint64_t set_bits, std::uint64_t clear_bits = 0) {
        set(field, (read(field) & ~clear_bits) | set_bits);
    }
    /// Whether somebody wrote it.
    bool knows(Field field) const { return values_.contains(field); }

   private:
    // The encoding tells [intel/vol3d appendix B].
    static std::uint64_t mask(Field field) {
        switch (static_cast<std::uint32_t>(field) >> 13 & 3) {
            case 0: return 0xffff;
            case 2: return 0xffff'ffff;
            default: return ~0ULL;
        }
    }
    static bool is_read_only(Field field) {
        return (static_cast<std::uint32_t>(field) >> 10 & 3) == 1;
    }

    std::map<Field, std::uint64_t> values_;
};

/// The capability MSRs of a Haswell.
inline CpuLimits haswell() {
    return {.capabilities = {.revision = 0x12,
                             .pin = {.must_be_one = 0x16, .may_be_one = 0x7f},
                             .primary = {.must_be_one = 0x0400'6172, .may_be_one = 0xfff9'fffe},
                             .secondary = {.must_be_one = 0, .may_be_one = 0x7cff},
                             .exit = {.must_be_one = 0x0003'6dfb, .may_be_one = 0x007f'ffff},
                             .entry = {.must_be_one = 0x11fb, .may_be_one = 0xffff},
                             .preemption_timer_shift = 5,
                             .activity_states = 0x1c0,
                             .cr0_fixed0 = 0x8000'0021,
                             .cr0_fixed1 = 0xffff'ffff,
                             .cr4_fixed0 = 0x2000,
                             .cr4_fixed1 = 0x1727ff,
                             .ept_vpid = 0xf01'0633'4141},
            .physical_bits = 40,
            .linear_bits = 48};
}

/// A host with which an entry has nothing to quarrel.
inline HostState good_host() {
    return {.cr0 = 0x8001'0033,
            .cr3 = 0x1000,
            .cr4 = 0x2620,
            .es = 0x10,
            .cs = 0x08,
            .ss = 0x10,
            .ds = 0x10,
            .tr = 0x20,
            .gs_base = 0xffff'ffff'8010'0000,
            .tr_base = 0xffff'ffff'8020'0000,
            .gdtr_base = 0xffff'ffff'8020'1000,
            .idtr_base = 0xffff'ffff'8020'2000,
            .efer = 0xd01,
            .pat = reset_pat,
            .rip = 0xffff'ffff'8012'3456};
}

/// A VMCS ready for its first entry in 32-bit protected mode, on a Haswell.
inline FakeVmcs good_vmcs() {
    FakeVmcs vmcs;
    const auto controls = compute_controls(haswell().capabilities);
    EXPECT_TRUE(controls.has_value()) << controls.error();
    set_controls(vmcs, *controls,
                 {.table_root = Hpa{0x10'0000},
                  .io_map = Hpa{0x20'0000},
                  .msr_map = Hpa{0x30'0000},
                  .virtual_apic = Hpa{0x40'0000}});
    set_host_state(vmcs, good_host());
    set_protected_mode(vmcs, Gpa{0x20'0000});
    vmcs.write(Field::virtual_processor_identifier, 1);
    return vmcs;
}

/// The same, after the guest has gone on to 64-bit mode.
inline FakeVmcs good_64_bit_vmcs() {
    FakeVmcs vmcs = good_vmcs();
    set_guest_cr0(vmcs, 0x8001'0033);  // PG, WP, NE, ET, MP, PE
    set_guest_cr4(vmcs, 0x620);        // OSXMMEXCPT, OSFXSR, PAE
    vmcs.write(Field::guest_cr3, 0x1000);
    vmcs.write(Field::guest_efer, 0xd01);  // NXE, LMA, LME, SCE
    vmcs.change(Field::entry_controls, entry_control::ia32e_mode_guest);
    vmcs.change(Field::guest_cs_access_rights, access_rights::long_mode, access_rights::size_32);
    return vmcs;
}

}  // namespace vmm::vmx
