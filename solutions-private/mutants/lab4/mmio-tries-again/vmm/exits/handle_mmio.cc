// SPDX-License-Identifier: MIT
#include "vmm/exits/handle_mmio.hh"

#include <array>
#include <bit>
#include <span>

#include "vmm/read_guest.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

using Operation = MemoryAccess::Operation;
using Value = std::expected<std::uint64_t, Error>;
using Done = std::expected<void, Error>;

constexpr std::uint64_t arithmetic_flags = rflags::carry | rflags::parity |
                                           rflags::auxiliary_carry | rflags::zero | rflags::sign |
                                           rflags::overflow;

constexpr std::uint64_t low_bytes(std::uint64_t value, unsigned bytes) {
    return bytes == 8 ? value : value & ((1ULL << 8 * bytes) - 1);
}

constexpr bool is_negative(std::uint64_t value, unsigned bytes) {
    return (value >> (8 * bytes - 1) & 1) != 0;
}

constexpr std::uint64_t sign_extended(std::uint64_t value, unsigned bytes) {
    return is_negative(value, bytes) ? value | ~low_bytes(~0ULL, bytes) : value;
}

/// SF, ZF and PF.
std::uint64_t flags_of(std::uint64_t result, unsigned bytes) {
    constexpr unsigned lowest_byte = 0xff;
    std::uint64_t flags = 0;
    if (is_negative(result, bytes)) flags |= rflags::sign;
    if (result == 0) flags |= rflags::zero;
    if (std::popcount(static_cast<unsigned>(result) & lowest_byte) % 2 == 0)
        flags |= rflags::parity;
    return flags;
}

std::uint64_t flags_of_difference(std::uint64_t first, std::uint64_t second, unsigned bytes) {
    const std::uint64_t difference = low_bytes(first - second, bytes);
    std::uint64_t flags = flags_of(difference, bytes);
    if (first < second) flags |= rflags::carry;
    if (is_negative((first ^ second) & (first ^ difference), bytes)) flags |= rflags::overflow;
    return flags | ((first ^ second ^ difference) & rflags::auxiliary_carry);
}

std::uint64_t logical_result(Operation operation, std::uint64_t first, std::uint64_t second) {
    switch (operation) {
        case Operation::Or: return first | second;
        case Operation::Xor: return first ^ second;
        default: return first & second;  // And, Test
    }
}

/// Puts `value` into a register, or a part of it, as instructions do.
void write_register(std::uint64_t& whole, std::uint64_t value, unsigned bytes, unsigned shift) {
    if (bytes >= 4) {
        whole = low_bytes(value, bytes);
        return;
    }
    const std::uint64_t mask = low_bytes(~0ULL, bytes) << shift;
    whole = (whole & ~mask) | (value << shift & mask);
}

/// One instruction, on its way from the guest to the device and back.
class Execution {
   public:
    Execution(Vcpu& vcpu, const MemoryAccess& access, Gpa device)
        : vcpu_{vcpu}, registers_{vcpu.registers()}, access_{access}, device_{device} {}

    Done run() {
        switch (access_.operation) {
            case Operation::Load: return load();
            case Operation::Store: return write(other_operand());
            case Operation::And:
            case Operation::Or:
            case Operation::Xor:
            case Operation::Test: return combine();
            case Operation::Compare: return compare();
            case Operation::Exchange: return exchange();
        }
        return {};
    }

    /// Whether an element of STOS follows that is left to another exit.
    std::expected<bool, Error> run_string() {
        const std::uint64_t step = (registers_.rflags & rflags::direction) != 0
                                       ? -std::uint64_t{access_.size}
                                       : access_.size;
        const Gpa page = device_.page();
        const bool steps = (registers_.rflags & rflags::trap) != 0;
        while (!access_.repeat || left() != 0) {
            if (const auto done = write(other_operand()); !done)
                return std::unexpected{done.error()};
            const bool wraps = move(registers_.rdi, step);
            if (!access_.repeat) return false;
            move(registers_.rcx, ~0ULL);
            device_ += step;
            const bool is_whole =
                device_.page() == page && (device_ + (access_.size - 1)).page() == page;
            if (steps || wraps || !is_whole) break;
        }
        return left() != 0;
    }

   private:
    Value read() const {
        const Value once = vcpu_.vm().mmio().read(vcpu_.index(), device_, access_.size);
        return once ? once : vcpu_.vm().mmio().read(vcpu_.index(), device_, access_.size);
    }
    Done write(std::uint64_t value) const {
        return vcpu_.vm().mmio().write(vcpu_.index(), device_, access_.size, value);
    }

    unsigned shift() const { return access_.reg->is_high_byte ? 8 : 0; }
    std::uint64_t& whole_register() const {
        return registers_.*general_registers[access_.reg->number];
    }
    /// The operand that is not in memory.
    std::uint64_t other_operand() const {
        if (!access_.reg) return access_.immediate;
        return low_bytes(whole_register() >> shift(), access_.size);
    }
    void set_register(std::uint64_t value, unsigned bytes) const {
        write_register(whole_register(), value, bytes, shift());
    }
    void set_flags(std::uint64_t flags) const {
        registers_.rflags = (registers_.rflags & ~arithmetic_flags) | flags;
    }

    Done load() const {
        const Value value = read();
        if (!value) return std::unexpected{value.error()};
        set_register(access_.sign_extend ? sign_extended(*value, access_.size) : *value,
                     access_.register_size);
        return {};
    }

    Done combine() const {
        const Value memory = read();
        if (!memory) return std::unexpected{memory.error()};
        const std::uint64_t result = logical_result(access_.operation, *memory, other_operand());
        if (access_.operation != Operation::Test) {
            if (access_.memory_first) {
                if (const auto done = write(result); !done) return done;
            } else {
                set_register(result, access_.size);
            }
        }
        set_flags(flags_of(result, access_.size));
        return {};
    }

    Done compare() const {
        const Value memory = read();
        if (!memory) return std::unexpected{memory.error()};
        const std::uint64_t other = other_operand();
        set_flags(access_.memory_first ? flags_of_difference(*memory, other, access_.size)
                                       : flags_of_difference(other, *memory, access_.size));
        return {};
    }

    Done exchange() const {
        const Value memory = read();
        if (!memory) return std::unexpected{memory.error()};
        if (const auto done = write(other_operand()); !done) return done;
        set_register(*memory, access_.size);
        return {};
    }

    /// RDI or RCX, of which `address_bytes` count. Says whether these have gone beyond their end.
    bool move(std::uint64_t& whole, std::uint64_t distance) const {
        const std::uint64_t before = low_bytes(whole, access_.address_bytes);
        write_register(whole, whole + distance, access_.address_bytes, 0);
        const bool goes_up = (registers_.rflags & rflags::direction) == 0;
        return goes_up == (low_bytes(whole, access_.address_bytes) < before);
    }
    std::uint64_t left() const { return low_bytes(registers_.rcx, access_.address_bytes); }

    Vcpu& vcpu_;
    Registers& registers_;
    const MemoryAccess& access_;
    Gpa device_;
};

std::unexpected<ExitFailure> refused(Error error) {
    return std::unexpected{
        ExitFailure{"a device does not have the register that is accessed", error}};
}

}  // namespace

Handled handle_mmio(Vcpu& vcpu, const Exit& exit, const exit::NestedPageFault& fault) {
    if (!vcpu.backend().can_inject())
        return std::unexpected{
            ExitFailure{"an event of the guest's reaches into a device's registers", Error::Busy}};
    const SystemRegisters system = vcpu.backend().system_registers();
    std::uint64_t at = system.cs_base + vcpu.registers().rip;
    if (system.code_size != CodeSize::Bits64) at = low_bytes(at, 4);
    std::array<std::byte, longest_instruction> bytes;
    const std::size_t count = read_guest(vcpu, Gva{at}, bytes);
    const auto access = decode_access(
        std::span{bytes}.first(count),
        {.code = system.code_size, .registers = vcpu.registers(), .segments = system.segments});
    if (!access)
        return std::unexpected{
            ExitFailure{"an instruction that this hypervisor does not know accesses a device",
                        access.error().error, access.error()}};
    if (access->memory.address.page_offset() != fault.address.page_offset())
        return std::unexpected{ExitFailure{
            "an operand begins on the page before a device's registers", Error::OutOfRange}};

    Execution execution{vcpu, *access, fault.address};
    Exit completed = exit;
    completed.instruction_length = access->length;
    if (access->is_string) {
        const auto goes_on = execution.run_string();
        if (!goes_on) return refused(goes_on.error());
        if (*goes_on) completed.instruction_length = 0;
    } else if (const auto done = execution.run(); !done) {
        return refused(done.error());
    }
    vcpu.backend().skip_instruction(completed);
    return {};
}

}  // namespace vmm
