// SPDX-License-Identifier: MIT
// Frames and tables.
#include "kern/cap/lifetime.hh"
#include "kern/cap/methods.hh"

namespace kern::cap {
namespace {

constexpr unsigned page_bits = 12, index_bits = 9, top_level = 4;

/// An entry on the way to an address.
struct Entry {
    PageTable* table;
    unsigned index;
    unsigned level;  // of the table; 1: of pages
};

/// The first entry on the way from `space` to `address` where no table stands; if all of them are
/// there, that of the page.
Entry walk(PageTable& space, std::uint64_t address) {
    PageTable* table = &space;
    for (unsigned level = top_level;; --level) {
        const auto index = static_cast<unsigned>(address >> (page_bits + index_bits * (level - 1)) &
                                                 ((1U << index_bits) - 1));
        const Slot* const below = table->mapped[index];
        if (level == 1 || below == nullptr) return {table, index, level};
        table = reinterpret_cast<PageTable*>(below->capability.object);
    }
}

void put(const Entry& entry, Slot& slot) {
    entry.table->mapped[entry.index] = &slot;
    slot.capability.value = entry.index;
    slot.capability.where = reinterpret_cast<std::uint64_t>(entry.table);
}

bool is_place(std::uint64_t address) {
    return address < user_end && (address & ((1U << page_bits) - 1)) == 0;
}

PageTable* space_at(const Invocation& call, std::uint64_t address) {
    const Slot* const space = call.find(address, Type::AddressSpace);
    return space != nullptr ? reinterpret_cast<PageTable*>(space->capability.object) : nullptr;
}

}  // namespace

Status map_frame(Kernel& kernel, Slot& slot, PageTable& space, std::uint64_t address,
                 std::uint64_t rights) {
    const std::uint64_t wanted = rights & slot.capability.rights;
    if (!is_place(address) || rights >= 2 * execute_bit || slot.capability.where != 0)
        return Status::InvalidArgument;
    if ((wanted & read_right) == 0) return Status::NotAllowed;
    const Entry entry = walk(space, address);
    if (entry.level != 1) return Status::SlotEmpty;
    if (entry.table->mapped[entry.index] != nullptr) return Status::SlotOccupied;
    put(entry, slot);
    kernel.hardware->set_page(*entry.table, entry.index, slot.capability,
                              (wanted & write_right) != 0, (rights & execute_bit) != 0);
    return Status::Done;
}

Status map_table(Kernel& kernel, Slot& slot, PageTable& space, std::uint64_t address) {
    const PageTable& table = *reinterpret_cast<PageTable*>(slot.capability.object);
    if (!is_place(address) || slot.capability.where != 0) return Status::InvalidArgument;
    // What stands there was put there at another level.
    for (const Slot* const mapped : table.mapped)
        if (mapped != nullptr) return Status::InvalidArgument;
    const Entry entry = walk(space, address);
    if (entry.level == 1) return Status::SlotOccupied;
    put(entry, slot);
    slot.capability.size_bits = static_cast<std::uint8_t>(entry.level - 1);
    kernel.hardware->set_table(*entry.table, entry.index, table);
    return Status::Done;
}

Status map(const Invocation& call) {
    PageTable* const space = space_at(call, call.words[0]);
    if (space == nullptr) return Status::InvalidCapability;
    return map_frame(call.kernel, call.slot, *space, call.words[1], call.words[2]);
}
Status map_table(const Invocation& call) {
    PageTable* const space = space_at(call, call.words[0]);
    if (space == nullptr) return Status::InvalidCapability;
    return map_table(call.kernel, call.slot, *space, call.words[1]);
}
Status unmap(const Invocation& call) {
    unmap(call.kernel, call.slot);
    return Status::Done;
}

}  // namespace kern::cap
