// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <optional>

#include "kern/arch/arch.hh"
#include "vmm/exits/handle_port_access.hh"
#include "vmm/x86.hh"

namespace vmm {
namespace {

/// What is left to do where a byte was not found.
using Answer = std::expected<std::byte*, Handled>;

struct Instruction {
    unsigned address_bits = 64;
    std::uint64_t base = 0;
    bool wraps_at_32_bits = false;

    std::uint64_t cut(std::uint64_t value) const {
        return address_bits == 64 ? value : value & ((1ULL << address_bits) - 1);
    }
    std::uint64_t put(std::uint64_t whole, std::uint64_t value) const {
        return address_bits == 16 ? whole >> 16 << 16 | cut(value) : cut(value);
    }
    Gva linear(std::uint64_t offset, unsigned byte) const {
        const std::uint64_t value = base + cut(offset) + byte;
        return Gva{wraps_at_32_bits ? value & 0xffff'ffff : value};
    }
};

std::optional<Instruction> decode(Vcpu& vcpu, const SystemRegisters& system, bool in) {
    const bool long_code = system.code_size == CodeSize::Bits64;
    std::array<std::byte, longest_instruction> bytes;
    const std::uint64_t at = system.cs_base + vcpu.registers().rip;
    const std::size_t found = read_guest(vcpu, Gva{long_code ? at : at & 0xffff'ffff}, bytes);
    const auto code = std::span{bytes}.first(found);
    const Prefixes prefixes = read_prefixes(code, system.code_size);
    if (prefixes.count == found) return std::nullopt;
    const unsigned opcode = static_cast<std::uint8_t>(code[prefixes.count]) >> 1;
    if (opcode != (in ? 0x36U : 0x37U)) return std::nullopt;
    Instruction result{.wraps_at_32_bits = !long_code};
    switch (system.code_size) {
        case CodeSize::Bits16: result.address_bits = prefixes.address_size ? 32 : 16; break;
        case CodeSize::Bits32: result.address_bits = prefixes.address_size ? 16 : 32; break;
        case CodeSize::Bits64: result.address_bits = prefixes.address_size ? 32 : 64; break;
    }
    const SegmentName name = in ? SegmentName::Es : prefixes.segment.value_or(SegmentName::Ds);
    if (!long_code || name == SegmentName::Fs || name == SegmentName::Gs)
        result.base = system.segments[static_cast<unsigned>(name)].base;
    return result;
}

std::unexpected<Handled> injected(Vcpu& vcpu, const Event& event) {
    if (vcpu.backend().can_inject()) vcpu.backend().inject(event);
    return std::unexpected{Handled{}};
}

Answer find(Vcpu& vcpu, const SystemRegisters& system, bool write, Gva address) {
    const GuestAccess access{
        .write = write,
        .user = system.privilege_level == 3,
        .alignment_check = (vcpu.registers().rflags & rflags::alignment_check) != 0};
    const auto gpa = walk_guest(vcpu.vm().memory(),
                                {system.cr0, system.cr3, system.cr4, system.efer}, address, access);
    if (gpa) {
        const auto host = touch_guest(vcpu, *gpa, write);
        if (!host) return std::unexpected{Handled{std::unexpected{host.error()}}};
        return kern::arch::direct_map(*host);
    }
    const WalkFault fault = gpa.error();
    switch (fault.kind) {
        case WalkFault::Kind::PageFault:
            return injected(vcpu, {.vector = vector::page_fault,
                                   .error_code = fault.error_code,
                                   .cr2 = address.value()});
        case WalkFault::Kind::NotCanonical:
            return injected(vcpu, {.vector = vector::general_protection, .error_code = 0});
        case WalkFault::Kind::Busy: return std::unexpected{Handled{}};
        case WalkFault::Kind::Unsupported:
            return std::unexpected{
                Handled{std::unexpected{ExitFailure{"paging with 5 levels", Error::Unsupported}}}};
        case WalkFault::Kind::NotInMemory: break;
    }
    const auto table = touch_guest(vcpu, fault.table, false);
    if (!table) return std::unexpected{Handled{std::unexpected{table.error()}}};
    return find(vcpu, system, write, address);
}

/// One access of the port; `bytes` has as many as the access.
void ask(Vm& vm, const exit::PortAccess& access, std::byte* bytes) {
    for (unsigned i = 0; i < access.size; ++i) {
        const auto port = static_cast<std::uint16_t>(access.port + i);
        if (access.in)
            bytes[i] = std::byte{read_port(vm, port)};
        else
            write_port(vm, port, std::to_integer<std::uint8_t>(bytes[i]));
    }
}

bool has_device(Vcpu& vcpu, const exit::PortAccess& access) {
    if (vcpu.vm().has_open_ports()) return true;
    unsigned served = 0;
    for (unsigned i = 0; i < access.size; ++i)
        served += is_served_port(static_cast<std::uint16_t>(access.port + i)) ? 1 : 0;
    return served != 0;
}

Handled no_device(bool in) {
    return std::unexpected{ExitFailure{in ? "IN from a port that no device serves"
                                          : "OUT to a port that no device serves"}};
}

/// An element that lies on two pages, or ends at the highest address.
std::optional<Handled> move_broken(Vcpu& vcpu, const SystemRegisters& system,
                                   const Instruction& instruction, const exit::PortAccess& access,
                                   std::uint64_t offset) {
    std::array<std::byte*, 4> places{};
    std::array<std::byte, 4> buffer{};
    for (unsigned i = 0; i < access.size; ++i) {
        const Answer found = find(vcpu, system, access.in, instruction.linear(offset, i));
        if (!found) return found.error();
        places[i] = *found;
        buffer[i] = **found;
    }
    ask(vcpu.vm(), access, buffer.data());
    if (access.in)
        for (unsigned i = 0; i < access.size; ++i) *places[i] = buffer[i];
    return std::nullopt;
}

Handled do_string(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& access) {
    const SystemRegisters system = vcpu.backend().system_registers();
    const auto instruction = decode(vcpu, system, access.in);
    if (!instruction)
        return std::unexpected{ExitFailure{"an instruction exits that cannot be read"}};
    Registers& registers = vcpu.registers();
    std::uint64_t& index = access.in ? registers.rdi : registers.rsi;
    const bool down = (registers.rflags & rflags::direction) != 0;
    const auto left = [&] { return access.repeat ? instruction->cut(registers.rcx) : 1; };
    if (left() != 0 && !has_device(vcpu, access)) return no_device(access.in);
    const auto note = [&](std::uint64_t elements) {
        const std::uint64_t bytes = elements * access.size;
        index = instruction->put(index, down ? index - bytes : index + bytes);
        if (access.repeat)
            registers.rcx = instruction->put(registers.rcx, registers.rcx - elements);
    };

    std::uint64_t budget = (registers.rflags & rflags::trap) != 0 ? 1 : port_string_piece;
    bool is_over = left() == 0;
    while (!is_over && budget != 0) {
        const Gva first = instruction->linear(index, 0);
        const std::uint64_t inside = first.page_offset();
        const std::uint64_t room =
            down ? inside / access.size + 1 : (page_size - inside) / access.size;
        if (inside + access.size > page_size) {
            if (const auto stop = move_broken(vcpu, system, *instruction, access, index))
                return *stop;
            is_over = left() == 1;
            note(1);
            --budget;
            continue;
        }
        const Answer place = find(vcpu, system, access.in, first);
        if (!place) return place.error();
        std::uint64_t count = std::min({left(), budget, room});
        // Up to where the offset begins anew.
        while (count > 1 && instruction
                                    ->linear(down ? index - (count - 1) * access.size
                                                  : index + (count - 1) * access.size,
                                             0)
                                    .page() != first.page())
            --count;
        for (std::uint64_t i = 0; i < count; ++i)
            ask(vcpu.vm(), access, down ? *place - i * access.size : *place + i * access.size);
        is_over = left() == count;
        note(count);
        budget -= count;
    }
    Exit end = exit;
    if (!is_over) end.instruction_length = 0;
    vcpu.backend().skip_instruction(end);
    return {};
}

}  // namespace

Handled handle_port_access(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& access) {
    if (access.string) return do_string(vcpu, exit, access);
    if (!has_device(vcpu, access)) return no_device(access.in);
    std::array<std::byte, 8> value = std::bit_cast<std::array<std::byte, 8>>(vcpu.registers().rax);
    ask(vcpu.vm(), access, value.data());
    if (access.in && access.size == 4) std::fill(value.begin() + 4, value.end(), std::byte{0});
    vcpu.registers().rax = std::bit_cast<std::uint64_t>(value);
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm
