// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "labs/unit_fixture.hh"
#include "vmm/exits/instruction.hh"

/// Instructions made from operands that are known, by an encoder that goes the other way round than
/// the functions under test.
namespace lab {

using vmm::CodeSize;
using vmm::Registers;
using vmm::SegmentName;

/// Where an instruction runs: registers of random bits, and segments with bases.
struct Ground {
    CodeSize code = CodeSize::Bits64;
    Registers registers{};
    std::array<vmm::SegmentRegister, 6> segments{};

    static Ground any(CodeSize code) {
        Ground ground{.code = code};
        for (const auto each : vmm::general_registers) ground.registers.*each = random().next();
        // Outside 64-bit code the upper halves mean nothing, and are there all the same.
        ground.registers.rip = random().next() & (code == CodeSize::Bits64 ? ~0ULL : 0xffff'ffff);
        for (auto& segment : ground.segments)
            segment = {.base = random().next() & (code == CodeSize::Bits64 ? ~0ULL : 0xffff'ffff),
                       .limit = 0xffff'ffff};
        return ground;
    }
    vmm::AddressState state() const {
        return {.code = code, .registers = registers, .segments = segments};
    }
};

inline std::string in_words(CodeSize code) {
    return code == CodeSize::Bits64   ? "64-bit code"
           : code == CodeSize::Bits32 ? "32-bit code"
                                      : "16-bit code";
}
inline std::string in_words(SegmentName segment) {
    static constexpr const char* names[] = {"ES", "CS", "SS", "DS", "FS", "GS"};
    return names[static_cast<std::size_t>(segment)];
}
inline std::string in_words(std::span<const std::byte> bytes) {
    std::string words;
    for (const std::byte byte : bytes) {
        const std::string digits = hex(std::to_integer<unsigned>(byte)).substr(2);
        words += (digits.size() == 1 ? "0" : "") + digits + " ";
    }
    return words;
}

inline Bytes as_bytes(std::initializer_list<unsigned> values) {
    Bytes bytes;
    for (const unsigned value : values) bytes.push_back(std::byte(value));
    return bytes;
}

/// What a memory operand is to be, before anybody encodes it.
struct Operand {
    std::optional<unsigned> base{}, index{};
    unsigned scale = 0;  ///< a shift
    std::int64_t displacement = 0;
    unsigned displacement_bytes = 0;
    bool rip_relative = false;
    bool by_sib = false;  ///< with SIB also where ModRM alone would do
};

inline std::string in_words(const Operand& operand) {
    std::string words = operand.rip_relative ? "RIP-relative" : "";
    if (operand.base) words += "base " + std::to_string(*operand.base) + ", ";
    if (operand.index)
        words += "index " + std::to_string(*operand.index) + " times " +
                 std::to_string(1 << operand.scale) + ", ";
    return words + " displacement " + std::to_string(operand.displacement) + " of " +
           std::to_string(operand.displacement_bytes) + " bytes";
}

/// An operand, encoded: ModRM, SIB, displacement, and what REX it wants.
struct Encoded {
    Bytes bytes;
    unsigned rex = 0;  ///< B and X
};

inline void add_number(Bytes& bytes, std::uint64_t value, unsigned count) {
    for (unsigned i = 0; i < count; ++i) bytes.push_back(std::byte(value >> (8 * i)));
}

/// The encoding of 32- and 64-bit addresses; `reg` is the field of that name. It has a SIB
/// where it must, or shall.
inline Encoded encode(const Operand& operand, unsigned reg, bool is_64_bit_code) {
    Encoded out;
    const unsigned mod = !operand.base                     ? 0
                         : operand.displacement_bytes == 0 ? 0
                         : operand.displacement_bytes == 1 ? 1
                                                           : 2;
    const auto add = [&](unsigned value) { out.bytes.push_back(std::byte(value)); };
    const bool may_go_without_sib =
        !operand.index &&
        (operand.base ? (*operand.base & 7) != 4 : operand.rip_relative || !is_64_bit_code);
    if (operand.rip_relative || (may_go_without_sib && !operand.by_sib)) {
        add(mod << 6 | reg << 3 | (operand.base ? *operand.base & 7 : 5));
    } else {
        add(mod << 6 | reg << 3 | 4);
        // No index is number 4; the scale then means nothing.
        const unsigned scale =
            operand.index ? operand.scale : static_cast<unsigned>(random().next() % 4);
        add(scale << 6 | (operand.index ? *operand.index & 7 : 4) << 3 |
            (operand.base ? *operand.base & 7 : 5));
        if (operand.index && *operand.index > 7) out.rex |= vmm::rex::x;
    }
    if (operand.base && *operand.base > 7) out.rex |= vmm::rex::b;
    // Where no register is the base, REX.B says nothing.
    if (!operand.base && is_64_bit_code && operand.by_sib) out.rex |= vmm::rex::b;
    add_number(out.bytes, static_cast<std::uint64_t>(operand.displacement),
               operand.displacement_bytes);
    return out;
}

/// The encoding of 16-bit addresses. The base is BX (3) or BP (5), the index SI (6) or DI (7).
inline Encoded encode_16(const Operand& operand, unsigned reg) {
    unsigned rm = 0;
    if (operand.base && operand.index)
        rm = (*operand.base == 5 ? 2 : 0) + (*operand.index == 7 ? 1 : 0);
    else if (operand.index)
        rm = *operand.index == 7 ? 5 : 4;
    else
        rm = operand.base && *operand.base == 3 ? 7 : 6;
    const unsigned mod = !operand.base && !operand.index ? 0 : operand.displacement_bytes;
    Encoded out;
    out.bytes.push_back(std::byte(mod << 6 | reg << 3 | rm));
    add_number(out.bytes, static_cast<std::uint64_t>(operand.displacement),
               operand.displacement_bytes);
    return out;
}

inline std::int64_t any_displacement(unsigned bytes) {
    const std::uint64_t value = random().next();
    switch (bytes) {
        case 1: return static_cast<std::int8_t>(value);
        case 2: return static_cast<std::int16_t>(value);
        case 4: return static_cast<std::int32_t>(value);
        default: return 0;
    }
}

/// Any operand that an address of so many bits can have in this code.
inline Operand any_operand(unsigned address_bits, CodeSize code) {
    const auto one_of = [](unsigned count) {
        return static_cast<unsigned>(random().next() % count);
    };
    Operand operand;
    if (address_bits == 16) {
        static constexpr std::array bases{3U, 5U};
        static constexpr std::array indexes{6U, 7U};
        switch (one_of(4)) {
            case 0: operand.base = bases[one_of(2)]; break;
            case 1: operand.index = indexes[one_of(2)]; break;
            case 2:
                operand.base = bases[one_of(2)];
                operand.index = indexes[one_of(2)];
                break;
            default: break;
        }
        operand.displacement_bytes = one_of(3);
        if (!operand.base && !operand.index) operand.displacement_bytes = 2;
        if (operand.base == 5U && !operand.index && operand.displacement_bytes == 0)
            operand.displacement_bytes = 1;
    } else {
        const unsigned registers = code == CodeSize::Bits64 ? 16 : 8;
        static constexpr std::array sizes{0U, 1U, 4U};
        operand.displacement_bytes = sizes[one_of(3)];
        if (one_of(8) != 0) operand.base = one_of(registers);
        if (one_of(2) != 0) operand.index = one_of(registers);
        if (operand.index == 4U) operand.index.reset();
        if (operand.index) operand.scale = one_of(4);
        if (!operand.base) operand.displacement_bytes = 4;
        if (!operand.base && !operand.index && code == CodeSize::Bits64)
            operand.rip_relative = one_of(2) != 0;
        operand.by_sib = one_of(2) != 0;
        if (operand.base && (*operand.base & 7) == 5 && operand.displacement_bytes == 0)
            operand.displacement_bytes = 1;
    }
    operand.displacement = any_displacement(operand.displacement_bytes);
    return operand;
}

inline std::uint64_t low_bits(std::uint64_t value, unsigned bits) {
    return bits == 64 ? value : value & ((1ULL << bits) - 1);
}
inline unsigned address_bits(CodeSize code, bool other) {
    if (code == CodeSize::Bits64) return other ? 32 : 64;
    return (code == CodeSize::Bits32) != other ? 32 : 16;
}

/// The offset that the operand has there, if the next instruction is at `next`.
inline std::uint64_t offset_of(const Operand& operand, const Ground& ground, unsigned bits,
                               std::uint64_t next) {
    const auto value = [&](unsigned number) {
        return ground.registers.*vmm::general_registers[number];
    };
    std::uint64_t sum = static_cast<std::uint64_t>(operand.displacement);
    if (operand.base) sum += value(*operand.base);
    if (operand.index) sum += value(*operand.index) * (1ULL << operand.scale);
    if (operand.rip_relative) sum += next;
    return low_bits(sum, bits);
}
inline SegmentName segment_of(const Operand& operand, std::optional<SegmentName> named) {
    if (named) return *named;
    return operand.base == 4U || operand.base == 5U ? SegmentName::Ss : SegmentName::Ds;
}
inline std::uint64_t linear(const Ground& ground, SegmentName segment, std::uint64_t offset) {
    const std::uint64_t base = ground.segments[static_cast<std::size_t>(segment)].base;
    if (ground.code == CodeSize::Bits64) return segment >= SegmentName::Fs ? base + offset : offset;
    return (base + offset) & 0xffff'ffff;
}

inline std::byte prefix_of(SegmentName segment) {
    static constexpr std::array bytes{0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    return std::byte(bytes[static_cast<std::size_t>(segment)]);
}

}  // namespace lab
