// SPDX-License-Identifier: MIT
#include <cstring>

#include "vmm/exits/instruction.hh"

namespace vmm {
namespace {

constexpr unsigned no_register = 16;
constexpr unsigned rsp = 4, rbp = 5;

/// Takes the operand's bytes one after the other.
class Bytes {
   public:
    Bytes(std::span<const std::byte> instruction, std::size_t at) : all_{instruction}, at_{at} {}

    std::uint8_t byte() { return static_cast<std::uint8_t>(number<std::uint8_t>()); }
    /// A signed displacement of so many bytes.
    std::uint64_t displacement(unsigned bytes) {
        switch (bytes) {
            case 1: return static_cast<std::uint64_t>(std::int64_t{number<std::int8_t>()});
            case 2: return static_cast<std::uint64_t>(std::int64_t{number<std::int16_t>()});
            case 4: return static_cast<std::uint64_t>(std::int64_t{number<std::int32_t>()});
            default: return 0;
        }
    }
    std::size_t at() const { return at_; }
    /// The bytes ended before what was asked for.
    bool ended() const { return ended_; }

   private:
    template <class Number>
    Number number() {
        Number value{};
        if (ended_ || at_ + sizeof(Number) > all_.size()) {
            ended_ = true;
            return value;
        }
        std::memcpy(&value, all_.data() + at_, sizeof(Number));
        at_ += sizeof(Number);
        return value;
    }

    std::span<const std::byte> all_;
    std::size_t at_;
    bool ended_ = false;
};

/// What the offset is the sum of.
struct Terms {
    unsigned base = no_register;
    unsigned index = no_register;
    unsigned scale = 0;  // shifts the index
    std::uint64_t displacement = 0;
    bool from_next_instruction = false;
};

struct ModRm {
    unsigned mod, rm;
};

unsigned address_bits(CodeSize code, bool other) {
    switch (code) {
        case CodeSize::Bits16: return other ? 32 : 16;
        case CodeSize::Bits32: return other ? 16 : 32;
        case CodeSize::Bits64: break;
    }
    return other ? 32 : 64;
}

Terms read_16(ModRm modrm, Bytes& bytes) {
    constexpr unsigned bx = 3, bp = 5, si = 6, di = 7;
    constexpr std::array<std::array<unsigned, 2>, 8> pairs{{
        {bx, si},
        {bx, di},
        {bp, si},
        {bp, di},
        {no_register, si},
        {no_register, di},
        {bp, no_register},
        {bx, no_register},
    }};
    Terms terms{.base = pairs[modrm.rm][0], .index = pairs[modrm.rm][1]};
    const bool alone = modrm.mod == 0 && modrm.rm == 6;
    if (alone) terms.base = no_register;
    terms.displacement = bytes.displacement(alone ? 2 : modrm.mod);
    return terms;
}

Terms read_32_or_64(ModRm modrm, const Prefixes& prefixes, bool is_64_bit_code, Bytes& bytes) {
    const unsigned base_extension = (prefixes.rex & rex::b) != 0 ? 8 : 0;
    Terms terms{.base = modrm.rm | base_extension};
    bool has_long_displacement = modrm.mod == 2;
    if (modrm.rm == rsp) {
        const std::uint8_t sib = bytes.byte();
        const unsigned index = (sib >> 3 & 7) | ((prefixes.rex & rex::x) != 0 ? 8U : 0U);
        terms.base = (sib & 7) | base_extension;
        if (index != rsp) terms.index = index;
        terms.scale = sib >> 6;
        if ((sib & 7) == rbp && modrm.mod == 0) {
            terms.base = no_register;
            has_long_displacement = true;
        }
    } else if (modrm.rm == rbp && modrm.mod == 0) {
        terms.base = no_register;
        has_long_displacement = true;
        terms.from_next_instruction = is_64_bit_code;
    }
    terms.displacement = bytes.displacement(has_long_displacement ? 4 : modrm.mod);
    return terms;
}

std::uint64_t value_of(const Registers& registers, unsigned number) {
    return number == no_register ? 0 : registers.*general_registers[number];
}

}  // namespace

std::expected<MemoryOperand, Error> effective_address(std::span<const std::byte> instruction,
                                                      const Prefixes& prefixes,
                                                      std::size_t modrm_at,
                                                      std::size_t immediate_bytes,
                                                      const AddressState& state) {
    Bytes bytes{instruction, modrm_at};
    const std::uint8_t byte = bytes.byte();
    const ModRm modrm{.mod = static_cast<unsigned>(byte >> 6), .rm = byte & 7U};
    if (bytes.ended()) return std::unexpected{Error::Truncated};
    if (modrm.mod == 3) return std::unexpected{Error::InvalidArgument};

    const bool is_64_bit_code = state.code == CodeSize::Bits64;
    const unsigned bits = address_bits(state.code, prefixes.address_size);
    const Terms terms =
        bits == 16 ? read_16(modrm, bytes) : read_32_or_64(modrm, prefixes, is_64_bit_code, bytes);
    if (bytes.ended()) return std::unexpected{Error::Truncated};

    std::uint64_t offset = value_of(state.registers, terms.base) +
                           (value_of(state.registers, terms.index) << terms.scale) +
                           terms.displacement;
    if (terms.from_next_instruction) offset += state.registers.rip + bytes.at() + immediate_bytes;
    if (bits < 64) offset &= (1ULL << bits) - 1;

    const bool is_on_stack = terms.base == rsp || terms.base == rbp;
    const SegmentName segment = is_on_stack ? SegmentName::Ss : SegmentName::Ds;
    const bool has_base = !is_64_bit_code || segment >= SegmentName::Fs;
    std::uint64_t address =
        offset + (has_base ? state.segments[static_cast<std::size_t>(segment)].base : 0);
    if (!is_64_bit_code) address &= 0xffff'ffff;
    return MemoryOperand{.offset = offset,
                         .segment = segment,
                         .address = Gva{address},
                         .length = static_cast<std::uint8_t>(bytes.at() - modrm_at)};
}

}  // namespace vmm
