// SPDX-License-Identifier: MIT
#include "vmm/soft/instruction.hh"

#include <algorithm>

namespace vmm::soft {
namespace {

using Kind = SensitiveInstruction::Kind;
using Decoded = std::expected<void, Error>;

constexpr unsigned two_bytes = 0x100;  // opcodes behind the escape 0f

/// Reads an instruction from its first opcode byte on, into `made`: in its place, since it is some 30
/// bytes to copy.
class Decoder {
   public:
    Decoder(std::span<const std::byte> bytes, const SoftCpu& cpu, SensitiveInstruction& made)
        : bytes_{bytes},
          cpu_{cpu},
          made_{made},
          prefixes_{read_prefixes(bytes, CodeSize::Bits32)},
          at_{prefixes_.count} {}

    Decoded decode() {
        std::uint32_t opcode = 0;
        if (!next(1, opcode)) return truncated;
        if (opcode == 0x0f) {
            if (!next(1, opcode)) return truncated;
            opcode += two_bytes;
        }
        const Decoded decoded = by_opcode(opcode);
        made_.length = static_cast<std::uint8_t>(at_);
        return decoded;
    }

   private:
    static constexpr std::unexpected<Error> unsupported{Error::Unsupported};
    static constexpr std::unexpected<Error> truncated{Error::Truncated};

    /// The next `count` bytes as a number; says whether there are so many.
    bool next(std::size_t count, std::uint32_t& value) {
        if (at_ + count > bytes_.size()) return false;
        value = 0;
        for (std::size_t i = 0; i < count; ++i)
            value |= std::to_integer<std::uint32_t>(bytes_[at_ + i]) << 8 * i;
        at_ += count;
        return true;
    }

    Decoded plain(Kind kind) {
        // PUSHF, POPF and IRET of 16 bits would be others.
        if (prefixes_.operand_size &&
            (kind == Kind::Pushf || kind == Kind::Popf || kind == Kind::Iret))
            return unsupported;
        made_.kind = kind;
        return {};
    }

    Decoded with_port(Kind kind, bool of_one_byte, bool has_number) {
        made_.kind = kind;
        made_.size = of_one_byte ? 1 : prefixes_.operand_size ? 2 : 4;
        if (!has_number) return {};
        std::uint32_t port = 0;
        if (!next(1, port)) return truncated;
        made_.port = static_cast<std::uint8_t>(port);
        return {};
    }

    Decoded interrupt(std::uint32_t vector) {
        made_.kind = Kind::SoftwareInterrupt;
        made_.number = static_cast<std::uint8_t>(vector);
        return {};
    }

    /// ModRM with a register in `rm`; `number` is the field reg.
    Decoded with_register(Kind kind) {
        std::uint32_t modrm = 0;
        if (!next(1, modrm)) return truncated;
        if (modrm >> 6 != 3) return unsupported;
        made_.kind = kind;
        made_.reg = static_cast<std::uint8_t>(modrm & 7);
        made_.number = static_cast<std::uint8_t>(modrm >> 3 & 7);
        return {};
    }

    Decoded segment(Kind kind) {
        if (const Decoded done = with_register(kind); !done) return done;
        const bool loads_cs = kind == Kind::MovToSegment &&
                              made_.number == static_cast<std::uint8_t>(SegmentName::Cs);
        if (made_.number > static_cast<std::uint8_t>(SegmentName::Gs) || loads_cs)
            return unsupported;
        return {};
    }

    Decoded task_register() {
        if (const Decoded done = with_register(Kind::Ltr); !done) return done;
        if (made_.number != 3) return unsupported;
        return {};
    }

    Decoded group_7() {
        std::uint32_t modrm = 0;
        if (!next(1, modrm)) return truncated;
        if (modrm >> 6 == 3) return unsupported;
        switch (modrm >> 3 & 7) {
            case 2: made_.kind = Kind::Lgdt; break;
            case 3: made_.kind = Kind::Lidt; break;
            case 7: made_.kind = Kind::Invlpg; break;
            default: return unsupported;
        }
        --at_;
        const AddressState state{
            .code = CodeSize::Bits32, .registers = cpu_.registers, .segments = flat_segments};
        const auto operand = effective_address(bytes_, prefixes_, at_, 0, state);
        if (!operand) return std::unexpected{operand.error()};
        at_ += operand->length;
        made_.address = static_cast<std::uint32_t>(operand->address.value());
        return {};
    }

    Decoded far_jump() {
        if (prefixes_.operand_size) return unsupported;
        std::uint32_t offset = 0, selector = 0;
        if (!next(4, offset) || !next(2, selector)) return truncated;
        made_.kind = Kind::FarJump;
        made_.offset = offset;
        made_.selector = static_cast<std::uint16_t>(selector);
        return {};
    }

    Decoded by_opcode(unsigned opcode) {
        switch (opcode) {
            case 0x8c: return segment(Kind::MovFromSegment);
            case 0x8e: return segment(Kind::MovToSegment);
            case 0x9c: return plain(Kind::Pushf);
            case 0x9d: return plain(Kind::Popf);
            case 0xcc: return interrupt(3);
            case 0xcd: {
                std::uint32_t vector = 0;
                if (!next(1, vector)) return truncated;
                return interrupt(vector);
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
            case two_bytes + 0x00: return task_register();
            case two_bytes + 0x01: return group_7();
            case two_bytes + 0x20: return with_register(Kind::MovFromControl);
            case two_bytes + 0x22: return with_register(Kind::MovToControl);
            default: return unsupported;
        }
    }

    std::span<const std::byte> bytes_;
    const SoftCpu& cpu_;
    SensitiveInstruction& made_;
    Prefixes prefixes_;
    std::size_t at_;
};

}  // namespace

[[gnu::hot]] std::expected<SensitiveInstruction, Error> decode_sensitive(
    std::span<const std::byte> bytes, const SoftCpu& cpu) {
    std::expected<SensitiveInstruction, Error> made{std::in_place};
    bytes = bytes.first(std::min(bytes.size(), longest_instruction));
    if (const Decoded done = Decoder{bytes, cpu, *made}.decode(); !done)
        made = std::unexpected{done.error()};
    return made;
}

}  // namespace vmm::soft
