// SPDX-License-Identifier: MIT
#include "vmm/svm/start_state.hh"

namespace vmm::svm {
namespace {

constexpr std::uint64_t cr0_protected = cr0::protection_enable | cr0::extension_type;
constexpr std::uint16_t flat_32 = segment::size_32 | segment::granularity;

/// What both starts share: all that is not segments, CR0 and RIP.
SaveArea reset_state() {
    SaveArea save{};
    save.efer = efer::secure_virtual_machine_enable;  // VMRUN wants it; the guest does not see it
    save.rflags = rflags::reserved_one;
    save.dr6 = dr6::reset;
    save.dr7 = dr7::reset;
    save.g_pat = reset_pat;
    save.gdtr = {.limit = 0xffff};
    save.idtr = {.limit = 0xffff};
    save.ldtr = {.attributes = segment::local_table, .limit = 0xffff};
    // After a reset it is busy. But QEMU keeps TR not busy, and ends itself ("invalid tss type")
    // where it finds another one on the way from ring 3 to a handler. No guest sees the difference.
    save.tr = {.attributes = segment::task, .limit = 0xffff};
    return save;
}

void set_data_segments(SaveArea& save, const Segment& data) {
    save.es = save.ss = save.ds = save.fs = save.gs = data;
}

}  // namespace

void set_controls(ControlArea& control, Hpa table_root, Hpa io_map, Hpa msr_map) {
    control = {};
    control.intercept_dr = intercept_register::write_dr0_to_dr7;
    control.intercept_exceptions = intercepted_exceptions;
    control.intercept1 = intercept1::interrupt | intercept1::nmi | intercept1::rdpmc |
                         intercept1::ltr | intercept1::cpuid | intercept1::rsm | intercept1::invd |
                         intercept1::hlt | intercept1::invlpga | intercept1::io_permission |
                         intercept1::msr_permission | intercept1::task_switch |
                         intercept1::ferr_freeze | intercept1::shutdown;
    control.intercept2 = intercept2::vmrun | intercept2::vmmcall | intercept2::vmload |
                         intercept2::vmsave | intercept2::stgi | intercept2::clgi |
                         intercept2::skinit | intercept2::wbinvd | intercept2::monitor |
                         intercept2::mwait | intercept2::mwait_armed | intercept2::xsetbv |
                         intercept2::rdpru;
    control.iopm_base = io_map.value();
    control.msrpm_base = msr_map.value();
    control.virtual_interrupt = virtual_interrupt::masking;
    control.nested_paging = nested_paging_enable;
    control.n_cr3 = table_root.value();
}

void set_protected_mode(SaveArea& save, Gpa entry) {
    save = reset_state();
    save.cr0 = cr0_protected;
    save.cs = {.selector = 0x08, .attributes = segment::code | flat_32, .limit = 0xffff'ffff};
    set_data_segments(
        save, {.selector = 0x10, .attributes = segment::data | flat_32, .limit = 0xffff'ffff});
    save.rip = entry.value();
}

void set_real_mode(SaveArea& save, std::uint8_t vector) {
    save = reset_state();
    save.cr0 = cr0::reset;
    save.cs = {.selector = static_cast<std::uint16_t>(vector << 8),
               .attributes = segment::code,
               .limit = 0xffff,
               .base = std::uint64_t{vector} << 12};
    set_data_segments(save, {.attributes = segment::data, .limit = 0xffff});
}

}  // namespace vmm::svm
