// SPDX-License-Identifier: MIT
#include "vmm/soft/device_access.hh"

#include <array>

#include "vmm/exits/decode_access.hh"
#include "vmm/soft/instruction.hh"
#include "vmm/soft/linear.hh"
#include "vmm/x86.hh"

namespace vmm::soft {

bool access_device(SoftCpu& cpu, const GuestMemory& memory, const MmioBus& mmio, Gva address,
                   const GuestAccess& access) {
    constexpr unsigned vcpu = 0, size = 4;
    constexpr std::uint64_t low_half = 0xffff'ffff;
    const auto place = walk_guest(memory, cpu.paging(), address, access);
    if (!place || !mmio.has(*place)) return false;
    std::array<std::byte, longest_instruction> bytes{};
    const std::size_t count = fetch(cpu, memory, bytes);
    const auto instruction = decode_access(
        std::span{bytes}.first(count),
        {.code = CodeSize::Bits32, .registers = cpu.registers, .segments = flat_segments});
    if (!instruction || instruction->size != size || instruction->is_string ||
        instruction->memory.address != address)
        return false;
    switch (instruction->operation) {
        case MemoryAccess::Operation::Load: {
            const auto value = mmio.read(vcpu, *place, size);
            if (!value || !instruction->reg) return false;
            cpu.registers.*general_registers[instruction->reg->number] = *value;
            break;
        }
        case MemoryAccess::Operation::Store: {
            const std::uint64_t value =
                instruction->reg ? cpu.registers.*general_registers[instruction->reg->number]
                                 : instruction->immediate;
            if (!mmio.write(vcpu, *place, size, value & low_half)) return false;
            break;
        }
        default: return false;
    }
    cpu.registers.rip = (cpu.registers.rip + instruction->length) & low_half;
    return true;
}

}  // namespace vmm::soft
