// SPDX-License-Identifier: MIT
#include <array>

#include "kern/arch/arch.hh"
#include "vmm/exits/handle_port_access.hh"
#include "vmm/x86.hh"

namespace vmm {
namespace {

constexpr std::uint64_t low_32 = 0xffff'ffff;

struct Guest {
    Vcpu& vcpu;
    SystemRegisters system;
    const exit::PortAccess& access;
    ExitFailure failure{""};
    bool has_failed = false;

    bool is_64_bit() const { return system.code_size == CodeSize::Bits64; }
    bool fail(const ExitFailure& why) {
        failure = why;
        has_failed = true;
        return false;
    }
    void raise(const Event& event) {
        if (vcpu.backend().can_inject()) vcpu.backend().inject(event);
    }

    /// Finds one byte. If there is none, everything has been done that is to be done.
    bool find(std::uint64_t linear, std::byte*& found) {
        if (!is_64_bit()) linear &= low_32;
        const GuestAccess how{
            .write = access.in,
            .user = system.privilege_level == 3,
            .alignment_check = (vcpu.registers().rflags & rflags::alignment_check) != 0};
        auto gpa = walk_guest(vcpu.vm().memory(), {system.cr0, system.cr3, system.cr4, system.efer},
                              Gva{linear}, how);
        while (!gpa && gpa.error().kind == WalkFault::Kind::NotInMemory) {
            if (const auto table = touch_guest(vcpu, gpa.error().table, false); !table)
                return fail(table.error());
            gpa = walk_guest(vcpu.vm().memory(), {system.cr0, system.cr3, system.cr4, system.efer},
                             Gva{linear}, how);
        }
        if (!gpa) {
            if (gpa.error().kind == WalkFault::Kind::PageFault)
                raise({.vector = vector::page_fault,
                       .error_code = gpa.error().error_code,
                       .cr2 = linear});
            if (gpa.error().kind == WalkFault::Kind::NotCanonical)
                raise({.vector = vector::general_protection, .error_code = 0});
            if (gpa.error().kind == WalkFault::Kind::Unsupported)
                return fail({"a paging mode that is not known", Error::Unsupported});
            return false;
        }
        const auto host = touch_guest(vcpu, *gpa, access.in);
        if (!host) return fail(host.error());
        found = kern::arch::direct_map(*host);
        return true;
    }
};

bool nobody_serves(Vcpu& vcpu, const exit::PortAccess& access) {
    bool is_served = vcpu.vm().has_open_ports();
    for (int i = access.size - 1; i >= 0; --i)
        is_served |= is_served_port(static_cast<std::uint16_t>(access.port + i));
    return !is_served;
}

std::unexpected<ExitFailure> unserved(const exit::PortAccess& access) {
    if (access.in) return std::unexpected{ExitFailure{"IN from a port that no device serves"}};
    return std::unexpected{ExitFailure{"OUT to a port that no device serves"}};
}

void add(std::uint64_t& whole, CodeSize size, std::uint64_t what) {
    switch (size) {
        case CodeSize::Bits16: whole = (whole & ~0xffffULL) | ((whole + what) & 0xffff); break;
        case CodeSize::Bits32: whole = (whole + what) & low_32; break;
        case CodeSize::Bits64: whole += what; break;
    }
}

std::uint64_t part(std::uint64_t whole, CodeSize size) {
    if (size == CodeSize::Bits16) return whole & 0xffff;
    return size == CodeSize::Bits32 ? whole & low_32 : whole;
}

Handled string(Guest guest, const Exit& exit) {
    Vcpu& vcpu = guest.vcpu;
    Registers& registers = vcpu.registers();
    const exit::PortAccess& access = guest.access;
    std::array<std::byte, longest_instruction> bytes{};
    std::uint64_t at = guest.system.cs_base + registers.rip;
    if (!guest.is_64_bit()) at &= low_32;
    const std::size_t count = read_guest(vcpu, Gva{at}, bytes);
    const Prefixes prefixes = read_prefixes(std::span{bytes}.first(count), guest.system.code_size);
    const auto opcode =
        prefixes.count < count ? std::to_integer<unsigned>(bytes[prefixes.count]) : 0;
    if (access.in ? opcode != 0x6c && opcode != 0x6d : opcode != 0x6e && opcode != 0x6f)
        return std::unexpected{ExitFailure{"an instruction exits that cannot be read"}};

    CodeSize size = guest.system.code_size;
    if (prefixes.address_size)
        size = size == CodeSize::Bits32 ? CodeSize::Bits16 : CodeSize::Bits32;
    SegmentName segment = SegmentName::Es;
    if (!access.in) segment = prefixes.segment ? *prefixes.segment : SegmentName::Ds;
    std::uint64_t base = guest.system.segments[static_cast<unsigned>(segment)].base;
    if (guest.is_64_bit() && segment != SegmentName::Fs && segment != SegmentName::Gs) base = 0;

    const std::uint64_t step =
        (registers.rflags & rflags::direction) != 0 ? 0 - std::uint64_t{access.size} : access.size;
    std::uint64_t left = (registers.rflags & rflags::trap) != 0 ? 1 : port_string_piece;
    Exit end = exit;
    while (!access.repeat || part(registers.rcx, size) != 0) {
        if (nobody_serves(vcpu, access)) return unserved(access);
        if (left-- == 0) {
            end.instruction_length = 0;
            break;
        }
        std::uint64_t& index = access.in ? registers.rdi : registers.rsi;
        std::array<std::byte*, 4> places{};
        for (unsigned i = 0; i < access.size; ++i)
            if (!guest.find(base + part(index, size) + i, places[i])) {
                if (guest.has_failed) return std::unexpected{guest.failure};
                return {};
            }
        for (unsigned i = 0; i < access.size; ++i) {
            const auto port = static_cast<std::uint16_t>(access.port + i);
            if (access.in)
                *places[i] = static_cast<std::byte>(read_port(vcpu.vm(), port));
            else
                write_port(vcpu.vm(), port, static_cast<std::uint8_t>(*places[i]));
        }
        add(index, size, step);
        if (!access.repeat) break;
        add(registers.rcx, size, ~0ULL);
    }
    vcpu.backend().skip_instruction(end);
    return {};
}

}  // namespace

Handled handle_port_access(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& access) {
    if (access.string)
        return string({.vcpu = vcpu, .system = vcpu.backend().system_registers(), .access = access},
                      exit);
    if (nobody_serves(vcpu, access)) return unserved(access);
    Registers& registers = vcpu.registers();
    std::uint64_t value = registers.rax;
    if (access.in && access.size == 4) value = 0;
    for (unsigned i = 0; i < access.size; ++i) {
        const auto port = static_cast<std::uint16_t>(access.port + i);
        const unsigned shift = 8 * i;
        if (access.in) {
            value &= ~(0xffULL << shift);
            value |= std::uint64_t{read_port(vcpu.vm(), port)} << shift;
        } else {
            write_port(vcpu.vm(), port, static_cast<std::uint8_t>(value >> shift));
        }
    }
    if (access.in) registers.rax = value;
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm
