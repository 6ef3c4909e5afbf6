// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "vmm/vmx/consistency.hh"

/// What the files of consistency rules share; for them alone.
namespace vmm::vmx {

///@{
/// The rules of one area.
std::span<const ConsistencyRule> control_rules();
std::span<const ConsistencyRule> host_rules();
std::span<const ConsistencyRule> guest_rules();
std::span<const ConsistencyRule> segment_rules();
///@}

/// SCE, LME, LMA, NXE: Intel has no others [intel/vol3a 2.2.1].
inline constexpr std::uint64_t efer_defined = 0xd01;

/// The field's value, as a function that a rule can hold.
template <Field field>
std::uint64_t value_of(const Vmcs& vmcs) {
    return vmcs.read(field);
}

constexpr bool all_set(std::uint64_t value, std::uint64_t bits) {
    return (value & bits) == bits;
}
constexpr bool none_set(std::uint64_t value, std::uint64_t bits) {
    return (value & bits) == 0;
}
constexpr std::uint64_t beyond(unsigned bits) {
    return bits >= 64 ? 0 : ~0ULL << bits;
}
/// Whether bits 63 to `bits` - 1 are all alike.
constexpr bool is_canonical(std::uint64_t address, unsigned bits) {
    const std::uint64_t upper = beyond(bits - 1);
    return none_set(address, upper) || all_set(address, upper);
}
/// Whether `address` is that of a page in physical memory.
constexpr bool is_page(std::uint64_t address, const CpuLimits& limits) {
    return none_set(address, page_size - 1) && none_set(address, beyond(limits.physical_bits));
}
/// Whether each byte is a memory type that exists.
constexpr bool is_memory_type_table(std::uint64_t pat) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
        const std::uint64_t type = (pat >> shift) & 0xff;
        if (type > 7 || type == 2 || type == 3) return false;
    }
    return true;
}

///@{
/// Whether the control is on.
inline bool pin(const Vmcs& vmcs, std::uint32_t control) {
    return all_set(vmcs.read(Field::pin_based_controls), control);
}
inline bool primary(const Vmcs& vmcs, std::uint32_t control) {
    return all_set(vmcs.read(Field::primary_controls), control);
}
inline bool secondary(const Vmcs& vmcs, std::uint32_t control) {
    return primary(vmcs, primary_control::activate_secondary_controls) &&
           all_set(vmcs.read(Field::secondary_controls), control);
}
inline bool on_exit(const Vmcs& vmcs, std::uint32_t control) {
    return all_set(vmcs.read(Field::exit_controls), control);
}
inline bool on_entry(const Vmcs& vmcs, std::uint32_t control) {
    return all_set(vmcs.read(Field::entry_controls), control);
}
///@}

///@{
/// The event that the entry shall inject.
inline bool injects(const Vmcs& vmcs) {
    return all_set(vmcs.read(Field::entry_interruption_information), interruption::valid);
}
inline bool injects(const Vmcs& vmcs, std::uint32_t type) {
    return injects(vmcs) &&
           (vmcs.read(Field::entry_interruption_information) & interruption::type) == type;
}
///@}

}  // namespace vmm::vmx
