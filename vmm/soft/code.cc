// SPDX-License-Identifier: MIT
#include "vmm/soft/code.hh"

#include <algorithm>

#include "vmm/soft/instruction.hh"

namespace vmm::soft {
namespace {

// What follows an opcode: a row for sixteen of them.
//   .  nothing           m  ModRM              r  ModRM whose operands are registers, whatever it says
//   b  1 byte            M  ModRM, 1 byte      w  2 bytes          e  3 bytes (ENTER)
//   v  4 bytes, with prefix 66 2               V  ModRM, and v
//   g  ModRM, and 1 byte if reg is 0 or 1      G  ModRM, and v if reg is 0 or 1
//   a  an address        p  a far pointer      ?  no opcode that is known here
constexpr std::string_view one_byte =
    "mmmmbv..mmmmbv.?"
    "mmmmbv..mmmmbv.."
    "mmmmbv?.mmmmbv?."
    "mmmmbv?.mmmmbv?."
    "................"
    "................"
    "..?m????vVbM...."
    "bbbbbbbbbbbbbbbb"
    "MVMMmmmmmmmmmmmm"
    "..........p....."
    "aaaa....bv......"
    "bbbbbbbbvvvvvvvv"
    "MMw.??MVe.w..b.."
    "mmmmbb?.mmmmmmmm"
    "bbbbbbbbvvpb...."
    "????..gG......mm";
constexpr std::string_view behind_0f =
    "mmmm?.....?.?m??"
    "mmmmmmmmmmmmmmmm"
    "rrrr????mmmmmmmm"
    "......?.????????"
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmmm"
    "MMMMmmm.mm??mmmm"
    "vvvvvvvvvvvvvvvv"
    "mmmmmmmmmmmmmmmm"
    "...mMm??...mMmmm"
    "mmmmmmmmm?Mmmmmm"
    "mmMmMMMm........"
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmm?";
static_assert(one_byte.size() == 256 && behind_0f.size() == 256);

constexpr std::uint16_t escape = 0x0f, two_bytes = 0x100;
constexpr std::string_view with_modrm = "mrMVgG";

/// How many bytes of it stand at the end.
std::uint8_t immediate_of(char form, const CodeInstruction& instruction) {
    const std::uint8_t operand = instruction.prefixes.operand_size ? 2 : 4;
    const bool is_test = instruction.reg() < 2;
    switch (form) {
        case 'b':
        case 'M': return 1;
        case 'w': return 2;
        case 'e': return 3;
        case 'v':
        case 'V': return operand;
        case 'p': return static_cast<std::uint8_t>(operand + 2);
        case 'a': return instruction.prefixes.address_size ? 2 : 4;
        case 'g': return is_test ? 1 : 0;
        case 'G': return is_test ? operand : 0;
        default: return 0;
    }
}

/// Behind 0f 00 and 0f 01.
std::string_view silent_group(const CodeInstruction& instruction) {
    const bool is_memory = instruction.mod() != 3;
    if (instruction.opcode == two_bytes) {
        switch (instruction.reg()) {
            case 0: return "SLDT";
            case 1: return "STR";
            case 4: return "VERR";
            case 5: return "VERW";
            default: return {};
        }
    }
    if (instruction.reg() == 4) return "SMSW";
    if (is_memory && instruction.reg() == 0) return "SGDT";
    if (is_memory && instruction.reg() == 1) return "SIDT";
    return {};
}

bool is_noted(std::span<const SiteNote> sites, std::uint32_t address) {
    return std::ranges::any_of(sites,
                               [&](const SiteNote& site) { return site.address == address; });
}

}  // namespace

std::expected<CodeInstruction, Error> decode_code(std::span<const std::byte> bytes) {
    bytes = bytes.first(std::min(bytes.size(), longest_instruction));
    CodeInstruction made{.prefixes = read_prefixes(bytes, CodeSize::Bits32)};
    std::size_t at = made.prefixes.count;
    if (at == bytes.size()) return std::unexpected{Error::Truncated};
    made.opcode = std::to_integer<std::uint16_t>(bytes[at++]);
    char form = one_byte[made.opcode];
    if (made.opcode == escape) {
        if (at == bytes.size()) return std::unexpected{Error::Truncated};
        form = behind_0f[std::to_integer<std::size_t>(bytes[at])];
        made.opcode =
            static_cast<std::uint16_t>(two_bytes + std::to_integer<unsigned>(bytes[at++]));
    }
    if (form == '?') return std::unexpected{Error::Unsupported};
    if (with_modrm.contains(form)) {
        if (at == bytes.size()) return std::unexpected{Error::Truncated};
        made.modrm = std::to_integer<std::uint8_t>(bytes[at]);
        std::size_t operand = 1;
        if (form != 'r' && made.mod() != 3) {
            const Registers none{};
            const auto found = effective_address(
                bytes, made.prefixes, at, 0,
                {.code = CodeSize::Bits32, .registers = none, .segments = flat_segments});
            if (!found) return std::unexpected{found.error()};
            operand = found->length;
        }
        at += operand;
    }
    made.immediate = immediate_of(form, made);
    at += made.immediate;
    if (at > bytes.size()) return std::unexpected{Error::Truncated};
    made.length = static_cast<std::uint8_t>(at);
    return made;
}

std::string_view silent_name(const CodeInstruction& instruction) {
    switch (instruction.opcode) {
        case 0x06:
        case 0x0e:
        case 0x16:
        case 0x1e:
        case two_bytes + 0xa0:
        case two_bytes + 0xa8: return "PUSH of a segment register";
        case 0x8c: return "MOV from a segment register";
        case 0x9a: return "far CALL";
        case 0xff: return instruction.reg() == 3 ? "far CALL" : std::string_view{};
        case 0x9c: return "PUSHF";
        case 0x9d: return "POPF";
        case two_bytes + 0x00:
        case two_bytes + 0x01: return silent_group(instruction);
        case two_bytes + 0x02: return "LAR";
        case two_bytes + 0x03: return "LSL";
        case two_bytes + 0xa2: return "CPUID";
        default: return {};
    }
}

std::expected<void, CodeFault> check_code(std::span<const std::byte> code, std::uint32_t address,
                                          std::span<const SiteNote> sites) {
    while (!code.empty()) {
        const auto instruction = decode_code(code);
        if (!instruction) return std::unexpected{CodeFault{.address = address}};
        const std::string_view name = silent_name(*instruction);
        if (!name.empty() && !is_noted(sites, address))
            return std::unexpected{CodeFault{.address = address, .instruction = name}};
        code = code.subspan(instruction->length);
        address += instruction->length;
    }
    return {};
}

}  // namespace vmm::soft
