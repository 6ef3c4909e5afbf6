// SPDX-License-Identifier: MIT
#include "vmm/vmx/consistency.hh"

#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "vmm/tests/support/fake_vmcs.hh"

namespace vmm::vmx {
namespace {

/// One way to break one rule in a VMCS of a 64-bit guest.
struct Case {
    std::string name;
    Field field;             ///< whose value is reported
    std::string field_name;  ///< and how it is called
    std::string words;       ///< part of the rule's text
    std::function<void(FakeVmcs&, CpuLimits&)> break_it;
};

void PrintTo(const Case& broken, std::ostream* out) {
    *out << broken.name;
}

constexpr std::uint64_t high = 1ULL << 32;
constexpr std::uint64_t beyond_memory = 1ULL << 40;
constexpr std::uint64_t not_canonical = 1ULL << 47;

/// The most frequent way: the field gets a value.
std::function<void(FakeVmcs&, CpuLimits&)> put(Field field, std::uint64_t value) {
    return [=](FakeVmcs& v, CpuLimits&) { v.set(field, value); };
}
std::function<void(FakeVmcs&, CpuLimits&)> add(Field field, std::uint64_t bits) {
    return [=](FakeVmcs& v, CpuLimits&) { v.change(field, bits); };
}
std::function<void(FakeVmcs&, CpuLimits&)> remove(Field field, std::uint64_t bits) {
    return [=](FakeVmcs& v, CpuLimits&) { v.change(field, 0, bits); };
}

/// Any control may be set or clear on this CPU, so that rules between controls show.
void allow_all(CpuLimits& cpu) {
    const ControlCapability all{.must_be_one = 0, .may_be_one = ~0U};
    cpu.capabilities.pin = cpu.capabilities.primary = cpu.capabilities.secondary =
        cpu.capabilities.exit = cpu.capabilities.entry = all;
}
std::function<void(FakeVmcs&, CpuLimits&)> controls(Field field, std::uint64_t set,
                                                    std::uint64_t clear = 0) {
    return [=](FakeVmcs& v, CpuLimits& cpu) {
        allow_all(cpu);
        v.change(field, set, clear);
    };
}

std::function<void(FakeVmcs&, CpuLimits&)> event(std::uint32_t information) {
    return [=](FakeVmcs& v, CpuLimits&) {
        v.set(Field::guest_rflags, 0x202);
        v.set(Field::entry_interruption_information, information);
    };
}

std::vector<Case> control_cases() {
    const Field pin = Field::pin_based_controls;
    const Field primary = Field::primary_controls;
    const Field secondary = Field::secondary_controls;
    const Field information = Field::entry_interruption_information;
    const std::string pin_name = "pin-based VM-execution controls";
    const std::string primary_name = "primary processor-based VM-execution controls";
    const std::string secondary_name = "secondary processor-based VM-execution controls";
    const std::string information_name = "VM-entry interruption information";
    return {
        {"PinMustBeOne", pin, pin_name, "PINBASED", remove(pin, 2)},
        {"PinMustBeZero", pin, pin_name, "PINBASED", add(pin, 1U << 20)},
        {"Primary", primary, primary_name, "PROCBASED_CTLS ", remove(primary, 2)},
        {"Secondary", secondary, secondary_name, "PROCBASED_CTLS2", add(secondary, 1U << 31)},
        {"Cr3Targets", Field::cr3_target_count, "CR3-target count", "four",
         put(Field::cr3_target_count, 5)},
        {"IoMapAUnaligned", Field::io_bitmap_a, "address of I/O bitmap A", "page",
         add(Field::io_bitmap_a, 0x800)},
        {"IoMapBBeyond", Field::io_bitmap_b, "address of I/O bitmap B", "page",
         put(Field::io_bitmap_b, beyond_memory)},
        {"MsrMapUnaligned", Field::msr_bitmaps, "address of MSR bitmaps", "page",
         add(Field::msr_bitmaps, 8)},
        {"VirtualApicBeyond", Field::virtual_apic_address, "virtual-APIC address", "page",
         put(Field::virtual_apic_address, beyond_memory)},
        {"TprThreshold", Field::tpr_threshold, "TPR threshold", "31:4",
         put(Field::tpr_threshold, 0x10)},
        {"VirtualNmisAlone", pin, pin_name, "NMI exiting",
         controls(pin, 0, pin_control::nmi_exiting)},
        {"NmiWindowAlone", primary, primary_name, "virtual NMIs",
         [=](FakeVmcs& v, CpuLimits& cpu) {
             allow_all(cpu);
             v.change(primary, primary_control::nmi_window_exiting);
             v.change(pin, 0, pin_control::virtual_nmis);
         }},
        {"X2apicWithoutShadow", secondary, secondary_name, "TPR shadow",
         [=](FakeVmcs& v, CpuLimits& cpu) {
             allow_all(cpu);
             v.change(secondary, secondary_control::virtualize_x2apic_mode);
             v.change(primary, 0, primary_control::tpr_shadow);
         }},
        {"BothApics", secondary, secondary_name, "must not both",
         controls(secondary, secondary_control::virtualize_x2apic_mode |
                                 secondary_control::virtualize_apic_accesses)},
        {"DeliveryWithoutExits", pin, pin_name, "virtual-interrupt delivery",
         [=](FakeVmcs& v, CpuLimits& cpu) {
             allow_all(cpu);
             v.change(secondary, secondary_control::virtual_interrupt_delivery);
             v.change(pin, 0, pin_control::external_interrupt_exiting);
         }},
        {"VpidZero", Field::virtual_processor_identifier, "virtual-processor identifier", "zero",
         put(Field::virtual_processor_identifier, 0)},
        {"EptMemoryType", Field::ept_pointer, "EPT pointer", "memory type",
         put(Field::ept_pointer, 0x10'001d)},
        {"EptLevels", Field::ept_pointer, "EPT pointer", "levels",
         put(Field::ept_pointer, 0x10'0016)},
        {"EptAccessed", Field::ept_pointer, "EPT pointer", "accessed",
         [](FakeVmcs& v, CpuLimits& cpu) {
             v.set(Field::ept_pointer, 0x10'005e);
             cpu.capabilities.ept_vpid &= ~ept_vpid_capability::accessed_dirty;
         }},
        {"EptReserved", Field::ept_pointer, "EPT pointer", "11:7",
         put(Field::ept_pointer, 0x10'081e)},
        {"EptBeyond", Field::ept_pointer, "EPT pointer", "physical width",
         put(Field::ept_pointer, beyond_memory | 0x1e)},
        {"UnrestrictedWithoutEpt", secondary, secondary_name, "unrestricted",
         controls(secondary, 0, secondary_control::enable_ept)},
        {"Exit", Field::exit_controls, "VM-exit controls", "EXIT_CTLS",
         remove(Field::exit_controls, 2)},
        {"TimerSavedOnly", Field::exit_controls, "VM-exit controls", "preemption timer",
         [=](FakeVmcs& v, CpuLimits& cpu) {
             allow_all(cpu);
             v.change(pin, 0, pin_control::preemption_timer);
             v.change(Field::exit_controls, exit_control::save_preemption_timer);
         }},
        {"MsrStoreUnaligned", Field::exit_msr_store_address, "VM-exit MSR-store address", "16",
         [](FakeVmcs& v, CpuLimits&) {
             v.set(Field::exit_msr_store_count, 1);
             v.set(Field::exit_msr_store_address, 0x1008);
         }},
        {"MsrLoadBeyond", Field::exit_msr_load_address, "VM-exit MSR-load address", "memory",
         [](FakeVmcs& v, CpuLimits&) {
             v.set(Field::exit_msr_load_count, 2);
             v.set(Field::exit_msr_load_address, beyond_memory - 16);
         }},
        {"Entry", Field::entry_controls, "VM-entry controls", "ENTRY_CTLS",
         remove(Field::entry_controls, 2)},
        {"EntryToSmm", Field::entry_controls, "VM-entry controls", "SMM",
         controls(Field::entry_controls, 1U << 10)},
        {"EventType1", information, information_name, "type 1", event(0x8000'0130)},
        {"NmiVector", information, information_name, "vector 2", event(0x8000'0203)},
        {"ExceptionAbove31", information, information_name, "below 32", event(0x8000'0320)},
        {"OtherEvent", information, information_name, "vector 0", event(0x8000'0701)},
        {"ErrorCodeMissing", information, information_name, "error code", event(0x8000'030d)},
        {"ErrorCodeOfNone", information, information_name, "error code", event(0x8000'0b06)},
        {"ErrorCodeOfInterrupt", information, information_name, "error code", event(0x8000'0830)},
        {"EventReserved", information, information_name, "30:12", event(0x8000'1030)},
        {"ErrorCodeTooLarge", Field::entry_exception_error_code, "VM-entry exception error code",
         "31:16",
         [](FakeVmcs& v, CpuLimits&) {
             v.set(Field::entry_interruption_information, 0x8000'0b0d);
             v.set(Field::entry_exception_error_code, 0x1'0000);
         }},
        {"NoInstructionLength", Field::entry_instruction_length, "VM-entry instruction length",
         "15 bytes",
         [](FakeVmcs& v, CpuLimits&) {
             v.set(Field::entry_interruption_information, 0x8000'0480);
             v.set(Field::entry_instruction_length, 0);
         }},
        {"EntryMsrLoad", Field::entry_msr_load_address, "VM-entry MSR-load address", "16",
         [](FakeVmcs& v, CpuLimits&) {
             v.set(Field::entry_msr_load_count, 1);
             v.set(Field::entry_msr_load_address, 0x1001);
         }},
    };
}

std::vector<Case> host_cases() {
    std::vector<Case> cases{
        {"HostCr0", Field::host_cr0, "host CR0", "FIXED0", remove(Field::host_cr0, 1U << 5)},
        {"HostCr4", Field::host_cr4, "host CR4", "FIXED0", remove(Field::host_cr4, 1U << 13)},
        {"HostCr3", Field::host_cr3, "host CR3", "physical", put(Field::host_cr3, beyond_memory)},
        {"HostPat", Field::host_pat, "host IA32_PAT", "memory type", put(Field::host_pat, 2)},
        {"HostEfer", Field::host_efer, "host IA32_EFER", "reserved", add(Field::host_efer, 2)},
        {"HostEferLma", Field::host_efer, "host IA32_EFER", "address-space size",
         remove(Field::host_efer, 1U << 10)},
        {"HostCsNull", Field::host_cs_selector, "host CS selector", "null",
         put(Field::host_cs_selector, 0)},
        {"HostTrNull", Field::host_tr_selector, "host TR selector", "null",
         put(Field::host_tr_selector, 0)},
        {"Host32Bit", Field::exit_controls, "VM-exit controls", "64-bit",
         [](FakeVmcs& v, CpuLimits& cpu) {
             allow_all(cpu);
             v.change(Field::exit_controls, 0, exit_control::host_address_space_size);
             v.set(Field::host_efer, 0);
         }},
        {"HostPae", Field::host_cr4, "host CR4", "PAE", remove(Field::host_cr4, 1U << 5)},
    };
    const std::vector<std::pair<Field, std::string>> selectors{
        {Field::host_es_selector, "ES"}, {Field::host_cs_selector, "CS"},
        {Field::host_ss_selector, "SS"}, {Field::host_ds_selector, "DS"},
        {Field::host_fs_selector, "FS"}, {Field::host_gs_selector, "GS"},
        {Field::host_tr_selector, "TR"}};
    for (const auto& [field, name] : selectors)
        cases.push_back(
            {"HostRpl" + name, field, "host " + name + " selector", "RPL", put(field, 0x2b)});
    const std::vector<std::pair<Field, std::string>> addresses{
        {Field::host_sysenter_esp, "IA32_SYSENTER_ESP"},
        {Field::host_sysenter_eip, "IA32_SYSENTER_EIP"},
        {Field::host_fs_base, "FS base"},
        {Field::host_gs_base, "GS base"},
        {Field::host_gdtr_base, "GDTR base"},
        {Field::host_idtr_base, "IDTR base"},
        {Field::host_tr_base, "TR base"},
        {Field::host_rip, "RIP"}};
    for (std::size_t i = 0; i < addresses.size(); ++i)
        cases.push_back({"HostCanonical" + std::to_string(i), addresses[i].first,
                         "host " + addresses[i].second, "canonical",
                         put(addresses[i].first, not_canonical)});
    return cases;
}

std::vector<Case> guest_cases() {
    const Field activity = Field::guest_activity_state;
    const Field state = Field::guest_interruptibility_state;
    const Field pending = Field::guest_pending_debug_exceptions;
    const std::string activity_name = "guest activity state";
    const std::string state_name = "guest interruptibility state";
    const std::string pending_name = "guest pending debug exceptions";
    std::vector<Case> cases{
        {"Cr0Fixed", Field::guest_cr0, "guest CR0", "FIXED0", remove(Field::guest_cr0, 1U << 5)},
        {"Cr0High", Field::guest_cr0, "guest CR0", "FIXED0", add(Field::guest_cr0, high)},
        {"PagingWithoutProtection", Field::guest_cr0, "guest CR0", "CR0.PE",
         remove(Field::guest_cr0, 1)},
        {"Cr4Fixed", Field::guest_cr4, "guest CR4", "FIXED0", remove(Field::guest_cr4, 1U << 13)},
        {"CetWithoutWp", Field::guest_cr4, "guest CR4", "CET",
         [](FakeVmcs& v, CpuLimits& cpu) {
             cpu.capabilities.cr4_fixed1 = ~0ULL;
             v.change(Field::guest_cr4, 1U << 23);
             v.change(Field::guest_cr0, 0, 1U << 16);
         }},
        {"Debugctl", Field::guest_debugctl, "guest IA32_DEBUGCTL", "reserved",
         put(Field::guest_debugctl, 4)},
        {"LongWithoutPaging", Field::guest_cr0, "guest CR0", "IA-32e mode needs CR0.PG",
         remove(Field::guest_cr0, cr0::paging)},
        {"LongWithoutPae", Field::guest_cr4, "guest CR4", "PAE", remove(Field::guest_cr4, 1U << 5)},
        {"PcidOutsideOfLongMode", Field::guest_cr4, "guest CR4", "PCIDE",
         [](FakeVmcs& v, CpuLimits&) {
             v = good_vmcs();
             v.change(Field::guest_cr4, 1U << 17);
         }},
        {"Cr3Beyond", Field::guest_cr3, "guest CR3", "physical",
         put(Field::guest_cr3, beyond_memory)},
        {"Dr7High", Field::guest_dr7, "guest DR7", "63:32", add(Field::guest_dr7, high)},
        {"Pat", Field::guest_pat, "guest IA32_PAT", "memory type",
         put(Field::guest_pat, 0x0007'0406'0207'0406)},
        {"EferReserved", Field::guest_efer, "guest IA32_EFER", "reserved",
         add(Field::guest_efer, 1U << 12)},
        {"LmaWithoutControl", Field::guest_efer, "guest IA32_EFER", "IA-32e mode guest",
         [](FakeVmcs& v, CpuLimits&) {
             v.change(Field::entry_controls, 0, entry_control::ia32e_mode_guest);
             v.change(Field::guest_cs_access_rights, 0, access_rights::long_mode);
         }},
        {"LmaWithoutLme", Field::guest_efer, "guest IA32_EFER", "LMA and EFER.LME",
         remove(Field::guest_efer, 1U << 8)},
        {"GdtrLimit", Field::guest_gdtr_limit, "guest GDTR limit", "16 bits",
         put(Field::guest_gdtr_limit, 0x1'0000)},
        {"IdtrLimit", Field::guest_idtr_limit, "guest IDTR limit", "16 bits",
         put(Field::guest_idtr_limit, 0x1'0000)},
        {"VirtualEntryAddress", Field::guest_rip, "guest RIP", "physical address",
         [](FakeVmcs& v, CpuLimits&) {
             v = good_vmcs();
             v.set(Field::guest_rip, 0xffff'ffff'c020'0000);
         }},
        {"RipBeyond", Field::guest_rip, "guest RIP", "linear", put(Field::guest_rip, 1ULL << 48)},
        {"RflagsReserved", Field::guest_rflags, "guest RFLAGS", "reserved",
         add(Field::guest_rflags, 1U << 22)},
        {"RflagsBit1", Field::guest_rflags, "guest RFLAGS", "bit 1", put(Field::guest_rflags, 0)},
        {"Virtual8086InLongMode", Field::guest_rflags, "guest RFLAGS", "RFLAGS.VM",
         add(Field::guest_rflags, 1U << 17)},
        {"InterruptWithoutIf", Field::guest_rflags, "guest RFLAGS", "RFLAGS.IF",
         put(Field::entry_interruption_information, 0x8000'0030)},
        {"Activity4", activity, activity_name, "0 (active) to 3", put(activity, 4)},
        {"ActivityThatTheCpuLacks", activity, activity_name, "0 (active) to 3",
         [=](FakeVmcs& v, CpuLimits& cpu) {
             cpu.capabilities.activity_states = 1U << 6;
             v.set(activity, 3);
         }},
        {"HaltedInRing3", activity, activity_name, "ring 0",
         [=](FakeVmcs& v, CpuLimits&) {
             v.set(activity, 1);
             v.change(Field::guest_ss_access_rights, 3 << 5);
             v.change(Field::guest_cs_access_rights, 3 << 5);
         }},
        {"HaltedInAShadow", activity, activity_name, "must be active",
         [=](FakeVmcs& v, CpuLimits&) {
             v.set(activity, 1);
             v.set(state, 2);
         }},
        {"StateReserved", state, state_name, "31:5", put(state, 0x20)},
        {"BothShadows", state, state_name, "must not both",
         [=](FakeVmcs& v, CpuLimits&) {
             v.set(state, 3);
             v.set(Field::guest_rflags, 0x202);
         }},
        {"StiWithoutIf", state, state_name, "RFLAGS.IF", put(state, 1)},
        {"InterruptInAShadow", state, state_name, "inject an interrupt",
         [=](FakeVmcs& v, CpuLimits&) {
             v.set(state, 2);
             v.set(Field::guest_rflags, 0x202);
             v.set(Field::entry_interruption_information, 0x8000'0030);
         }},
        {"NmiWhileBlocked", state, state_name, "inject an NMI",
         [=](FakeVmcs& v, CpuLimits&) {
             v.set(state, 8);
             v.set(Field::entry_interruption_information, 0x8000'0202);
         }},
        {"Smi", state, state_name, "SMM", put(state, 4)},
        {"PendingReserved", pending, pending_name, "reserved", put(pending, 1U << 13)},
        {"StepInAShadow", pending, pending_name, "BS",
         [=](FakeVmcs& v, CpuLimits&) {
             v.set(state, 2);
             v.set(Field::guest_rflags, 0x102);
         }},
        {"Link", Field::vmcs_link_pointer, "VMCS link pointer", "all ones",
         put(Field::vmcs_link_pointer, 8)},
    };
    const std::vector<std::pair<Field, std::string>> addresses{
        {Field::guest_sysenter_esp, "IA32_SYSENTER_ESP"},
        {Field::guest_sysenter_eip, "IA32_SYSENTER_EIP"},
        {Field::guest_gdtr_base, "GDTR base"},
        {Field::guest_idtr_base, "IDTR base"}};
    for (std::size_t i = 0; i < addresses.size(); ++i)
        cases.push_back({"Canonical" + std::to_string(i), addresses[i].first,
                         "guest " + addresses[i].second, "canonical",
                         put(addresses[i].first, not_canonical)});
    const std::vector<Field> pointers{Field::guest_pdpte0, Field::guest_pdpte1, Field::guest_pdpte2,
                                      Field::guest_pdpte3};
    for (std::size_t i = 0; i < pointers.size(); ++i)
        cases.push_back({"Pdpte" + std::to_string(i), pointers[i],
                         "guest PDPTE" + std::to_string(i), "reserved",
                         [=](FakeVmcs& v, CpuLimits&) {
                             v = good_vmcs();
                             set_guest_cr0(v, 0x8000'0011);
                             set_guest_cr4(v, 0x20);
                             for (const Field field : pointers) v.set(field, 0);
                             v.set(pointers[i], 3);
                         }});
    return cases;
}

struct SegmentFields {
    std::string name;
    Field selector, base, limit, rights;
};
const std::vector<SegmentFields>& segments() {
    static const std::vector<SegmentFields> all = [] {
        std::vector<SegmentFields> result;
        const std::vector<std::string> names{"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};
        for (std::uint32_t i = 0; i < names.size(); ++i)
            result.push_back({names[i], Field{0x800 + 2 * i}, Field{0x6806 + 2 * i},
                              Field{0x4800 + 2 * i}, Field{0x4814 + 2 * i}});
        return result;
    }();
    return all;
}
const SegmentFields& segment(const std::string& name) {
    for (const SegmentFields& one : segments())
        if (one.name == name) return one;
    ADD_FAILURE() << "there is no segment " << name;
    return segments().front();
}

/// A guest in virtual-8086 mode.
FakeVmcs good_virtual_8086() {
    FakeVmcs v = good_vmcs();
    v.change(Field::guest_rflags, 1U << 17);
    for (const std::string name : {"ES", "CS", "SS", "DS", "FS", "GS"}) {
        v.set(segment(name).selector, 0x1000);
        v.set(segment(name).base, 0x1'0000);
        v.set(segment(name).limit, 0xffff);
        v.set(segment(name).rights, 0xf3);
    }
    return v;
}

std::vector<Case> segment_cases() {
    std::vector<Case> cases;
    const auto has = [&](const std::string& what, const std::string& name,
                         Field SegmentFields::* field, const std::string& field_name,
                         const std::string& words,
                         std::function<void(FakeVmcs&, CpuLimits&)> break_it) {
        cases.push_back({what + name, segment(name).*field, "guest " + name + " " + field_name,
                         words, std::move(break_it)});
    };
    for (const std::string name : {"TR", "LDTR"})
        has("Ti", name, &SegmentFields::selector, "selector", "TI",
            put(segment(name).selector, 0x24));
    has("Rpl", "SS", &SegmentFields::selector, "selector", "RPL of SS",
        [](FakeVmcs& v, CpuLimits& cpu) {
            allow_all(cpu);
            v.change(Field::secondary_controls, 0, secondary_control::unrestricted_guest);
            v.set(Field::guest_ss_selector, 0x13);
        });
    for (const std::string name : {"CS", "SS", "DS", "ES", "FS", "GS"}) {
        has("Virtual8086", name, &SegmentFields::base, "base", "virtual-8086 mode " + name,
            [=](FakeVmcs& v, CpuLimits&) {
                v = good_virtual_8086();
                v.set(segment(name).base, 0x1000);
            });
        has("System", name, &SegmentFields::rights, "access rights", name + ": S and P",
            remove(segment(name).rights, 1U << 4));
        has("Absent", name, &SegmentFields::rights, "access rights", name + ": S and P",
            remove(segment(name).rights, 1U << 7));
        has("Reserved", name, &SegmentFields::rights, "access rights", name + ": S and P",
            add(segment(name).rights, 1U << 9));
        has("Granularity", name, &SegmentFields::limit, "limit", name + ": G",
            put(segment(name).limit, 0xffff'0000));
    }
    for (const std::string name : {"TR", "FS", "GS", "LDTR"})
        has("Canonical", name, &SegmentFields::base, "base", "canonical",
            put(segment(name).base, not_canonical));
    for (const std::string name : {"CS", "SS", "DS", "ES"})
        has("High", name, &SegmentFields::base, "base", "bits 63:32 of the " + name,
            put(segment(name).base, high));
    has("Data", "CS", &SegmentFields::rights, "access rights", "accessed code",
        put(segment("CS").rights, 0xc091));
    has("Unusable", "CS", &SegmentFields::rights, "access rights", "accessed code",
        add(segment("CS").rights, 1U << 16));
    has("ReadOnly", "SS", &SegmentFields::rights, "access rights", "SS must be writable",
        put(segment("SS").rights, 0xc091));
    for (const std::string name : {"DS", "ES", "FS", "GS"}) {
        has("NotAccessed", name, &SegmentFields::rights, "access rights",
            name + " must be accessed", put(segment(name).rights, 0xc092));
        has("Unreadable", name, &SegmentFields::rights, "access rights", name + " must be accessed",
            put(segment(name).rights, 0xc099));
    }
    has("Ring", "CS", &SegmentFields::rights, "access rights", "DPL of CS",
        add(segment("CS").rights, 3U << 5));
    has("Ring", "SS", &SegmentFields::rights, "access rights", "its RPL",
        [](FakeVmcs& v, CpuLimits& cpu) {
            allow_all(cpu);
            v.change(Field::secondary_controls, 0, secondary_control::unrestricted_guest);
            v.change(Field::guest_cs_access_rights, 3U << 5);
            v.change(Field::guest_ss_access_rights, 3U << 5);
        });
    has("RealMode", "SS", &SegmentFields::rights, "access rights", "real mode",
        [](FakeVmcs& v, CpuLimits&) {
            v = good_vmcs();
            set_real_mode(v, 0);
            v.change(Field::guest_cs_access_rights, 3U << 5);
            v.change(Field::guest_ss_access_rights, 3U << 5);
        });
    has("BothSizes", "CS", &SegmentFields::rights, "access rights", "CS.L and CS.D",
        add(segment("CS").rights, access_rights::size_32));
    has("Task16", "TR", &SegmentFields::rights, "access rights", "busy TSS",
        put(segment("TR").rights, 0x83));
    has("Unusable", "TR", &SegmentFields::rights, "access rights", "busy TSS",
        add(segment("TR").rights, 1U << 16));
    has("Granularity", "TR", &SegmentFields::limit, "limit", "TR: G",
        put(segment("TR").limit, 0x10'0000));
    has("Type", "LDTR", &SegmentFields::rights, "access rights", "present LDT",
        put(segment("LDTR").rights, 0x8b));
    has("Granularity", "LDTR", &SegmentFields::limit, "limit", "LDTR: G",
        put(segment("LDTR").limit, 0x10'0000));
    return cases;
}

std::vector<Case> all_cases() {
    std::vector<Case> all;
    for (const auto& cases : {control_cases(), host_cases(), guest_cases(), segment_cases()})
        all.insert(all.end(), cases.begin(), cases.end());
    return all;
}

std::optional<exit::EntryFailure> break_by(const Case& broken, FakeVmcs& vmcs) {
    CpuLimits cpu = haswell();
    broken.break_it(vmcs, cpu);
    return find_broken_rule(vmcs, cpu);
}

class VmxConsistency : public testing::TestWithParam<Case> {};

TEST_P(VmxConsistency, NamesFieldRuleAndValue) {
    const Case& broken = GetParam();
    FakeVmcs vmcs = good_64_bit_vmcs();
    const auto found = break_by(broken, vmcs);
    ASSERT_TRUE(found.has_value()) << "nothing was found";
    EXPECT_EQ(found->field, broken.field_name) << found->rule;
    EXPECT_NE(std::string{found->rule}.find(broken.words), std::string::npos) << found->rule;
    EXPECT_EQ(found->value, vmcs.read(broken.field));
}

INSTANTIATE_TEST_SUITE_P(Rules, VmxConsistency, testing::ValuesIn(all_cases()),
                         [](const auto& chosen) { return chosen.param.name; });

TEST(VmxConsistencyRules, EachIsBrokenBySomeCaseAndHasItsOwnWords) {
    std::set<std::string> texts, reached;
    std::size_t count = 0;
    for (const Area area : {Area::Controls, Area::HostState, Area::GuestState, Area::GuestSegments})
        for (const ConsistencyRule& rule : consistency_rules(area)) {
            EXPECT_TRUE(texts.insert(std::string{rule.field} + ": " + rule.rule).second)
                << rule.rule << " stands for two rules";
            ++count;
        }
    for (const Case& broken : all_cases()) {
        FakeVmcs vmcs = good_64_bit_vmcs();
        if (const auto found = break_by(broken, vmcs))
            reached.insert(std::string{found->field} + ": " + found->rule);
    }
    for (const std::string& text : texts)
        EXPECT_TRUE(reached.contains(text)) << "no case breaks: " << text;
    EXPECT_GE(count, 100U);
}

TEST(VmxConsistencyRules, WhatAnEntryAllowsIsNoFailure) {
    FakeVmcs vmcs = good_virtual_8086();
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value()) << "virtual-8086 mode";
    vmcs = good_64_bit_vmcs();
    vmcs.set(Field::entry_interruption_information, 0x0000'0120);  // not valid, so not looked at
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
    vmcs.change(Field::guest_cr0, 1U << 29);  // NW without CD is not looked at
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
    for (const SegmentFields& one : segments())  // a null selector in 64-bit mode
        if (one.name != "CS" && one.name != "TR" && one.name != "SS")
            vmcs.set(one.rights, access_rights::unusable);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value()) << "unusable segments";
    vmcs = good_vmcs();
    set_real_mode(vmcs, 0);
    vmcs.set(Field::guest_cs_access_rights, 0x93);  // as it is before the first far jump
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value()) << "writable data in CS";
}

TEST(VmxInstructionErrors, AreWordsAndTheTaskThatIsLikely) {
    const FakeVmcs vmcs = good_vmcs();
    const auto launch = explain_instruction_error(vmcs, haswell(), 4);
    EXPECT_NE(std::string{launch.rule}.find("clear"), std::string::npos) << launch.rule;
    EXPECT_NE(std::string{launch.task}.find("lab3.launch_or_resume"), std::string::npos);
    const auto resume = explain_instruction_error(vmcs, haswell(), 5);
    EXPECT_NE(std::string{resume.rule}.find("VMLAUNCH"), std::string::npos) << resume.rule;
    EXPECT_NE(std::string{resume.task}.find("lab3.first_entry"), std::string::npos);
    EXPECT_EQ(resume.value, 5U);
    EXPECT_STREQ(explain_instruction_error(vmcs, haswell(), 12).task, "lab3.host_rsp");
    for (const std::uint32_t number : {14U, 21U, 27U, 29U, ~0U})
        EXPECT_NE(std::string{explain_instruction_error(vmcs, haswell(), number).rule}.find(
                      "does not know"),
                  std::string::npos)
            << number;
    std::set<std::string> texts;
    for (std::uint32_t number = 0; number <= 28; ++number) {
        const std::string text = explain_instruction_error(vmcs, haswell(), number).rule;
        EXPECT_TRUE(number == 14 || number == 21 || number == 27 || texts.insert(text).second)
            << number << ": " << text;
    }
}

TEST(VmxInstructionErrors, InvalidFieldsAreNamedByTheRuleThatTheyBreak) {
    FakeVmcs vmcs = good_vmcs();
    vmcs.set(Field::ept_pointer, 0x10'0000);
    vmcs.set(Field::host_tr_selector, 0);
    const auto control = explain_instruction_error(vmcs, haswell(), 7);
    EXPECT_STREQ(control.field, "EPT pointer");
    EXPECT_EQ(control.value, 0x10'0000U);
    const auto host = explain_instruction_error(vmcs, haswell(), 8);
    EXPECT_STREQ(host.field, "host TR selector") << "the controls are not what the CPU means by 8";
    vmcs = good_vmcs();
    EXPECT_STREQ(explain_instruction_error(vmcs, haswell(), 7).field, "VM-instruction error")
        << "if we find nothing, the number is told";
}

TEST(VmxEntryFailures, InvalidGuestStateIsNamedByTheRuleThatItBreaks) {
    FakeVmcs vmcs = good_vmcs();
    vmcs.set(Field::guest_rip, 0xffff'ffff'c020'0000);
    const auto state = explain_entry_failure(vmcs, haswell(), 1U << 31 | 33);
    EXPECT_STREQ(state.field, "guest RIP");
    EXPECT_STREQ(state.task, "lab5.kernel_entry");
    vmcs = good_vmcs();
    vmcs.set(Field::guest_tr_access_rights, 0x1'0000);
    EXPECT_STREQ(explain_entry_failure(vmcs, haswell(), 1U << 31 | 33).field,
                 "guest TR access rights");
    vmcs.set(Field::exit_qualification, 3);
    const auto msrs = explain_entry_failure(vmcs, haswell(), 1U << 31 | 34);
    EXPECT_STREQ(msrs.field, "VM-entry MSR-load area");
    EXPECT_EQ(msrs.value, 3U);
    EXPECT_NE(std::string{explain_entry_failure(vmcs, haswell(), 1U << 31 | 41).rule}.find(
                  "machine check"),
              std::string::npos);
}

}  // namespace
}  // namespace vmm::vmx
