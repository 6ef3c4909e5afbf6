// SPDX-License-Identifier: MIT
#include "vmm/exits/handle_port_access.hh"

#include <algorithm>
#include <array>
#include <optional>

#include "kern/arch/arch.hh"
#include "vmm/x86.hh"

namespace vmm {
namespace {

constexpr std::uint64_t lower_half = 0xffff'ffff;

/// Why a string instruction stops before its end: an exception for the guest, or the end of its VM;
/// neither if it has to be tried again.
struct Stop {
    std::optional<Event> event{};
    std::optional<ExitFailure> failure{};
};

std::uint64_t mask_of(CodeSize size) {
    switch (size) {
        case CodeSize::Bits16: return 0xffff;
        case CodeSize::Bits32: return lower_half;
        case CodeSize::Bits64: break;
    }
    return ~0ULL;
}

/// Puts `value` into the part of a register that `mask` names, as the CPU does.
void set_part(std::uint64_t& whole, std::uint64_t mask, std::uint64_t value) {
    const std::uint64_t kept = mask < lower_half ? whole & ~mask : 0;
    whole = kept | (value & mask);
}

/// What the exit does not tell of INS and OUTS.
struct StringInstruction {
    std::uint64_t address_mask;  // 2^(address size) - 1
    std::uint64_t linear_mask;
    std::uint64_t base;  // of the segment
};

std::optional<StringInstruction> read_instruction(Vcpu& vcpu, const SystemRegisters& system,
                                                  bool in) {
    constexpr std::uint8_t ins = 0x6c, outs = 0x6e;  // and one more for other sizes than 1
    const bool is_64_bit = system.code_size == CodeSize::Bits64;
    const std::uint64_t linear_mask = is_64_bit ? ~0ULL : lower_half;
    std::array<std::byte, longest_instruction> buffer;
    const Gva at{(system.cs_base + vcpu.registers().rip) & linear_mask};
    const auto bytes = std::span{buffer}.first(read_guest(vcpu, at, buffer));
    const Prefixes prefixes = read_prefixes(bytes, system.code_size);
    if (prefixes.count >= bytes.size()) return std::nullopt;
    const auto opcode = std::to_integer<std::uint8_t>(bytes[prefixes.count]);
    if ((opcode & ~1U) != (in ? ins : outs)) return std::nullopt;

    CodeSize size = system.code_size;
    if (prefixes.address_size)
        size = size == CodeSize::Bits32 ? CodeSize::Bits16 : CodeSize::Bits32;
    const SegmentName segment = in ? SegmentName::Es : prefixes.segment.value_or(SegmentName::Ds);
    const bool has_base = !is_64_bit || segment >= SegmentName::Fs;
    return StringInstruction{
        .address_mask = mask_of(size),
        .linear_mask = linear_mask,
        .base = has_base ? system.segments[static_cast<std::size_t>(segment)].base : 0};
}

/// The guest's memory, as INS writes it and OUTS reads it.
class Memory {
   public:
    Memory(Vcpu& vcpu, const SystemRegisters& system, bool write)
        : vcpu_{vcpu},
          paging_{.cr0 = system.cr0, .cr3 = system.cr3, .cr4 = system.cr4, .efer = system.efer},
          access_{.write = write,
                  .user = system.privilege_level == 3,
                  .alignment_check = (vcpu.registers().rflags & rflags::alignment_check) != 0} {}

    /// The byte at `address`. The page found last is remembered.
    std::expected<std::byte*, Stop> find(Gva address) {
        if (bytes_ == nullptr || address.page() != page_) {
            const auto bytes = find_page(address);
            if (!bytes) return std::unexpected{bytes.error()};
            page_ = address.page();
            bytes_ = *bytes;
        }
        return bytes_ + address.page_offset();
    }

   private:
    /// The first byte of its page.
    std::expected<std::byte*, Stop> find_page(Gva address) {
        const auto stop = [](const Stop& why) { return std::unexpected{why}; };
        for (;;) {
            const auto gpa = walk_guest(vcpu_.vm().memory(), paging_, address, access_);
            if (gpa) {
                const auto host = touch_guest(vcpu_, gpa->page(), access_.write);
                if (!host) return stop({.failure = host.error()});
                return kern::arch::direct_map(*host);
            }
            const WalkFault& fault = gpa.error();
            switch (fault.kind) {
                case WalkFault::Kind::PageFault:
                    return stop({.event = Event{.vector = vector::page_fault,
                                                .error_code = fault.error_code,
                                                .cr2 = address.value()}});
                case WalkFault::Kind::NotCanonical:
                    return stop(
                        {.event = Event{.vector = vector::general_protection, .error_code = 0}});
                case WalkFault::Kind::Busy: return stop({});
                case WalkFault::Kind::Unsupported:
                    return stop({.failure = ExitFailure{"INS or OUTS with 5 levels of tables",
                                                        Error::Unsupported}});
                case WalkFault::Kind::NotInMemory: break;
            }
            if (const auto table = touch_guest(vcpu_, fault.table, false); !table)
                return stop({.failure = table.error()});
        }
    }

    Vcpu& vcpu_;
    GuestMemory::GuestPaging paging_;
    GuestAccess access_;
    Gva page_{};
    std::byte* bytes_ = nullptr;
};

bool is_served(Vcpu& vcpu, const exit::PortAccess& access) {
    for (unsigned i = 0; i <= access.size; ++i)
        if (is_served_port(static_cast<std::uint16_t>(access.port + i))) return true;
    return vcpu.vm().has_open_ports();
}

ExitFailure nobody(const exit::PortAccess& access) {
    return {access.in ? "IN from a port that no device serves"
                      : "OUT to a port that no device serves"};
}

/// One access, of the bytes at `bytes`.
void transfer(Vm& vm, const exit::PortAccess& access, const std::array<std::byte*, 4>& bytes) {
    for (unsigned i = 0; i < access.size; ++i) {
        const auto port = static_cast<std::uint16_t>(access.port + i);
        if (access.in)
            *bytes[i] = std::byte{read_port(vm, port)};
        else
            write_port(vm, port, std::to_integer<std::uint8_t>(*bytes[i]));
    }
}

/// Moves up to `count` elements; the registers say how far it has come.
std::expected<void, Stop> move_elements(Vcpu& vcpu, const exit::PortAccess& access,
                                        const StringInstruction& instruction, Memory& memory,
                                        std::uint64_t count) {
    Registers& registers = vcpu.registers();
    std::uint64_t& index = access.in ? registers.rdi : registers.rsi;
    const bool down = (registers.rflags & rflags::direction) != 0;
    const std::uint64_t step = down ? -std::uint64_t{access.size} : access.size;
    for (; count != 0; --count) {
        const std::uint64_t first = instruction.base + (index & instruction.address_mask);
        std::array<std::byte*, 4> bytes{};
        for (unsigned i = 0; i < access.size; ++i) {
            const auto found = memory.find(Gva{(first + i) & instruction.linear_mask});
            if (!found) return std::unexpected{found.error()};
            bytes[i] = *found;
        }
        transfer(vcpu.vm(), access, bytes);
        set_part(index, instruction.address_mask, index + step);
        if (access.repeat) set_part(registers.rcx, instruction.address_mask, registers.rcx - 1);
    }
    return {};
}

Handled handle_string(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& access) {
    const SystemRegisters system = vcpu.backend().system_registers();
    const auto instruction = read_instruction(vcpu, system, access.in);
    if (!instruction)
        return std::unexpected{ExitFailure{"an instruction exits that cannot be read"}};
    const Registers& registers = vcpu.registers();
    const std::uint64_t wanted = access.repeat ? registers.rcx & instruction->address_mask : 1;
    if (wanted != 0 && !is_served(vcpu, access)) return std::unexpected{nobody(access)};
    const bool steps = (registers.rflags & rflags::trap) != 0;
    const std::uint64_t count = std::min(wanted, steps ? 1 : port_string_piece);

    Memory memory{vcpu, system, access.in};
    if (const auto done = move_elements(vcpu, access, *instruction, memory, count); !done) {
        const Stop& stop = done.error();
        if (stop.failure) return std::unexpected{*stop.failure};
        if (stop.event && vcpu.backend().can_inject()) vcpu.backend().inject(*stop.event);
        return {};
    }
    Exit done = exit;
    if (count != wanted) done.instruction_length = 0;
    vcpu.backend().skip_instruction(done);
    return {};
}

}  // namespace

[[gnu::hot]] Handled handle_port_access(Vcpu& vcpu, const Exit& exit,
                                        const exit::PortAccess& access) {
    if (access.string) return handle_string(vcpu, exit, access);
    if (!is_served(vcpu, access)) return std::unexpected{nobody(access)};
    std::uint64_t& rax = vcpu.registers().rax;
    std::array<std::byte, 4> value{};
    for (unsigned i = 0; i < access.size; ++i) value[i] = static_cast<std::byte>(rax >> (8 * i));
    transfer(vcpu.vm(), access, {&value[0], &value[1], &value[2], &value[3]});
    if (access.in) {
        std::uint64_t read = 0;
        for (unsigned i = 0; i < access.size; ++i)
            read |= std::to_integer<std::uint64_t>(value[i]) << (8 * i);
        set_part(rax, (1ULL << (8 * access.size)) - 1, read);
    }
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm
