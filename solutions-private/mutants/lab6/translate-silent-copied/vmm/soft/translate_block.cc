// SPDX-License-Identifier: MIT
#include "vmm/soft/translate_block.hh"

namespace vmm::soft {
namespace {

using Kind = TranslationStop::Kind;

/// What becomes of an instruction.
enum class Way : std::uint8_t { Copy, Jump, Branch, Call, Interpret };

constexpr std::uint16_t two_bytes = 0x100;

bool is_between(std::uint16_t opcode, std::uint16_t first, std::uint16_t last) {
    return opcode >= first && opcode <= last;
}

/// By the opcode alone.
Way way_of(const CodeInstruction& instruction) {
    const std::uint16_t opcode = instruction.opcode;
    if (opcode == 0xe9 || opcode == 0xeb) return Way::Jump;
    if (opcode == 0xe8) return Way::Call;
    if (is_between(opcode, 0x70, 0x7f) || is_between(opcode, 0xe0, 0xe3) ||
        is_between(opcode, two_bytes + 0x80, two_bytes + 0x8f))
        return Way::Branch;
    const bool returns =
        is_between(opcode, 0xc2, 0xc3) || is_between(opcode, 0xca, 0xcb) || opcode == 0xcf;
    const bool is_far = opcode == 0x9a || opcode == 0xea;
    const bool is_indirect = opcode == 0xff && is_between(instruction.reg(), 2, 5);
    return returns || is_far || is_indirect ? Way::Interpret : Way::Copy;
}

Way way_of(const CodeInstruction& instruction, std::span<const std::byte> bytes) {
    if (decode_sensitive(bytes, SoftCpu{})) return Way::Interpret;
    const Way way = way_of(instruction);
    const bool is_direct = way == Way::Jump || way == Way::Branch || way == Way::Call;
    return is_direct && instruction.prefixes.operand_size ? Way::Interpret : way;
}

/// The signed displacement at the end of a direct jump.
std::uint32_t displacement_of(const CodeInstruction& jump, std::span<const std::byte> bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < jump.immediate; ++i)
        value |= std::to_integer<std::uint32_t>(bytes[jump.length - jump.immediate + i]) << 8 * i;
    if (jump.immediate == 1) value = (value ^ 0x80) - 0x80;  // its sign
    return value;
}

/// Writes what stands behind the copied bytes. There is always room.
class Writer {
   public:
    explicit Writer(Translation& made) : made_{made} {}

    void byte(std::uint8_t value) { (void)made_.code.push(std::byte{value}); }
    void word(std::uint32_t value) {
        for (unsigned i = 0; i < 4; ++i) byte(static_cast<std::uint8_t>(value >> 8 * i));
    }
    void stop(Kind kind, std::uint32_t address) {
        (void)made_.stops.push({.offset = static_cast<std::uint8_t>(made_.code.size()),
                                .kind = kind,
                                .address = address});
        (void)made_.code.push(trap_by_hlt);
    }
    /// A jump over one trap, under the same condition.
    void branch(const CodeInstruction& jump) {
        constexpr std::uint8_t address_size = 0x67, short_jump = 0x70;
        if (jump.prefixes.address_size) byte(address_size);  // JCXZ, or LOOP by CX
        byte(static_cast<std::uint8_t>(jump.opcode < two_bytes ? jump.opcode
                                                               : short_jump | (jump.opcode & 15)));
        byte(1);
    }

   private:
    Translation& made_;
};

}  // namespace

std::expected<Translation, Error> translate_block(std::span<const std::byte> code,
                                                  std::uint32_t address) {
    Translation made{.address = address};
    Writer writer{made};
    for (;;) {
        const std::uint32_t here = address + made.copied;
        const auto instruction = decode_code(code);
        if (!instruction && made.copied == 0) return std::unexpected{instruction.error()};
        const Way way = instruction ? way_of(*instruction, code) : Way::Copy;
        const bool is_full =
            !instruction ||
            (way == Way::Copy && made.copied + instruction->length > Translation::most_copied);
        if (is_full) {
            made.length = made.copied;
            writer.stop(Kind::Continue, here);
            return made;
        }
        if (way == Way::Copy) {
            for (const std::byte each : code.first(instruction->length)) (void)made.code.push(each);
            made.copied = static_cast<std::uint8_t>(made.copied + instruction->length);
            code = code.subspan(instruction->length);
            continue;
        }
        made.length = static_cast<std::uint8_t>(made.copied + instruction->length);
        const std::uint32_t behind = here + instruction->length;
        if (way == Way::Interpret) {
            writer.stop(Kind::Interpret, here);
            return made;
        }
        if (way == Way::Call) {
            constexpr std::uint8_t push = 0x68;
            writer.byte(push);
            writer.word(behind);
        }
        if (way == Way::Branch) {
            writer.branch(*instruction);
            writer.stop(Kind::Continue, behind);
        }
        writer.stop(Kind::Continue, behind + displacement_of(*instruction, code));
        return made;
    }
}

}  // namespace vmm::soft
