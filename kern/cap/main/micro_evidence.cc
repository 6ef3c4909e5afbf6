// SPDX-License-Identifier: MIT
#include "kern/cap/main/micro_evidence.hh"

#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/cap/interface.hh"
#include "kern/cap/tree.hh"
#include "kern/lib/print.hh"

namespace kern::cap {

// In the data section, not in .bss: the magic is there from the first instruction on.
constinit MicroEvidence micro_evidence{
    .magic = {'N', 'E', 'S', 'T', 'L', 'I', 'N', 'G', '-', 'M', 'I', 'C', 'R', 'O', '1'}};

namespace {

void look_at_what_is_left(World& world, MicroRecord& record) {
    // The slots of its CNode are those that the kernel has filled, whatever became of the task.
    CNode& node = *world.root_cnode;
    for (std::uint64_t i = 1; i <= node.count; ++i) {
        const Slot& slot = node.slot(i);
        if (slot.capability.type == Type::Untyped && has_children(slot)) ++record.untyped_in_use;
    }
    for (const Holder* dead = world.kernel.dead; dead != nullptr; dead = dead->next_dead)
        ++record.dead;
    for (const Queue& queue : world.kernel.ready)
        for (const Tcb* tcb = queue.first; tcb != nullptr; tcb = tcb->next) ++record.ready;
}

std::string_view words_of(MicroEnd end) {
    switch (end) {
        case MicroEnd::RootTaskEnded: return "the root task has ended";
        case MicroEnd::NobodyCanRun: return "nobody can run: all threads wait";
        default: return "the time is over";
    }
}

}  // namespace

void end_machine(World& world, MicroEnd end) {
    MicroRecord& record = micro_evidence.records[0];
    record.end = end;
    record.fast_calls = world.kernel.fast_calls;
    record.fast_replies = world.kernel.fast_replies;
    look_at_what_is_left(world, record);
    std::memcpy(record.report.data(), world.report, sizeof(record.report));
    micro_evidence.finished = 1;
    kprint("nestling-micro: {}\n", words_of(end));
    const auto& calls = record.system_calls;
    kprint("Send {} NBSend {} Call {} Recv {} NBRecv {} Reply {} ReplyRecv {} Yield {}\n", calls[0],
           calls[1], calls[2], calls[3], calls[4], calls[5], calls[6], calls[7]);
    kprint("fast calls {}, fast replies {}, made again {}, slices {}, faults {}, interrupts {}\n",
           record.fast_calls, record.fast_replies, record.preempted, record.slices, record.faults,
           record.interrupts);
    arch::power_off(end == MicroEnd::RootTaskEnded ? 0 : 1);
}

}  // namespace kern::cap
