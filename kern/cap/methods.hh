// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/cap_lookup.hh"
#include "kern/cap/hardware.hh"
#include "kern/cap/kernel.hh"

namespace kern::cap {

/// What a method is called with. The slot has a capability of the type that the method is of; there
/// are as many words as it wants.
struct Invocation {
    Kernel& kernel;                                          ///< the kernel
    Tcb& caller;                                             ///< the current thread
    Slot& slot;                                              ///< of the object
    const std::array<std::uint64_t, register_words>& words;  ///< of the message
    Message& answer;                                         ///< is empty

    /// The slot at an address of the caller's; nullptr: there is none.
    Slot* find(std::uint64_t address) const {
        const auto found = cap_lookup(caller.cnode.capability, address, 64);
        return found ? *found : nullptr;
    }
    /// Likewise, if it holds a capability of that type.
    Slot* find(std::uint64_t address, Type type) const {
        Slot* const found = find(address);
        return found != nullptr && found->capability.type == type ? found : nullptr;
    }
    /// Makes the answer longer by a word.
    void say(std::uint64_t word) const { answer.words[answer.length++] = word; }
};

/// The slot at an index of a CNode; nullptr: the CNode has no such index.
inline Slot* slot_at(const Capability& cnode, std::uint64_t index) {
    CNode& node = cnode_of(cnode);
    return index >= 1 && index <= node.count ? &node.slot(index) : nullptr;
}

///@{
/// Puts the Frame or PageTable in `slot`, which is not mapped, into an address space: what
/// Method::Map and Method::MapTable do.
[[nodiscard]] Status map_frame(Kernel& kernel, Slot& slot, PageTable& space, std::uint64_t address,
                               std::uint64_t rights);
[[nodiscard]] Status map_table(Kernel& kernel, Slot& slot, PageTable& space, std::uint64_t address);
///@}

///@{
/// The methods of that name in kern/cap/interface.hh, where `move_here` is Move, and `remove` Delete.
Status retype(const Invocation& call);
Status copy(const Invocation& call);
Status mint(const Invocation& call);
Status move_here(const Invocation& call);
Status remove(const Invocation& call);
Status revoke(const Invocation& call);
Status configure(const Invocation& call);
Status set_registers(const Invocation& call);
Status get_registers(const Invocation& call);
Status set_priority(const Invocation& call);
Status resume(const Invocation& call);
Status suspend(const Invocation& call);
Status bind(const Invocation& call);
Status map(const Invocation& call);
Status unmap(const Invocation& call);
Status map_table(const Invocation& call);
Status get_irq(const Invocation& call);
Status set_notification(const Invocation& call);
Status acknowledge(const Invocation& call);
Status read_port(const Invocation& call);
Status write_port(const Invocation& call);
///@}

}  // namespace kern::cap
