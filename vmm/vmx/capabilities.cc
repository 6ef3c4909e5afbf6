// SPDX-License-Identifier: MIT
#include "vmm/vmx/capabilities.hh"

#include <array>

#include "kern/arch/arch.hh"
#include "vmm/vmx/vmcs.hh"

namespace vmm::vmx {
namespace {

constexpr std::uint32_t features_leaf = 1;
constexpr std::uint32_t feature_vmx = 1U << 5;  // ECX
constexpr std::uint64_t basic_revision = 0x7fff'ffff;
constexpr std::uint64_t basic_true_controls = 1ULL << 55;
constexpr std::uint64_t misc_timer_shift = 0x1f;
constexpr std::uint64_t misc_activity_states = 7ULL << 6;

ControlCapability read_control(std::uint32_t msr) {
    const std::uint64_t value = kern::arch::read_msr(msr);
    return {.must_be_one = static_cast<std::uint32_t>(value),
            .may_be_one = static_cast<std::uint32_t>(value >> 32)};
}

/// What we ask of one word of controls.
struct Need {
    ControlCapability Capabilities::* capability;
    std::uint32_t Controls::* word;  // nothing: set and cleared later
    std::uint32_t bits;
    const char* lack;  // if the CPU does not have them
};

constexpr std::array needs{
    Need{&Capabilities::pin, &Controls::pin, pin_control::external_interrupt_exiting,
         "this CPU's VMX cannot take interrupts away from a guest"},
    Need{&Capabilities::pin, &Controls::pin, pin_control::nmi_exiting | pin_control::virtual_nmis,
         "this CPU's VMX has no virtual NMIs"},
    Need{&Capabilities::pin, &Controls::pin, pin_control::preemption_timer,
         "this CPU's VMX has no preemption timer"},
    Need{&Capabilities::primary, &Controls::primary, primary_control::activate_secondary_controls,
         "this CPU's VMX has no secondary controls, and so no EPT"},
    Need{&Capabilities::primary, &Controls::primary,
         primary_control::hlt_exiting | primary_control::mwait_exiting |
             primary_control::monitor_exiting | primary_control::rdpmc_exiting,
         "this CPU's VMX cannot intercept HLT, MONITOR, MWAIT and RDPMC"},
    Need{&Capabilities::primary, &Controls::primary, primary_control::use_tsc_offsetting,
         "this CPU's VMX cannot give a guest a time-stamp counter of its own"},
    Need{&Capabilities::primary, &Controls::primary, primary_control::tpr_shadow,
         "this CPU's VMX has no TPR shadow"},
    Need{&Capabilities::primary, &Controls::primary,
         primary_control::io_bitmaps | primary_control::msr_bitmaps,
         "this CPU's VMX has no bitmaps for ports and MSRs"},
    Need{&Capabilities::primary, nullptr,
         primary_control::interrupt_window_exiting | primary_control::nmi_window_exiting,
         "this CPU's VMX has no exit for an interrupt window"},
    Need{&Capabilities::secondary, &Controls::secondary, secondary_control::enable_ept,
         "this CPU's VMX has no EPT"},
    Need{&Capabilities::secondary, &Controls::secondary, secondary_control::enable_vpid,
         "this CPU's VMX has no VPIDs"},
    Need{&Capabilities::secondary, &Controls::secondary, secondary_control::unrestricted_guest,
         "this CPU's VMX has no unrestricted guest, and so no real mode"},
    Need{&Capabilities::secondary, &Controls::secondary, secondary_control::wbinvd_exiting,
         "this CPU's VMX cannot intercept WBINVD"},
    Need{&Capabilities::exit, &Controls::exit,
         exit_control::host_address_space_size | exit_control::save_debug_controls,
         "this CPU's VMX has no 64-bit host"},
    Need{&Capabilities::exit, &Controls::exit,
         exit_control::load_pat | exit_control::save_efer | exit_control::load_efer,
         "this CPU's VMX does not switch EFER and PAT"},
    Need{&Capabilities::entry, &Controls::entry,
         entry_control::load_debug_controls | entry_control::load_pat | entry_control::load_efer,
         "this CPU's VMX does not switch EFER and PAT"},
    Need{&Capabilities::entry, nullptr, entry_control::ia32e_mode_guest,
         "this CPU's VMX has no 64-bit guest"},
};

struct EptNeed {
    std::uint64_t bits;
    const char* lack;
};
constexpr std::array ept_needs{
    EptNeed{ept_vpid_capability::four_levels, "this CPU's EPT does not have four levels"},
    EptNeed{ept_vpid_capability::write_back, "this CPU's EPT tables cannot lie in ordinary memory"},
    EptNeed{ept_vpid_capability::pages_2m, "this CPU's EPT has no 2 MiB pages"},
    EptNeed{ept_vpid_capability::invept | ept_vpid_capability::invept_single |
                ept_vpid_capability::invept_all,
            "this CPU cannot flush its EPT translations (INVEPT)"},
    EptNeed{ept_vpid_capability::invvpid | ept_vpid_capability::invvpid_all,
            "this CPU cannot flush its VPIDs (INVVPID)"},
};

}  // namespace

Capabilities read_capabilities() {
    using kern::arch::read_msr;
    const std::uint64_t basic = read_msr(capability_msr::basic);
    const bool has_true = (basic & basic_true_controls) != 0;
    const std::uint64_t misc = read_msr(capability_msr::miscellaneous);
    Capabilities result{
        .revision = static_cast<std::uint32_t>(basic & basic_revision),
        .pin = read_control(has_true ? capability_msr::true_pin_based : capability_msr::pin_based),
        .primary = read_control(has_true ? capability_msr::true_primary : capability_msr::primary),
        .exit = read_control(has_true ? capability_msr::true_exit : capability_msr::exit),
        .entry = read_control(has_true ? capability_msr::true_entry : capability_msr::entry),
        .preemption_timer_shift = static_cast<unsigned>(misc & misc_timer_shift),
        .activity_states = misc & misc_activity_states,
        .cr0_fixed0 = read_msr(capability_msr::cr0_fixed0),
        .cr0_fixed1 = read_msr(capability_msr::cr0_fixed1),
        .cr4_fixed0 = read_msr(capability_msr::cr4_fixed0),
        .cr4_fixed1 = read_msr(capability_msr::cr4_fixed1),
    };
    // These two exist only where what they speak of does [intel/vol3d A.3.3, A.10].
    if ((result.primary.may_be_one & primary_control::activate_secondary_controls) != 0)
        result.secondary = read_control(capability_msr::secondary);
    if ((result.secondary.may_be_one &
         (secondary_control::enable_ept | secondary_control::enable_vpid)) != 0)
        result.ept_vpid = read_msr(capability_msr::ept_vpid);
    return result;
}

std::expected<Controls, const char*> compute_controls(const Capabilities& capabilities) {
    Controls controls{};
    for (const Need& need : needs) {
        if ((need.bits & ~(capabilities.*need.capability).may_be_one) != 0)
            return std::unexpected{need.lack};
        if (need.word != nullptr) controls.*need.word |= need.bits;
    }
    for (const EptNeed& need : ept_needs)
        if ((need.bits & ~capabilities.ept_vpid) != 0) return std::unexpected{need.lack};
    // What would exit where nobody listens.
    if ((capabilities.primary.must_be_one &
         (primary_control::cr3_load_exiting | primary_control::cr3_store_exiting)) != 0)
        return std::unexpected{"on this CPU's VMX a guest's every use of CR3 exits"};
    if ((capabilities.primary.must_be_one &
         (primary_control::interrupt_window_exiting | primary_control::nmi_window_exiting)) != 0 ||
        (capabilities.entry.must_be_one & entry_control::ia32e_mode_guest) != 0)
        return std::unexpected{"on this CPU's VMX controls are fixed that must change"};
    controls.pin = capabilities.pin.nearest(controls.pin);
    controls.primary = capabilities.primary.nearest(controls.primary);
    controls.secondary = capabilities.secondary.nearest(controls.secondary);
    controls.exit = capabilities.exit.nearest(controls.exit);
    controls.entry = capabilities.entry.nearest(controls.entry);
    return controls;
}

const char* why_unavailable() {
    // [intel/vol3c 24.6, 24.7]
    if ((kern::arch::cpuid(features_leaf).ecx & feature_vmx) == 0) return "this CPU has no VMX";
    const std::uint64_t control = kern::arch::read_msr(msr::feature_control);
    if ((control & feature_control::locked) != 0 &&
        (control & feature_control::vmxon_outside_smx) == 0)
        return "VMX is disabled by the firmware (IA32_FEATURE_CONTROL)";
    const auto wanted = compute_controls(read_capabilities());
    return wanted ? nullptr : wanted.error();
}

}  // namespace vmm::vmx
