// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/descriptors.hh"
#include "kern/arch/x86_64/system_state.hh"

#include <bit>
#include <cstddef>

#include "kern/arch/vectors.hh"
#include "kern/arch/x86_64/boot_constants.h"

namespace kern::arch {
namespace {

// Segment descriptors in 64-bit mode: only type, DPL, P and L count [amd/vol2 4.8].
constexpr std::uint64_t kernel_code = BOOT_CODE_DESCRIPTOR;
constexpr std::uint64_t kernel_data = 0x00cf'9300'0000'ffff;
constexpr std::uint64_t user_data = 0x00cf'f300'0000'ffff;
constexpr std::uint64_t user_code = 0x00af'fb00'0000'ffff;

/// A system descriptor of 16 bytes [amd/vol2 4.8.3].
struct TaskDescriptor {
    std::uint64_t limit_low : 16, base_low : 24, type : 5, dpl : 2, present : 1, limit_high : 4,
        ignored : 3, granularity : 1, base_middle : 8;
    std::uint64_t base_high : 32, reserved : 32;
};
static_assert(sizeof(TaskDescriptor) == 16);
constexpr unsigned available_task = 9;

/// An interrupt gate [amd/vol2 4.8.4].
struct Gate {
    std::uint64_t offset_low : 16, code : 16, ist : 3, zero : 5, type : 4, system : 1, dpl : 2,
        present : 1, offset_middle : 16;
    std::uint64_t offset_high : 32, reserved : 32;
};
static_assert(sizeof(Gate) == 16);
constexpr unsigned interrupt_gate = 14;  // clears IF

constexpr std::size_t vector_count = 256;
constexpr std::size_t stub_size = 16;  // traps.S aligns to this
constexpr unsigned user_privilege = 3;

alignas(16) std::array<Gate, vector_count> idt;

std::uint8_t stack_of(std::size_t number) {
    switch (number) {
        case vector::debug: return interrupt_stack::debug;
        case vector::non_maskable_interrupt: return interrupt_stack::non_maskable;
        case vector::double_fault: return interrupt_stack::double_fault;
        case vector::page_fault: return interrupt_stack::page_fault;
        case vector::machine_check: return interrupt_stack::machine_check;
        default: return interrupt_stack::none;
    }
}

void fill_idt(const std::byte* stubs) {
    for (std::size_t number = 0; number < vector_count; ++number) {
        const auto entry = reinterpret_cast<std::uintptr_t>(stubs + number * stub_size);
        Gate gate{};
        gate.offset_low = entry & 0xffff;
        gate.offset_middle = (entry >> 16) & 0xffff;
        gate.offset_high = entry >> 32;
        gate.code = selector::kernel_code;
        gate.type = interrupt_gate;
        gate.present = 1;
        // INT3 is for programs; any other INT n is a #GP [amd/vol2 8.4.2], and 64-bit mode has no
        // INTO.
        if (number == vector::breakpoint) gate.dpl = user_privilege;
        gate.ist = stack_of(number);
        idt[number] = gate;
    }
}

}  // namespace

extern "C" const std::byte trap_stubs[];  // traps.S

void load_descriptors(Descriptors& descriptors,
                      const std::array<std::uint64_t, interrupt_stack::count + 1>& stack_tops) {
    // Every CPU uses one IDT; the first one fills it.
    if (idt[0].present == 0) fill_idt(trap_stubs);

    for (std::size_t i = 1; i < stack_tops.size(); ++i) descriptors.task.ist[i - 1] = stack_tops[i];
    const auto base = reinterpret_cast<std::uintptr_t>(&descriptors.task);
    TaskDescriptor task{};
    task.limit_low = sizeof(TaskState) - 1;
    task.base_low = base & 0xff'ffff;
    task.base_middle = (base >> 24) & 0xff;
    task.base_high = base >> 32;
    task.type = available_task;
    task.present = 1;
    const auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(task);
    descriptors.gdt = {0, kernel_code, kernel_data, user_data, user_code, halves[0], halves[1]};

    const TablePointer gdt_pointer{sizeof(descriptors.gdt) - 1,
                                   reinterpret_cast<std::uintptr_t>(descriptors.gdt.data())};
    const TablePointer idt_pointer{sizeof(idt) - 1, reinterpret_cast<std::uintptr_t>(idt.data())};
    // CS changes by a far return; the data segments stay null, as the boot code left them, but SS.
    asm volatile(
        "lgdt %0\n\t"
        "pushq %2\n\t"
        "leaq 1f(%%rip), %%rax\n\t"
        "pushq %%rax\n\t"
        "lretq\n"
        "1:\n\t"
        "mov %3, %%ss\n\t"
        "lidt %1\n\t"
        "ltr %w4"
        :
        : "m"(gdt_pointer), "m"(idt_pointer), "i"(selector::kernel_code),
          "r"(std::uint32_t{selector::kernel_data}), "r"(std::uint32_t{selector::task_state})
        : "rax", "memory");
}

void restore_table_limits() {
    TablePointer gdt_pointer;
    asm volatile("sgdt %0" : "=m"(gdt_pointer));
    gdt_pointer.limit = sizeof(Descriptors::gdt) - 1;
    const TablePointer idt_pointer{sizeof(idt) - 1, reinterpret_cast<std::uintptr_t>(idt.data())};
    asm volatile("lgdt %0; lidt %1" : : "m"(gdt_pointer), "m"(idt_pointer));
}

}  // namespace kern::arch
