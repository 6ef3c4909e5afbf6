// SPDX-License-Identifier: MIT
#include "vmm/soft/descriptors.hh"

#include "vmm/x86.hh"

namespace vmm::soft {

GuestFault protection_fault() {
    return {.vector = vector::general_protection, .error_code = 0};
}

GuestFault protection_fault_of(std::uint16_t selector) {
    return {.vector = vector::general_protection,
            .error_code = static_cast<std::uint32_t>(selector & ~selector::rpl)};
}

GuestFault protection_fault_of_gate(std::uint8_t vector) {
    return {.vector = vector::general_protection,
            .error_code =
                static_cast<std::uint32_t>(vector) << error_code::index_shift | error_code::idt};
}

std::expected<SegmentDescriptor, GuestFault> read_descriptor(const SoftCpu& cpu,
                                                             const GuestMemory& memory,
                                                             std::uint16_t selector) {
    const auto offset = static_cast<std::uint32_t>(selector & selector::index);
    if ((selector & selector::table) != 0 ||
        offset + sizeof(SegmentDescriptor) - 1 > cpu.gdtr.limit)
        return std::unexpected{protection_fault_of(selector)};
    const auto bytes = read_number<std::uint64_t>(cpu, memory, cpu.gdtr.base + offset, false);
    if (!bytes) return std::unexpected{bytes.error()};
    return std::bit_cast<SegmentDescriptor>(*bytes);
}

std::expected<Gate, GuestFault> read_gate(const SoftCpu& cpu, const GuestMemory& memory,
                                          std::uint8_t vector) {
    const std::uint32_t offset = vector * std::uint32_t{sizeof(Gate)};
    if (offset + sizeof(Gate) - 1 > cpu.idtr.limit)
        return std::unexpected{protection_fault_of_gate(vector)};
    const auto bytes = read_number<std::uint64_t>(cpu, memory, cpu.idtr.base + offset, false);
    if (!bytes) return std::unexpected{bytes.error()};
    return std::bit_cast<Gate>(*bytes);
}

}  // namespace vmm::soft
