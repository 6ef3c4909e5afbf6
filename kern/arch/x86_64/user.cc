// SPDX-License-Identifier: MIT
// The process layer's side of this machine.
#include "kern/arch/user.hh"

#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/kernel_map.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/arch/x86_64/traps.hh"

// user_entry.S
extern "C" void system_call_entry();
extern "C" void call_on_kernel_stack(void (*function)());
extern "C" [[noreturn]] void return_from_kernel_stack();

namespace kern::arch {
namespace {

constexpr std::uint64_t half_of_root = page_size / 2;
constexpr unsigned star_kernel_shift = 32, star_user_shift = 48;
/// SYSRET would load CS from 16 bytes above, SS from 8 above [amd/vol2 6.1.1]. Nothing here uses
/// it: IRETQ also leaves a program whose RIP is at the end of the lower half.
constexpr std::uint64_t sysret_base = selector::user_data - 8;
/// What a program must not bring along: single steps, interrupts, a direction, a nested task (IRETQ
/// would fault), AC (it switches SMAP off).
constexpr std::uint64_t cleared_flags = x86::rflags::trap | x86::rflags::interrupt_enable |
                                        x86::rflags::direction | x86::rflags::io_privilege |
                                        x86::rflags::nested_task | x86::rflags::resume |
                                        x86::rflags::alignment_check;

constexpr std::uint32_t cpuid_smep = 1 << 7, cpuid_smap = 1 << 20;  // leaf 7, EBX
constexpr std::uint32_t cpuid_umip = 1 << 2;                        // leaf 7, ECX
constexpr std::uint32_t highest_leaf = 0, features_leaf = 7;

void enable_ring_3() {
    std::uint64_t cr4 = x86::read_cr4();
    if (cpuid(highest_leaf).eax >= features_leaf) {
        const CpuidResult features = cpuid(features_leaf);
        if ((features.ebx & cpuid_smep) != 0) cr4 |= x86::cr4::smep;
        if ((features.ebx & cpuid_smap) != 0) cr4 |= x86::cr4::smap;
        if ((features.ecx & cpuid_umip) != 0) cr4 |= x86::cr4::umip;
    }
    x86::write_cr4(cr4);
    write_msr(x86::msr::star, std::uint64_t{selector::kernel_code} << star_kernel_shift |
                                  sysret_base << star_user_shift);
    // 0 after a reset. A measurement may have put an entry of its own in front of this one.
    if (read_msr(x86::msr::lstar) == 0)
        write_msr(x86::msr::lstar, reinterpret_cast<std::uint64_t>(&system_call_entry));
    write_msr(x86::msr::sfmask, cleared_flags);
    write_msr(x86::msr::kernel_gs_base, 0);
    write_msr(x86::msr::efer, read_msr(x86::msr::efer) | x86::efer::syscall_enable);
}

}  // namespace

void share_kernel_half(std::byte* root) {
    // These entries point to tables that every address space shares, and never change after boot.
    std::memcpy(root + half_of_root, direct_map(kernel_root() + half_of_root), half_of_root);
}

void use_address_space(Hpa root) {
    x86::write_cr3(root.value());
}
void use_kernel_address_space() {
    x86::write_cr3(kernel_root().value());
}
void forget_translation(Uva page) {
    asm volatile("invlpg (%0)" : : "r"(page.value()) : "memory");
}

void clear_selectors() {
    std::uint32_t ds = 0, es = 0, fs = 0, gs = 0;
    asm volatile(
        "mov %%ds, %0\n\t"
        "mov %%es, %1\n\t"
        "mov %%fs, %2\n\t"
        "mov %%gs, %3"
        : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
    if ((ds | es | fs | gs) == 0) return;  // nearly always: to look costs less than to load
    // Loading GS clears its base on Intel [intel/vol3a 3.4.4], so the program's is put there meanwhile.
    asm volatile(
        "mov %0, %%ds\n\t"
        "mov %0, %%es\n\t"
        "mov %0, %%fs\n\t"
        "swapgs\n\t"
        "mov %0, %%gs\n\t"
        "swapgs"
        :
        : "r"(0)
        : "memory");
}

void run_user_mode(void (*schedule)(), void (*on_trap)(const TrapFrame& frame)) {
    enable_ring_3();
    user_trap_handler = on_trap;  // the same on every CPU
    call_on_kernel_stack(schedule);
}

void leave_user_mode() {
    return_from_kernel_stack();
}

}  // namespace kern::arch
