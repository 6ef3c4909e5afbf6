// SPDX-License-Identifier: MIT
#include "vmm/soft/main/hardware.hh"

#include <bit>
#include <initializer_list>

#include "kern/arch/arch.hh"
#include "kern/arch/user.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

constexpr std::size_t entries = 512;
constexpr std::uint64_t user = 1U << 2;
constexpr std::uint64_t table_bits = pte::present | pte::write | user;
constexpr std::uint64_t two_mib = 2 << 20;

std::uint64_t* table_at(Hpa frame) {
    return reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(frame));
}
std::expected<Hpa, Error> new_table() {
    return kern::frames().allocate(kern::frame_owner::page_table);
}
std::size_t index_of(std::uint64_t address, unsigned level) {
    return address >> (12 + 9 * (level - 1)) & (entries - 1);
}

}  // namespace

std::expected<void, Error> HardwareTable::create() {
    for (Hpa* const place : {&root_, &pointers_}) {
        const auto table = new_table();
        if (!table) return std::unexpected{table.error()};
        *place = *table;
    }
    kern::arch::share_kernel_half(kern::arch::direct_map(root_));
    table_at(root_)[0] = pointers_.value() | table_bits;
    for (std::size_t i = 0; i < directories_.size(); ++i) {
        const auto directory = new_table();
        if (!directory) return std::unexpected{Error::OutOfMemory};
        directories_[i] = table_at(*directory);
        table_at(pointers_)[i] = directory->value() | table_bits;
    }
    return {};
}

HardwareTable::~HardwareTable() {
    const auto give_back = [](Hpa table) {
        if (table != Hpa{}) kern::frames().free(kern::frame_owner::page_table, table);
    };
    for (std::uint64_t* const directory : directories_) {
        if (directory == nullptr) continue;
        for (std::size_t i = 0; i < entries; ++i) give_back(Hpa{directory[i] & pte::address});
        give_back(kern::arch::physical_address(directory));
    }
    give_back(pointers_);
    give_back(root_);
}

inline std::uint64_t* HardwareTable::last_level(std::uint64_t address) const {
    const std::uint64_t entry = directories_[address >> 30 & 3][index_of(address, 2)];
    return (entry & pte::present) != 0 ? table_at(Hpa{entry & pte::address}) : nullptr;
}

[[gnu::hot]] std::expected<void, Error> HardwareTable::set(Gva page, const ShadowEntry& entry) {
    const std::uint64_t address = page.value();
    std::uint64_t* table = last_level(address);
    if (table == nullptr) {
        const auto made = new_table();
        if (!made) return std::unexpected{made.error()};
        directories_[address >> 30 & 3][index_of(address, 2)] = made->value() | table_bits;
        made_[address / two_mib / 64] |= 1ULL << address / two_mib % 64;
        table = table_at(*made);
    }
    table[index_of(address, 1)] =
        entry.frame.value() | pte::present | user | (entry.write ? pte::write : 0);
    return {};
}

[[gnu::hot]] std::optional<ShadowEntry> HardwareTable::get(Gva page) const {
    const std::uint64_t* const table = last_level(page.value());
    const std::uint64_t entry = table != nullptr ? table[index_of(page.value(), 1)] : 0;
    if ((entry & pte::present) == 0) return std::nullopt;
    return ShadowEntry{.frame = Hpa{entry & pte::address}, .write = (entry & pte::write) != 0};
}

[[gnu::hot]] void HardwareTable::clear(Gva page) {
    if (std::uint64_t* const table = last_level(page.value())) table[index_of(page.value(), 1)] = 0;
}

void HardwareTable::clear_4_mib(Gva first) {
    for (std::uint64_t at = first.value(); at < first.value() + 2 * two_mib; at += two_mib)
        if (std::uint64_t* const table = last_level(at))
            for (std::size_t i = 0; i < entries; ++i) table[i] = 0;
}

// The tables of level 1 stay: what the CPU has cached of the way to them stays true.
void HardwareTable::clear_all() {
    for_each_entry([](std::uint64_t& entry) { entry = 0; });
}

void HardwareTable::protect(Hpa frame) {
    for_each_entry([frame](std::uint64_t& entry) {
        if ((entry & pte::address) == frame.value()) entry &= ~pte::write;
    });
}

template <class Work>
void HardwareTable::for_each_entry(Work work) {
    for (std::size_t i = 0; i < made_.size(); ++i)
        for (std::uint64_t left = made_[i]; left != 0; left &= left - 1) {
            const auto bit = static_cast<unsigned>(std::countr_zero(left));
            std::uint64_t* const table = last_level((64 * i + bit) * two_mib);
            for (std::size_t j = 0; j < entries; ++j)
                if ((table[j] & pte::present) != 0) work(table[j]);
        }
}

std::expected<void, Error> HardwareMachine::create() {
    for (HardwareTable& table : tables_)
        if (const auto made = table.create(); !made) return made;
    return {};
}

void HardwareMachine::flush_page(Gva page) {
    kern::arch::forget_translation(kern::Uva{page.value()});
}

void HardwareMachine::flush_all() {
    if (in_use_ != Hpa{}) load();
}

void HardwareMachine::load() {
    ++loads_;
    kern::arch::use_address_space(in_use_);
}

void HardwareMachine::leave() {
    in_use_ = {};
    kern::arch::use_kernel_address_space();
}

}  // namespace vmm::soft
