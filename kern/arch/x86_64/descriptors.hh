// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "kern/arch/segments.hh"

namespace kern::arch {

/// The stacks that the CPU changes to by itself, by IST index: one each for what does not need a
/// usable stack to happen. A fault may mean that the stack is broken; the others may come while RSP
/// is still a user program's, between SYSCALL and the change of stacks, or points into its
/// environment, before IRETQ.
namespace interrupt_stack {
inline constexpr std::uint8_t none = 0, double_fault = 1, non_maskable = 2, page_fault = 3,
                              debug = 4, machine_check = 5, count = 5;
}

/// The 64-bit TSS [amd/vol2 12.2.5].
struct [[gnu::packed]] TaskState {
    std::uint32_t reserved0 = 0;
    std::array<std::uint64_t, 3> rsp{};
    std::uint64_t reserved1 = 0;
    std::array<std::uint64_t, 7> ist{};  ///< ist[0] is IST1
    std::uint64_t reserved2 = 0;
    std::uint16_t reserved3 = 0;
    std::uint16_t io_map = sizeof(TaskState);  ///< beyond the end: none
};
static_assert(sizeof(TaskState) == 104);

/// What LGDT and LIDT take, and SGDT and SIDT store [amd/vol2 4.6.2].
struct [[gnu::packed]] TablePointer {
    std::uint16_t limit;
    std::uint64_t base;
};
static_assert(sizeof(TablePointer) == 10);

/// One CPU's GDT and TSS.
struct Descriptors {
    std::array<std::uint64_t, 7> gdt{};  ///< null, the segments above, and two for the TSS
    TaskState task{};
};

/// Fills `descriptors` for the executing CPU and loads them and the IDT. Stack tops by IST index;
/// those of index 0 are left out.
void load_descriptors(Descriptors& descriptors,
                      const std::array<std::uint64_t, interrupt_stack::count + 1>& stack_tops);

}  // namespace kern::arch
