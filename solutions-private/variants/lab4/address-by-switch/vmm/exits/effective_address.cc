// SPDX-License-Identifier: MIT
#include "vmm/exits/instruction.hh"

namespace vmm {
namespace {

std::uint64_t signed_number(std::span<const std::byte> bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    if (bytes.empty() || bytes.size() == 8) return value;
    const std::uint64_t sign = 1ULL << (8 * bytes.size() - 1);
    return (value ^ sign) - sign;
}

}  // namespace

std::expected<MemoryOperand, Error> effective_address(std::span<const std::byte> instruction,
                                                      const Prefixes& prefixes,
                                                      std::size_t modrm_at,
                                                      std::size_t immediate_bytes,
                                                      const AddressState& state) {
    if (modrm_at >= instruction.size()) return std::unexpected(Error::Truncated);
    const std::span<const std::byte> bytes = instruction.subspan(modrm_at);
    const Registers& r = state.registers;
    const auto modrm = std::to_integer<unsigned>(bytes[0]);
    const unsigned mod = modrm / 64;
    const unsigned rm = modrm % 8;
    if (mod == 3) return std::unexpected(Error::InvalidArgument);

    const bool in_64 = state.code == CodeSize::Bits64;
    const bool wide = in_64 || (state.code == CodeSize::Bits32) != prefixes.address_size;
    std::uint64_t sum = 0;
    bool on_stack = false;
    bool relative = false;
    std::size_t used = 1;
    std::size_t displacement = mod == 2 ? 4 : mod;
    if (!wide) {
        if (mod == 2) displacement = 2;
        switch (rm) {
            case 0: sum = r.rbx + r.rsi; break;
            case 1: sum = r.rbx + r.rdi; break;
            case 2:
                sum = r.rbp + r.rsi;
                on_stack = true;
                break;
            case 3:
                sum = r.rbp + r.rdi;
                on_stack = true;
                break;
            case 4: sum = r.rsi; break;
            case 5: sum = r.rdi; break;
            case 6:
                if (mod == 0) {
                    displacement = 2;
                } else {
                    sum = r.rbp;
                    on_stack = true;
                }
                break;
            default: sum = r.rbx; break;
        }
    } else {
        unsigned base = rm;
        bool has_base = true;
        if (rm == 4) {
            if (bytes.size() < 2) return std::unexpected(Error::Truncated);
            const auto sib = std::to_integer<unsigned>(bytes[1]);
            used = 2;
            base = sib % 8;
            const unsigned index = sib / 8 % 8 + (prefixes.rex & rex::x ? 8 : 0);
            if (index != 4) sum += r.*general_registers[index] << sib / 64;
        }
        if (base == 5 && mod == 0) {
            has_base = false;
            displacement = 4;
            relative = in_64 && rm == 5;
        }
        if (has_base) {
            if (prefixes.rex & rex::b)
                base += 8;
            else
                on_stack = base == 4 || base == 5;
            sum += r.*general_registers[base];
        }
    }
    if (bytes.size() < used + displacement) return std::unexpected(Error::Truncated);
    sum += signed_number(bytes.subspan(used, displacement));
    used += displacement;
    if (relative) sum += r.rip + modrm_at + used + immediate_bytes;
    if (!wide)
        sum %= 1U << 16;
    else if (!in_64 || prefixes.address_size)
        sum = static_cast<std::uint32_t>(sum);

    MemoryOperand operand{.offset = sum,
                          .segment = on_stack ? SegmentName::Ss : SegmentName::Ds,
                          .length = static_cast<std::uint8_t>(used)};
    if (prefixes.segment) operand.segment = *prefixes.segment;
    const std::uint64_t base = state.segments[static_cast<unsigned>(operand.segment)].base;
    if (!in_64)
        operand.address = Gva{(base + sum) % (1ULL << 32)};
    else if (operand.segment == SegmentName::Fs || operand.segment == SegmentName::Gs)
        operand.address = Gva{base + sum};
    else
        operand.address = Gva{sum};
    return operand;
}

}  // namespace vmm
