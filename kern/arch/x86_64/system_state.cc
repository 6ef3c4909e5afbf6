// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/system_state.hh"

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/registers.hh"

namespace kern::arch {

SystemState read_system_state() {
    SystemState state{
        .cr0 = x86::read_cr0(),
        .cr3 = x86::read_cr3(),
        .cr4 = x86::read_cr4(),
        .fs_base = read_msr(x86::msr::fs_base),
        .gs_base = read_msr(x86::msr::gs_base),
        .tr_base = reinterpret_cast<std::uintptr_t>(&this_cpu().descriptors.task),
    };
    asm volatile("mov %%cs, %0" : "=r"(state.cs));
    asm volatile("mov %%ss, %0" : "=r"(state.ss));
    asm volatile("str %0" : "=r"(state.tr));
    TablePointer gdtr;
    TablePointer idtr;
    asm volatile("sgdt %0" : "=m"(gdtr));
    asm volatile("sidt %0" : "=m"(idtr));
    state.gdtr_base = gdtr.base;
    state.idtr_base = idtr.base;
    return state;
}

void set_cr4_bits(std::uint64_t bits) {
    x86::write_cr4(x86::read_cr4() | bits);
}

}  // namespace kern::arch
