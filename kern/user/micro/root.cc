// SPDX-License-Identifier: MIT
#include "kern/user/micro/root.hh"

namespace micro {
namespace {

using kern::cap::RootInfo;
using kern::cap::RootSlot;

constexpr unsigned memory_bits = 22, child_cnode_bits = 6;
constexpr std::uint64_t page_size = 4096;
constexpr std::uint16_t serial_port = 0x3f8, line_status = serial_port + 5;
constexpr std::uint64_t transmitter_empty = 0x20;

std::uint64_t next_slot = 0, memory_index = 0;

}  // namespace

void print(std::string_view text) {
    for (const char character : text) {
        while ((call(root(RootSlot::IoPorts), static_cast<std::uint64_t>(Method::ReadPort),
                     line_status, 1)
                    .words[0] &
                transmitter_empty) == 0) {
        }
        call(root(RootSlot::IoPorts), Method::WritePort, serial_port, 1, character);
    }
}

void require(bool rule, std::string_view words) {
    if (rule) return;
    print("wrong: ");
    print(words);
    print("\r\n");
    while (true) call(root(RootSlot::Tcb), Method::Suspend);
}

std::uint64_t new_slots(std::uint64_t count) {
    if (next_slot == 0) next_slot = info().first_empty;
    const std::uint64_t first = next_slot;
    next_slot += count;
    return first;
}

std::uint64_t memory() {
    if (memory_index != 0) return memory_index;
    const auto& known = info();
    // The smallest one that is large enough; the last one is a device's.
    for (std::uint64_t i = 0; i + 1 < known.untyped_count; ++i)
        if (known.untyped_bits[i] >= memory_bits) memory_index = known.first_untyped + i;
    return memory_index;
}

std::uint64_t make(Type type, unsigned bits, std::uint64_t count) {
    const std::uint64_t first = new_slots(count);
    require(call(memory(), Method::Retype, static_cast<std::uint64_t>(type) | bits << 8, own_cnode,
                 first, count) == Status::Done,
            "an object cannot be made");
    return first;
}

void forget_all() {
    const auto& known = info();
    for (std::uint64_t i = 0; i < known.image_pages; ++i)
        call(own_cnode, Method::Revoke, known.first_image + i);
    call(own_cnode, Method::Revoke, memory());
    next_slot = 0;
}

void give(const Child& child, std::uint64_t at, std::uint64_t capability, Rights rights,
          std::uint64_t badge) {
    const Status status = badge != 0
                              ? call(child.cnode, Method::Mint, at, capability, rights, badge)
                              : call(child.cnode, Method::Copy, at, capability, rights);
    require(status == Status::Done, "a capability cannot be given to a child");
}

void map_for(const Child& child, std::uint64_t frame, std::uint64_t address) {
    const std::uint64_t copy = new_slots();
    require(call(own_cnode, Method::Copy, copy, frame, kern::cap::all_rights) == Status::Done,
            "a Frame cannot be copied");
    require(call(copy, Method::Map, child.space, address, kern::cap::all_rights) == Status::Done,
            "a page cannot be mapped for a child");
}

Child make_child(void (*entry)(std::uint64_t), std::uint64_t argument, std::uint64_t listens,
                 std::uint64_t badge, std::uint64_t handler) {
    const auto& known = info();
    Child child{.tcb = make(Type::Tcb), .space = make(Type::AddressSpace), .listens = listens};
    const std::uint64_t plain = make(Type::CNode, child_cnode_bits);
    child.cnode = new_slots();
    constexpr std::uint64_t guard_bits = 64 - child_cnode_bits;
    call(own_cnode, Method::Mint, child.cnode, plain, kern::cap::all_rights, guard_bits);
    const std::uint64_t tables = make(Type::PageTable, 0, 4);
    for (std::uint64_t i = 0; i < 3; ++i)
        call(tables + i, Method::MapTable, child.space, known.image_address);
    call(tables + 3, Method::MapTable, child.space, child_buffer);
    for (std::uint64_t i = 0; i < known.image_pages; ++i) {
        const std::uint64_t page = new_slots();
        call(own_cnode, Method::Copy, page, known.first_image + i, kern::cap::read_right);
        call(page, Method::Map, child.space, known.image_address + i * page_size,
             kern::cap::read_right | kern::cap::execute_bit);
    }
    const std::uint64_t frames = make(Type::Frame, 0, 2);
    map_for(child, frames, child_buffer);
    map_for(child, frames + 1, child_stack_end - page_size);
    require(call(child.tcb, Method::Configure, child.cnode, child.space, frames, handler) ==
                Status::Done,
            "a thread cannot be configured");
    constexpr std::uint64_t below_return_address = 8;
    call(child.tcb, Method::SetRegisters, reinterpret_cast<std::uint64_t>(entry),
         child_stack_end - below_return_address, argument);
    call(child.tcb, Method::SetPriority, 4);
    give(child, up, listens, kern::cap::write_right | kern::cap::grant_right, badge);
    return child;
}

void start(const Child& child) {
    call(child.tcb, Method::Resume);
}
Child start_child(void (*entry)(std::uint64_t), std::uint64_t argument, std::uint64_t listens,
                  std::uint64_t badge) {
    const Child child = make_child(entry, argument, listens, badge);
    start(child);
    return child;
}

}  // namespace micro
