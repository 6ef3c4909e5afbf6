// SPDX-License-Identifier: MIT
#include "vmm/soft/shadow_trace.hh"

#include <cstring>

#include "kern/arch/arch.hh"

namespace vmm::soft {
namespace {

constexpr std::uint64_t entry_bytes = 4;
constexpr std::uint64_t four_mib = 4 << 20;

/// What the store stores.
std::uint64_t value_of(const MemoryAccess& store, const Registers& registers) {
    if (!store.reg) return store.immediate;
    return registers.*general_registers[store.reg->number] >> (store.reg->is_high_byte ? 8 : 0);
}

/// The guest's entry number `index` of the table at `table` may mean something else.
void forget_entry(Shadows& shadows, Gpa table, std::uint64_t index) {
    for (const Shadows::Use& use : shadows.uses(table)) {
        const Gva first = use.first + index * (use.is_root ? four_mib : page_size);
        for (const bool user : {false, true})
            if (ShadowTable* const shadow = shadows.of(use.root, user)) {
                if (use.is_root)
                    shadow->clear_4_mib(first);
                else
                    shadow->clear(first);
            }
        if (use.is_root) {
            shadows.drop_use(use.root, first);
            shadows.machine().flush_all();
        } else {
            shadows.machine().flush_page(first);
        }
    }
}

Traced drop(Shadows& shadows, Gpa table) {
    for (const Shadows::Use& use : shadows.uses(table)) shadows.loosen(use.root);
    shadows.machine().flush_all();
    return Traced::Dropped;
}

}  // namespace

Traced shadow_trace(SoftCpu& cpu, const GuestMemory& memory, Shadows& shadows, Gva address,
                    std::span<const std::byte> bytes) {
    const auto page_at =
        walk_guest(memory, cpu.paging(), Gva{address.value() & ~(page_size - 1)}, std::nullopt);
    if (!page_at) return Traced::Dropped;
    const Gpa table = *page_at;

    const AddressState state{
        .code = CodeSize::Bits32, .registers = cpu.registers, .segments = flat_segments};
    const auto store = decode_access(bytes, state);
    if (!store || store->operation != MemoryAccess::Operation::Store || store->is_string)
        return drop(shadows, table);
    const std::uint64_t at = store->memory.address.value();
    const std::uint64_t offset = at % page_size;
    if (at - offset != address.value() - address.page_offset() || offset + store->size > page_size)
        return drop(shadows, table);

    const auto place = memory.gpa2hpa(table);
    if (!place) return drop(shadows, table);
    const std::uint64_t value = value_of(*store, cpu.registers);
    std::memcpy(kern::arch::direct_map(*place + offset), &value, store->size);
    for (std::uint64_t index = offset / entry_bytes;
         index <= (offset + store->size - 1) / entry_bytes; ++index)
        forget_entry(shadows, table, index);
    cpu.registers.rip = (cpu.registers.rip + store->length) & 0xffff'ffff;
    return Traced::Done;
}

}  // namespace vmm::soft
