// SPDX-License-Identifier: MIT
// The order in which the machine is set up. boot.S calls kernel_start on the boot stack.
#include <algorithm>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/apic.hh"
#include "kern/arch/x86_64/clock.hh"
#include "kern/arch/x86_64/console.hh"
#include "kern/arch/x86_64/image.hh"
#include "kern/arch/x86_64/kernel_map.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/arch/x86_64/smp.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/mm/frame_allocator.hh"

extern "C" void (*const init_array_begin[])();
extern "C" void (*const init_array_end[])();

namespace kern::arch {
namespace {

/// What is below 1 MiB is left alone: the BIOS's data, the trampoline's page, devices.
constexpr Hpa lowest_used{0x10'0000};
constexpr std::uint64_t boot_mapped = 4ULL << 30;  // by boot.S

BootInfo boot_info;

BootInfo read_boot_info(std::uint32_t magic, Hpa info) {
    // The final map is made from what this finds; until then it is boot.S's direct map.
    const std::span<const std::byte> memory = low_memory();
    const auto boot =
        magic == multiboot2_magic ? parse_multiboot2(memory, info) : parse_pvh(memory, info);
    if (boot) return *boot;
    kprint("EAX {:x}, EBX {:x}: {}\n", magic, info.value(), boot.error());
    panic("the boot loader's information cannot be used");
}

/// What does not fit the bounds of BootInfo is not used.
void tell_what_is_not_used(const BootInfo& boot) {
    if (boot.usable.rounded() + boot.reserved.rounded() != 0)
        kprint(
            "the memory map is too long: {} usable ranges and {} gaps between reserved ones are "
            "not used\n",
            boot.usable.rounded(), boot.reserved.rounded());
    if (boot.modules_left_out != 0)
        kprint("too many boot modules: {} are not used\n", boot.modules_left_out);
}

void fill_frame_allocator(const BootInfo& boot) {
    const std::array<MemoryRange, 2> taken{{{Hpa{0}, lowest_used}, image_memory()}};
    const auto free = free_memory(boot, taken);
    const Hpa highest = free.size() == 0 ? Hpa{} : free[free.size() - 1].end;
    // The allocator's table, one byte a frame, goes into the first range, and like everything until
    // the final map is there it must lie below 4 GiB. Smaller ranges before it are left alone.
    const std::uint64_t table = highest.value() / page_size;
    constexpr std::uint64_t room_for_maps = 64 * page_size;
    bool found = false;
    for (const MemoryRange& range : free) {
        found =
            found || (range.size() > table + room_for_maps && range.begin.value() < boot_mapped);
        if (found) frames().add_range(range.begin, range.end, highest);
    }
    check(found, "not enough memory");
}

}  // namespace

extern "C" void kernel_start(std::uint32_t magic, std::uint32_t info) {
    enter_cpu(0);
    start_console();
    console_write("Nestling starts");
    boot_info = read_boot_info(magic, Hpa{info});
    kprint(" by {}\n", describe(boot_info.protocol));
    tell_what_is_not_used(boot_info);
    fill_frame_allocator(boot_info);
    build_kernel_map(boot_info);
    set_up_cpu();
    // Not earlier: a constructor may want the heap.
    for (auto* constructor = init_array_begin; constructor != init_array_end; ++constructor)
        (*constructor)();
    apic::enable();
    clock::begin_measurement();
    start_other_cpus(boot_info);
    clock::finish_measurement();
    x86::enable_interrupts();

    kernel_main(boot_info);
    power_off(0);
}

}  // namespace kern::arch
