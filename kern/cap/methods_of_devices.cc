// SPDX-License-Identifier: MIT
// Interrupts and I/O ports.
#include "kern/cap/methods.hh"
#include "kern/cap/tree.hh"

namespace kern::cap {
namespace {

/// Whether all bytes of an access lie in the range, and there are as many as the hardware has.
bool is_in(const Capability& ports, std::uint64_t port, std::uint64_t bytes) {
    const std::uint64_t first = ports.object & 0xffff, last = ports.object >> 16;
    return (bytes == 1 || bytes == 4) && port >= first && port <= last && bytes - 1 <= last - port;
}

}  // namespace

Status get_irq(const Invocation& call) {
    const std::uint64_t irq = call.words[0];
    if (irq >= irqs) return Status::InvalidArgument;
    const Slot* const node = call.find(call.words[1], Type::CNode);
    if (node == nullptr) return Status::InvalidCapability;
    Slot* const to = slot_at(node->capability, call.words[2]);
    if (to == nullptr) return Status::InvalidArgument;
    if (!to->is_empty() || call.kernel.interrupts[irq].has_handler != 0)
        return Status::SlotOccupied;
    call.kernel.interrupts[irq] = {.has_handler = 1};
    put_below(call.slot, *to, {.type = Type::IrqHandler, .rights = all_rights, .object = irq});
    return Status::Done;
}

Status set_notification(const Invocation& call) {
    Irq& irq = call.kernel.interrupts[call.slot.capability.object];
    if (call.words[0] == 0) {
        irq = {.has_handler = 1};
        return Status::Done;
    }
    const Slot* const found = call.find(call.words[0], Type::Notification);
    if (found == nullptr) return Status::InvalidCapability;
    if (!found->capability.allows(write_right)) return Status::NotAllowed;
    irq = {.notification = &notification_of(found->capability),
           .badge = found->capability.value,
           .has_handler = 1};
    return Status::Done;
}

Status acknowledge(const Invocation& call) {
    call.kernel.machine->unmask(static_cast<unsigned>(call.slot.capability.object));
    return Status::Done;
}

Status read_port(const Invocation& call) {
    if (!is_in(call.slot.capability, call.words[0], call.words[1])) return Status::InvalidArgument;
    call.say(call.kernel.hardware->read_port(static_cast<std::uint16_t>(call.words[0]),
                                             static_cast<unsigned>(call.words[1])));
    return Status::Done;
}
Status write_port(const Invocation& call) {
    if (!is_in(call.slot.capability, call.words[0], call.words[1])) return Status::InvalidArgument;
    call.kernel.hardware->write_port(static_cast<std::uint16_t>(call.words[0]),
                                     static_cast<unsigned>(call.words[1]),
                                     static_cast<std::uint32_t>(call.words[2]));
    return Status::Done;
}

}  // namespace kern::cap
