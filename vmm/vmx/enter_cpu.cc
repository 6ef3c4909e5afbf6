// SPDX-License-Identifier: MIT
// What happens when a vCPU comes to a CPU and when it leaves it.
#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/system_state.hh"
#include "kern/lib/panic.hh"
#include "vmm/vmx/instructions.hh"
#include "vmm/vmx/start_state.hh"
#include "vmm/vmx/vcpu.hh"

namespace vmm::vmx {

namespace arch = kern::arch;

void VmxVcpu::write_host_state() {
    const arch::SystemState state = arch::read_system_state();
    set_host_state(vmcs_, {.cr0 = state.cr0,
                           .cr3 = state.cr3,
                           .cr4 = state.cr4,
                           .cs = state.cs,
                           .ss = state.ss,
                           .tr = state.tr,
                           .fs_base = state.fs_base,
                           .gs_base = state.gs_base,
                           .tr_base = state.tr_base,
                           .gdtr_base = state.gdtr_base,
                           .idtr_base = state.idtr_base,
                           .sysenter_cs = arch::read_msr(msr::sysenter_cs),
                           .sysenter_esp = arch::read_msr(msr::sysenter_esp),
                           .sysenter_eip = arch::read_msr(msr::sysenter_eip),
                           .efer = arch::read_msr(msr::efer),
                           .pat = arch::read_msr(msr::page_attribute_table),
                           .rip = reinterpret_cast<std::uintptr_t>(vmx_asm_vmrun_exit)});
}

void VmxVcpu::enter_cpu() {
    kern::check(!entered_, "VMX: a vCPU is entered twice");
    kern::check(enable_on_this_cpu().has_value(), "VMXON failed");
    cpu_ = arch::cpu_index();
    make_current(frame_.address());
    entered_ = true;
    vpids_ = &vpids_of_this_cpu();
    write_host_state();
    registers_are_written_ = false;
    error_before_ = vmcs_.read(Field::instruction_error);
    for (std::size_t i = 0; i < host_switched_msrs.size(); ++i) {
        host_msrs_[i] = arch::read_msr(host_switched_msrs[i]);
        arch::write_msr(host_switched_msrs[i], guest_msrs_[i]);
    }
    vmx_write_dr6(dr6_);
    state_.load();
}

void VmxVcpu::leave_cpu() {
    state_.save();
    dr6_ = vmx_read_dr6();
    for (std::size_t i = 0; i < host_switched_msrs.size(); ++i) {
        guest_msrs_[i] = arch::read_msr(host_switched_msrs[i]);
        arch::write_msr(host_switched_msrs[i], host_msrs_[i]);
    }
    // From now on another CPU may take it. Its next entry is a launch.
    clear(frame_.address());
    make_current(Hpa{});
    arch::restore_table_limits();
    env_.env_runs = 0;
    ++probe_.account.clears;
    entered_ = false;
}

}  // namespace vmm::vmx
