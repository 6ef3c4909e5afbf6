// SPDX-License-Identifier: MIT
#include "kern/boot/boot_info.hh"

#include <algorithm>

#include "kern/boot/memory_map.hh"

namespace kern {

void add_memory(BootInfo& boot, std::uint64_t address, std::uint64_t length, std::uint32_t type) {
    const std::uint64_t end = length > ~address ? ~0ULL : address + length;
    (type == usable_memory ? boot.usable : boot.reserved).add({Hpa{address}, Hpa{end}});
}

namespace {

/// Calls `visit` with every range that is taken.
template <class Visit>
void for_each_taken(const BootInfo& boot, std::span<const MemoryRange> taken, Visit visit) {
    for (const MemoryRange& range : boot.reserved) visit(range);
    for (const BootModule& module : boot.modules) visit(module.range);
    for (const MemoryRange& range : taken) visit(range);
}

}  // namespace

FixedList<MemoryRange, 256> free_memory(const BootInfo& boot, std::span<const MemoryRange> taken) {
    FixedList<MemoryRange, 256> result;
    // Sweeps upwards from page to page; each turn finds the next free range or skips a taken one.
    // Quadratic in the number of ranges, which is small.
    Hpa at{0};
    while (true) {
        // The lowest usable byte at or after `at`, and the end of its range.
        MemoryRange next{Hpa{~0ULL}, Hpa{~0ULL}};
        for (const MemoryRange& range : boot.usable) {
            const MemoryRange rest{std::max(range.begin, at), range.end};
            if (rest.begin < rest.end && rest.begin < next.begin) next = rest;
        }
        if (next.begin == next.end) return result;
        const std::uint64_t begin = align_up(next.begin.value(), page_size);
        if (begin < next.begin.value()) return result;  // the last page of all wraps to 0
        next.begin = Hpa{begin};
        next.end = next.end.page();
        if (next.begin >= next.end) {
            if (next.begin > at) {
                at = next.begin;
                continue;
            }
            if (at + page_size < at) return result;
            at += page_size;
            continue;
        }
        // A taken range over its first page moves it up; one further up cuts it short.
        Hpa skip_to{0};
        for_each_taken(boot, taken, [&](const MemoryRange& range) {
            if (range.begin >= range.end) return;
            if (range.begin < next.begin + page_size && range.end > next.begin)
                skip_to = std::max(skip_to, range.end);
            else if (range.begin > next.begin && range.begin < next.end)
                next.end = range.begin.page();
        });
        if (skip_to > next.begin) {
            at = skip_to;
            continue;
        }
        static_cast<void>(result.push(next));  // what does not fit is not used
        at = next.end;
    }
}

}  // namespace kern
