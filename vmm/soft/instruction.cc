// SPDX-License-Identifier: MIT
#include "vmm/soft/instruction.hh"

#include <algorithm>

namespace vmm::soft {
namespace {

using Kind = SensitiveInstruction::Kind;

constexpr unsigned two_bytes = 0x100;  // opcodes behind the escape 0f

/// Reads an instruction from its first opcode byte on.
class Decoder {
   public:
    Decoder(std::span<const std::byte> bytes, const SoftCpu& cpu)
        : bytes_{bytes},
          cpu_{cpu},
          prefixes_{read_prefixes(bytes, CodeSize::Bits32)},
          at_{prefixes_.count} {}

    std::expected<SensitiveInstruction, Error> decode() {
        const auto first = next(1);
        if (!first) return std::unexpected{first.error()};
        unsigned opcode = *first;
        if (opcode == 0x0f) {
            const auto second = next(1);
            if (!second) return std::unexpected{second.error()};
            opcode = two_bytes + *second;
        }
        auto made = by_opcode(opcode);
        if (made) made->length = static_cast<std::uint8_t>(at_);
        return made;
    }

   private:
    using Decoded = std::expected<SensitiveInstruction, Error>;
    static constexpr std::unexpected<Error> unsupported{Error::Unsupported};

    std::expected<std::uint32_t, Error> next(std::size_t count) {
        if (at_ + count > bytes_.size()) return std::unexpected{Error::Truncated};
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < count; ++i)
            value |= std::to_integer<std::uint32_t>(bytes_[at_ + i]) << 8 * i;
        at_ += count;
        return value;
    }

    Decoded plain(Kind kind) const {
        // PUSHF, POPF and IRET of 16 bits would be others.
        if (prefixes_.operand_size &&
            (kind == Kind::Pushf || kind == Kind::Popf || kind == Kind::Iret))
            return unsupported;
        return SensitiveInstruction{.kind = kind};
    }

    Decoded with_port(Kind kind, bool of_one_byte, bool has_number) {
        SensitiveInstruction made{.kind = kind};
        made.size = of_one_byte ? 1 : prefixes_.operand_size ? 2 : 4;
        if (!has_number) return made;
        const auto port = next(1);
        if (!port) return std::unexpected{port.error()};
        made.port = static_cast<std::uint8_t>(*port);
        return made;
    }

    Decoded interrupt(std::uint32_t vector) const {
        return SensitiveInstruction{.kind = Kind::SoftwareInterrupt,
                                    .number = static_cast<std::uint8_t>(vector)};
    }

    /// ModRM with a register in `rm`; `number` is the field reg.
    Decoded with_register(Kind kind) {
        const auto modrm = next(1);
        if (!modrm) return std::unexpected{modrm.error()};
        if (*modrm >> 6 != 3) return unsupported;
        return SensitiveInstruction{.kind = kind,
                                    .reg = static_cast<std::uint8_t>(*modrm & 7),
                                    .number = static_cast<std::uint8_t>(*modrm >> 3 & 7)};
    }

    Decoded segment(Kind kind) {
        auto made = with_register(kind);
        if (!made) return made;
        const bool loads_cs = kind == Kind::MovToSegment &&
                              made->number == static_cast<std::uint8_t>(SegmentName::Cs);
        if (made->number > static_cast<std::uint8_t>(SegmentName::Gs) || loads_cs)
            return unsupported;
        return made;
    }

    Decoded group_7() {
        const auto modrm = next(1);
        if (!modrm) return std::unexpected{modrm.error()};
        const unsigned extension = *modrm >> 3 & 7;
        if (*modrm >> 6 == 3) return unsupported;
        Kind kind{};
        switch (extension) {
            case 2: kind = Kind::Lgdt; break;
            case 3: kind = Kind::Lidt; break;
            case 7: kind = Kind::Invlpg; break;
            default: return unsupported;
        }
        --at_;
        const AddressState state{
            .code = CodeSize::Bits32, .registers = cpu_.registers, .segments = flat_segments};
        const auto operand = effective_address(bytes_, prefixes_, at_, 0, state);
        if (!operand) return std::unexpected{operand.error()};
        at_ += operand->length;
        return SensitiveInstruction{
            .kind = kind, .address = static_cast<std::uint32_t>(operand->address.value())};
    }

    Decoded far_jump() {
        if (prefixes_.operand_size) return unsupported;
        const auto offset = next(4);
        if (!offset) return std::unexpected{offset.error()};
        const auto selector = next(2);
        if (!selector) return std::unexpected{selector.error()};
        return SensitiveInstruction{.kind = Kind::FarJump,
                                    .selector = static_cast<std::uint16_t>(*selector),
                                    .offset = *offset};
    }

    Decoded by_opcode(unsigned opcode) {
        switch (opcode) {
            case 0x8c: return segment(Kind::MovFromSegment);
            case 0x8e: return segment(Kind::MovToSegment);
            case 0x9c: return plain(Kind::Pushf);
            case 0x9d: return plain(Kind::Popf);
            case 0xcc: return interrupt(3);
            case 0xcd: {
                const auto vector = next(1);
                if (!vector) return std::unexpected{vector.error()};
                return interrupt(*vector);
            }
            case 0xce: return interrupt(4);
            case 0xcf: return plain(Kind::Iret);
            case 0xe4:
            case 0xe5: return with_port(Kind::In, opcode == 0xe4, true);
            case 0xe6:
            case 0xe7: return with_port(Kind::Out, opcode == 0xe6, true);
            case 0xea: return far_jump();
            case 0xec:
            case 0xed: return with_port(Kind::In, opcode == 0xec, false);
            case 0xee:
            case 0xef: return with_port(Kind::Out, opcode == 0xee, false);
            case 0xf4: return plain(Kind::Hlt);
            case 0xfa: return plain(Kind::Cli);
            case 0xfb: return plain(Kind::Sti);
            case two_bytes + 0x00: {
                auto made = with_register(Kind::Ltr);
                if (made && made->number != 3) return unsupported;
                return made;
            }
            case two_bytes + 0x01: return group_7();
            case two_bytes + 0x20: return with_register(Kind::MovFromControl);
            case two_bytes + 0x22: return with_register(Kind::MovToControl);
            default: return unsupported;
        }
    }

    std::span<const std::byte> bytes_;
    const SoftCpu& cpu_;
    Prefixes prefixes_;
    std::size_t at_;
};

}  // namespace

std::expected<SensitiveInstruction, Error> decode_sensitive(std::span<const std::byte> bytes,
                                                            const SoftCpu& cpu) {
    return Decoder{bytes.first(std::min(bytes.size(), longest_instruction)), cpu}.decode();
}

}  // namespace vmm::soft
