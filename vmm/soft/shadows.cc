// SPDX-License-Identifier: MIT
#include "vmm/soft/shadows.hh"

#include <span>

namespace vmm::soft {
namespace {

constexpr std::uint64_t table_bytes = 4ULL << 20;  // what one table is for

Gpa root_of(std::uint32_t cr3) {
    return Gpa{cr3 & ~(page_size - 1)};
}
Gva first_of(Gva address) {
    return Gva{address.value() & ~(table_bytes - 1)};
}

}  // namespace

void Shadows::activate(std::uint32_t cr3) {
    const Gpa root = root_of(cr3);
    if (keeping_ == Keeping::OnDemand) {
        slots_[0] = {.root = root, .used = true, .loose = true};
        return;
    }
    for (unsigned slot = 0; slot < shadow_slots; ++slot)
        if (slots_[slot].used && slots_[slot].root == root) {
            active_ = slot;
            slots_[slot].loose = false;
            return;
        }
    unsigned slot = 0;
    while (slot < shadow_slots && slots_[slot].used) ++slot;
    if (slot == shadow_slots) {
        do slot = next_victim_++ % shadow_slots;
        while (slot == active_);
        empty(slot);
    }
    slots_[slot] = {.root = root, .used = true};
    active_ = slot;
}

[[gnu::hot]] ShadowTable* Shadows::of(Gpa root, bool user) {
    for (unsigned slot = 0; slot < shadow_slots; ++slot)
        if (slots_[slot].used && slots_[slot].root == root) return &machine_.table(slot, user);
    return nullptr;
}

[[gnu::hot]] void Shadows::trace(std::uint32_t cr3, Gpa table, Gva address) {
    if (is_loose()) return;
    const Gpa root = root_of(cr3);
    add_use({.table = root, .root = root, .is_root = true, .first = Gva{0}});
    add_use({.table = table, .root = root, .is_root = false, .first = first_of(address)});
}

[[gnu::hot]] bool Shadows::is_traced(Gpa page) const {
    for (unsigned i = 0; i < use_count_; ++i)
        if (uses_[i].table == page) return true;
    return false;
}

[[gnu::hot]] Shadows::Uses Shadows::uses(Gpa page) const {
    Uses found;
    for (unsigned i = 0; i < use_count_; ++i)
        if (uses_[i].table == page) static_cast<void>(found.push(uses_[i]));
    return found;
}

void Shadows::drop_use(Gpa root, Gva first) {
    drop_uses_if([&](const Use& use) {
        return use.root == root && !use.is_root && use.first == first_of(first);
    });
}

void Shadows::loosen(Gpa root) {
    for (unsigned slot = 0; slot < shadow_slots; ++slot)
        if (slots_[slot].used && slots_[slot].root == root) {
            empty(slot);
            slots_[slot].loose = true;
        }
}

void Shadows::forget_all() {
    for (unsigned slot = 0; slot < shadow_slots; ++slot)
        if (slots_[slot].used) empty(slot);
    machine_.flush_all();
}

void Shadows::empty(unsigned slot) {
    machine_.table(slot, false).clear_all();
    machine_.table(slot, true).clear_all();
    const Gpa root = slots_[slot].root;
    drop_uses_if([root](const Use& use) { return use.root == root; });
}

[[gnu::hot]] void Shadows::add_use(const Use& use) {
    if (is_loose()) return;  // there was no place for the use before this one
    std::size_t known = 0;
    for (const Use& each : std::span{uses_}.first(use_count_)) {
        if (each == use) return;
        if (each.table == use.table) ++known;
    }
    if (use_count_ == most_uses || known == most_uses_of_a_table) {
        loosen(use.root);
        machine_.flush_all();
        return;
    }
    uses_[use_count_++] = use;
    if (known == 0) protect(use.table);
}

void Shadows::protect(Gpa page) {
    const auto frame = memory_.gpa2hpa(page);
    if (!frame) return;
    for (unsigned slot = 0; slot < shadow_slots; ++slot)
        if (slots_[slot].used)
            for (const bool user : {false, true}) machine_.table(slot, user).protect(*frame);
    machine_.flush_all();
}

template <class Condition>
void Shadows::drop_uses_if(Condition condition) {
    unsigned kept = 0;
    for (unsigned i = 0; i < use_count_; ++i)
        if (!condition(uses_[i])) uses_[kept++] = uses_[i];
    use_count_ = kept;
}

}  // namespace vmm::soft
