// SPDX-License-Identifier: MIT
#include "kern/cap/lifetime.hh"

#include <new>

#include "kern/cap/threads.hh"

namespace kern::cap {
namespace {

void make_dead(Kernel& kernel, Holder& holder) {
    holder.next_dead = kernel.dead;
    kernel.dead = &holder;
}

void cancel_all(Kernel& kernel, const Queue& queue) {
    while (queue.first != nullptr) cancel(kernel, *queue.first, Status::Cancelled);
}

void end_notification(Kernel& kernel, Notification& notification) {
    cancel_all(kernel, notification.queue);
    if (notification.bound != nullptr) notification.bound->bound = nullptr;
    for (Irq& irq : kernel.interrupts)
        if (irq.notification == &notification) irq.notification = nullptr;
}

void end_tcb(Kernel& kernel, Tcb& tcb) {
    suspend(kernel, tcb);
    drop_caller(tcb);
    if (tcb.bound != nullptr) tcb.bound->bound = nullptr;
    tcb.bound = nullptr;
    make_dead(kernel, tcb.head);
}

void end_table(Kernel& kernel, PageTable& table) {
    for (Slot* const slot : table.mapped)
        if (slot != nullptr) unmap(kernel, *slot);
    kernel.machine->end_table(table);
}

}  // namespace

Capability begin_object(Kernel& kernel, Type type, unsigned bits, std::uint64_t address,
                        bool is_device) {
    Capability capability{.type = type,
                          .rights = all_rights,
                          .is_device = static_cast<std::uint8_t>(is_device),
                          .object = address};
    void* const memory = reinterpret_cast<void*>(address);
    switch (type) {
        case Type::Untyped: capability.size_bits = static_cast<std::uint8_t>(bits); break;
        case Type::CNode:
            capability.size_bits = static_cast<std::uint8_t>(bits);
            (new (memory) CNode)->count = (1ULL << bits) - 1;
            break;
        case Type::Tcb: (new (memory) Tcb)->head.count = 4; break;
        case Type::Endpoint: new (memory) Endpoint; break;
        case Type::Notification: new (memory) Notification; break;
        case Type::AddressSpace: kernel.machine->begin_space(*new (memory) PageTable); break;
        case Type::PageTable: new (memory) PageTable; break;
        default: break;
    }
    return capability;
}

void end_object(Kernel& kernel, const Capability& capability) {
    switch (capability.type) {
        case Type::CNode: make_dead(kernel, cnode_of(capability)); break;
        case Type::Tcb: end_tcb(kernel, tcb_of(capability)); break;
        case Type::Endpoint: cancel_all(kernel, endpoint_of(capability).queue); break;
        case Type::Notification: end_notification(kernel, notification_of(capability)); break;
        case Type::PageTable:
        case Type::AddressSpace:
            end_table(kernel, *reinterpret_cast<PageTable*>(capability.object));
            break;
        case Type::IrqHandler:
            kernel.machine->mask(static_cast<unsigned>(capability.object));
            kernel.interrupts[capability.object] = {};
            break;
        default: break;
    }
}

Slot* next_dead_slot(Kernel& kernel) {
    for (; kernel.dead != nullptr; kernel.dead = kernel.dead->next_dead)
        for (Holder& holder = *kernel.dead; holder.emptied < holder.count; ++holder.emptied)
            if (Slot& slot = holder.slots()[holder.emptied]; !slot.is_empty()) return &slot;
    return nullptr;
}

void unmap(Kernel& kernel, Slot& slot) {
    Capability& capability = slot.capability;
    PageTable* const table = table_of(capability);
    if (table == nullptr) return;
    table->mapped[capability.value] = nullptr;
    kernel.machine->clear_entry(*table, static_cast<unsigned>(capability.value));
    capability.value = capability.where = 0;
    if (capability.type == Type::PageTable) capability.size_bits = 0;
}

}  // namespace kern::cap
