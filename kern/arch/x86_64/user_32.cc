// SPDX-License-Identifier: MIT
#include "kern/arch/user_32.hh"

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/registers.hh"

namespace kern::arch {
namespace {

/// Code of 32 bits for ring 3: D is set and L is not [amd/vol2 4.7.2].
constexpr std::uint64_t user_code_32 = 0x00cf'fb00'0000'ffff;
constexpr unsigned index_shift = 3;

}  // namespace

void allow_32_bit_programs_only() {
    this_cpu().descriptors.gdt[selector::user_code >> index_shift] = user_code_32;
    write_msr(x86::msr::efer, read_msr(x86::msr::efer) & ~x86::efer::syscall_enable);
    // QEMU lets IRET of ring 3 read its stack as ring 0 does, which SMAP forbids: a page fault that no
    // entry of a page table mends.
    x86::write_cr4(x86::read_cr4() & ~(x86::cr4::umip | x86::cr4::smap));
}

[[gnu::hot]] void enter_user_32(const TrapFrame& frame) {
    // They are the program's still, mostly. To look costs less than to load.
    std::uint32_t ds = 0, es = 0;
    asm volatile(
        "mov %%ds, %0\n\t"
        "mov %%es, %1"
        : "=r"(ds), "=r"(es));
    if (ds != selector::user_data || es != selector::user_data)
        asm volatile(
            "mov %w0, %%ds\n\t"
            "mov %w0, %%es"
            :
            : "r"(std::uint32_t{selector::user_data}));
    enter_user(&frame);
}

}  // namespace kern::arch
