// SPDX-License-Identifier: MIT
#include "kern/cap/calls.hh"
#include "kern/cap/methods.hh"

namespace kern::cap {
namespace {

struct Entry {
    Type type;       // of the objects that have the method
    unsigned words;  // that it wants
    Status (*call)(const Invocation&);
};

/// By number; Method::Retype is 1.
constexpr std::array methods{
    Entry{Type::Null, 0, nullptr},
    Entry{Type::Untyped, 4, retype},
    Entry{Type::CNode, 3, copy},
    Entry{Type::CNode, 4, mint},
    Entry{Type::CNode, 2, move_here},
    Entry{Type::CNode, 1, remove},
    Entry{Type::CNode, 1, revoke},
    Entry{Type::Tcb, 4, configure},
    Entry{Type::Tcb, 3, set_registers},
    Entry{Type::Tcb, 0, get_registers},
    Entry{Type::Tcb, 1, set_priority},
    Entry{Type::Tcb, 0, resume},
    Entry{Type::Tcb, 0, suspend},
    Entry{Type::Tcb, 1, bind},
    Entry{Type::Frame, 3, map},
    Entry{Type::Frame, 0, unmap},
    Entry{Type::PageTable, 2, map_table},
    Entry{Type::PageTable, 0, unmap},
    Entry{Type::IrqControl, 3, get_irq},
    Entry{Type::IrqHandler, 1, set_notification},
    Entry{Type::IrqHandler, 0, acknowledge},
    Entry{Type::IoPorts, 2, read_port},
    Entry{Type::IoPorts, 3, write_port},
};
static_assert(methods.size() == static_cast<std::size_t>(Method::WritePort) + 1);

}  // namespace

Status invoke(Kernel& kernel, Slot& slot) {
    Tcb& caller = *kernel.current();
    if (slot.is_empty()) return Status::InvalidCapability;
    const Message asked = caller.message;
    Message answer{};
    Status status = Status::InvalidArgument;
    if (asked.label > 0 && asked.label < methods.size()) {
        const Entry& method = methods[asked.label];
        if (method.type == slot.capability.type && asked.length >= method.words)
            status = method.call({kernel, caller, slot, asked.words, answer});
    }
    if (status != Status::Preempted) caller.message = answer;
    return status;
}

}  // namespace kern::cap
