// SPDX-License-Identifier: MIT
#pragma once

#include "world.hh"

namespace lab::exhaustive {

/// The arena: the kernel and all objects, at one address as long as the World lives.
struct World::Memory {
    static constexpr unsigned entries = 8;  ///< of the page table, that are used at most
    static constexpr unsigned bits = 15;    ///< log2 of what stands before `kernel`
    alignas(1U << bits) std::array<std::byte, std::size_t{64} * units> small;
    std::array<kern::cap::Endpoint, endpoints> endpoint;
    kern::cap::Notification notification;
    /// A CNode of 16 indices: its head, and slots of which the first ones are used.
    alignas(1024) std::array<kern::cap::Slot, 16> table;
    struct alignas(2048) Thread {
        kern::cap::Tcb tcb;
    };
    std::array<Thread, threads> tcb;
    struct alignas(4096) Frame {
        kern::cap::IpcBuffer buffer;
    };
    std::array<Frame, threads + 1> frame;
    alignas(1U << bits) kern::cap::Kernel kernel;
    std::array<kern::cap::Slot, 2> first;
    kern::cap::PageTable page_table;

    kern::cap::Slot& slot(Id id) {
        if (id < first_table_slot) return first[id];
        if (id < first_thread_slot) return table[id - first_table_slot + 1U];
        if (id >= first_unit_slot)
            return reinterpret_cast<kern::cap::Slot*>(small.data())[id - first_unit_slot];
        const unsigned at = id - first_thread_slot;
        return tcb[at / thread_slots].tcb.head.slots()[at % thread_slots];
    }

    struct Part {
        std::byte* from;
        std::size_t bytes;
    };
    /// What is saved and put back: all but what the hardware keeps, and the frames, which are
    /// written before each step.
    std::array<Part, threads + 3> parts() {
        const auto at = [](auto& one) { return reinterpret_cast<std::byte*>(&one); };
        return {{{at(small), objects_bytes},
                 {at(tcb[0]), tcb_bytes},
                 {at(tcb[1]), tcb_bytes},
                 {at(tcb[2]), tcb_bytes},
                 {at(kernel), kernel_bytes},
                 {at(page_table.mapped), mapped_bytes}}};
    }
    static constexpr std::size_t objects_bytes = 2048,
                                 tcb_bytes = offsetof(kern::cap::Tcb, machine),
                                 kernel_bytes = (sizeof(kern::cap::Kernel) + 63) / 64 * 64 + 2 * 64,
                                 mapped_bytes = entries * sizeof(void*),
                                 image_bytes = objects_bytes + threads * tcb_bytes + kernel_bytes +
                                               mapped_bytes;
};

}  // namespace lab::exhaustive
