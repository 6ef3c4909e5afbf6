// SPDX-License-Identifier: MIT
#include "vmm/exits/decode_access.hh"

#include <algorithm>

namespace vmm {
namespace {

using Operation = MemoryAccess::Operation;

constexpr unsigned escape = 0x0f;      // before an opcode of two bytes
constexpr unsigned two_bytes = 0x100;  // what its second byte is counted from here

/// How the operands of an opcode are encoded.
enum class Form : std::uint8_t {
    RegisterToMemory,  // ModRM, memory first
    MemoryToRegister,
    Immediate,   // ModRM, and an immediate as long as the operand
    SignedByte,  // ModRM, and an immediate of one byte
    LoadOffset,  // the accumulator, and an offset
    StoreOffset,
    String,
};

struct Opcode {
    Operation operation;
    Form form;
    bool of_one_byte;              // the access to memory
    std::uint8_t memory_size = 0;  // if it differs from the register's
    bool sign_extend = false;
};

std::optional<Operation> group_1(unsigned extension) {
    switch (extension) {
        case 1: return Operation::Or;
        case 4: return Operation::And;
        case 6: return Operation::Xor;
        case 7: return Operation::Compare;
        default: return std::nullopt;
    }
}

/// What the opcode means; `extension` is the field reg of the byte behind it.
std::optional<Opcode> find(unsigned opcode, unsigned extension, const Prefixes& prefixes,
                           CodeSize code) {
    const bool of_one_byte = opcode % 2 == 0;
    switch (opcode) {
        case 0x88:
        case 0x89: return Opcode{Operation::Store, Form::RegisterToMemory, of_one_byte};
        case 0x8a:
        case 0x8b: return Opcode{Operation::Load, Form::MemoryToRegister, of_one_byte};
        case 0xa0:
        case 0xa1: return Opcode{Operation::Load, Form::LoadOffset, of_one_byte};
        case 0xa2:
        case 0xa3: return Opcode{Operation::Store, Form::StoreOffset, of_one_byte};
        case 0x84:
        case 0x85: return Opcode{Operation::Test, Form::RegisterToMemory, of_one_byte};
        case 0x86:
        case 0x87: return Opcode{Operation::Exchange, Form::RegisterToMemory, of_one_byte};
        case 0xaa:
        case 0xab: return Opcode{Operation::Store, Form::String, of_one_byte};
        case 0xc6:
        case 0xc7: return Opcode{Operation::Store, Form::Immediate, of_one_byte};
        case 0xf6:
        case 0xf7: return Opcode{Operation::Test, Form::Immediate, of_one_byte};
        case 0x80:
        case 0x81:
        case 0x83:
            if (const auto operation = group_1(extension))
                return Opcode{*operation, opcode == 0x83 ? Form::SignedByte : Form::Immediate,
                              of_one_byte};
            return std::nullopt;
        case 0x63:
            if (code != CodeSize::Bits64 || (prefixes.rex & rex::w) == 0) return std::nullopt;
            return Opcode{Operation::Load, Form::MemoryToRegister, false, 4, true};
        case two_bytes + 0xb6:
        case two_bytes + 0xbe:
            return Opcode{Operation::Load, Form::MemoryToRegister, false, 1,
                          opcode == two_bytes + 0xbe};
        case two_bytes + 0xb7:
        case two_bytes + 0xbf:
            return Opcode{Operation::Load, Form::MemoryToRegister, false, 2,
                          opcode == two_bytes + 0xbf};
        default: break;
    }
    // AND, OR, XOR and CMP: eight opcodes each, of which the first four have a ModRM byte.
    if (opcode < 0x40 && opcode % 8 < 4)
        if (const auto operation = group_1(opcode / 8))
            return Opcode{*operation,
                          opcode % 4 < 2 ? Form::RegisterToMemory : Form::MemoryToRegister,
                          of_one_byte};
    return std::nullopt;
}

std::uint8_t operand_size(const Prefixes& prefixes, CodeSize code) {
    if ((prefixes.rex & rex::w) != 0) return 8;
    return prefixes.operand_size == (code == CodeSize::Bits16) ? 4 : 2;
}

std::uint8_t address_bytes(const Prefixes& prefixes, CodeSize code) {
    switch (code) {
        case CodeSize::Bits16: return prefixes.address_size ? 4 : 2;
        case CodeSize::Bits32: return prefixes.address_size ? 2 : 4;
        case CodeSize::Bits64: break;
    }
    return prefixes.address_size ? 4 : 8;
}

std::uint64_t low_bytes(std::uint64_t value, unsigned count) {
    return count == 8 ? value : value & ((1ULL << 8 * count) - 1);
}

RegisterOperand register_operand(unsigned number, unsigned size, const Prefixes& prefixes) {
    if (size == 1 && prefixes.rex == 0 && number >= 4)
        return {.number = static_cast<std::uint8_t>(number - 4), .is_high_byte = true};
    return {.number = static_cast<std::uint8_t>(number)};
}

/// An operand at an offset that no ModRM byte gives.
MemoryOperand operand_at(std::uint64_t offset, SegmentName segment, const AddressState& state) {
    const bool is_64_bit_code = state.code == CodeSize::Bits64;
    std::uint64_t address = offset;
    if (!is_64_bit_code || segment >= SegmentName::Fs)
        address += state.segments[static_cast<std::size_t>(segment)].base;
    if (!is_64_bit_code) address &= 0xffff'ffff;
    return {.offset = offset, .segment = segment, .address = Gva{address}};
}

/// An instruction on its way from bytes to an access.
class Decoder {
   public:
    Decoder(std::span<const std::byte> bytes, const AddressState& state)
        : bytes_{bytes},
          state_{state},
          prefixes_{read_prefixes(bytes, state.code)},
          at_{prefixes_.count} {}

    std::expected<MemoryAccess, Error> decode() {
        if (!has(1)) return end_of_bytes();
        unsigned opcode = number(1);
        if (opcode == escape) {
            if (!has(1)) return end_of_bytes();
            opcode = two_bytes + static_cast<unsigned>(number(1));
        }
        // Only opcodes with a ModRM byte look at it.
        const unsigned modrm = has(1) ? std::to_integer<unsigned>(bytes_[at_]) : 0;
        const auto found = find(opcode, modrm >> 3 & 7, prefixes_, state_.code);
        if (!found) return has(1) ? unsupported() : std::unexpected{why_ended()};

        MemoryAccess access{.operation = found->operation};
        const std::uint8_t size = found->of_one_byte ? 1 : operand_size(prefixes_, state_.code);
        access.size = found->memory_size != 0 ? found->memory_size : size;
        access.register_size = size;
        access.sign_extend = found->sign_extend;
        if (const auto done = read_operands(*found, modrm, access); !done)
            return std::unexpected{done.error()};
        const bool may_lock = access.operation == Operation::Exchange ||
                              (access.memory_first && (access.operation == Operation::And ||
                                                       access.operation == Operation::Or ||
                                                       access.operation == Operation::Xor));
        if (prefixes_.lock && !may_lock) return unsupported();
        access.length = static_cast<std::uint8_t>(at_);
        return access;
    }

   private:
    bool has(std::size_t count) const { return at_ + count <= bytes_.size(); }
    std::uint64_t number(std::size_t count) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < count; ++i)
            value |= std::to_integer<std::uint64_t>(bytes_[at_ + i]) << 8 * i;
        at_ += count;
        return value;
    }
    Error why_ended() const {
        return bytes_.size() < longest_instruction ? Error::Truncated : Error::InvalidArgument;
    }
    std::unexpected<Error> end_of_bytes() const { return std::unexpected{why_ended()}; }
    static std::unexpected<Error> unsupported() { return std::unexpected{Error::Unsupported}; }

    std::expected<void, Error> read_operands(const Opcode& opcode, unsigned modrm,
                                             MemoryAccess& access) {
        switch (opcode.form) {
            case Form::String:
                access.is_string = true;
                access.repeat = prefixes_.repeat;
                access.address_bytes = address_bytes(prefixes_, state_.code);
                access.reg = RegisterOperand{};
                access.memory = operand_at(low_bytes(state_.registers.rdi, access.address_bytes),
                                           SegmentName::Es, state_);
                return {};
            case Form::LoadOffset:
            case Form::StoreOffset: {
                const std::size_t count = address_bytes(prefixes_, state_.code);
                if (!has(count)) return end_of_bytes();
                access.memory_first = opcode.form == Form::StoreOffset;
                access.reg = RegisterOperand{};
                access.memory =
                    operand_at(number(count), prefixes_.segment.value_or(SegmentName::Ds), state_);
                return {};
            }
            default: break;
        }
        const bool has_immediate =
            opcode.form == Form::Immediate || opcode.form == Form::SignedByte;
        std::size_t immediate_bytes = 0;
        if (has_immediate)
            immediate_bytes =
                opcode.form == Form::SignedByte ? 1 : std::min<std::size_t>(access.size, 4);
        const auto memory = effective_address(bytes_, prefixes_, at_, immediate_bytes, state_);
        if (!memory) {
            if (memory.error() == Error::Truncated) return end_of_bytes();
            return unsupported();
        }
        access.memory = *memory;
        at_ += memory->length;
        if (has_immediate) {
            if (!has(immediate_bytes)) return end_of_bytes();
            const unsigned unused = 64 - 8 * static_cast<unsigned>(immediate_bytes);
            const auto value = static_cast<std::int64_t>(number(immediate_bytes) << unused);
            access.immediate = low_bytes(static_cast<std::uint64_t>(value >> unused), access.size);
            return {};
        }
        access.memory_first = opcode.form == Form::RegisterToMemory;
        const unsigned extended = (prefixes_.rex & rex::r) != 0 ? 8 : 0;
        access.reg = register_operand((modrm >> 3 & 7) | extended, access.register_size, prefixes_);
        return {};
    }

    std::span<const std::byte> bytes_;
    const AddressState& state_;
    Prefixes prefixes_;
    std::size_t at_;
};

}  // namespace

std::expected<MemoryAccess, UndecodedInstruction> decode_access(std::span<const std::byte> bytes,
                                                                const AddressState& state) {
    if (bytes.size() > longest_instruction) bytes = bytes.first(longest_instruction);
    const auto access = Decoder{bytes, state}.decode();
    if (access) return *access;
    UndecodedInstruction left{.error = access.error(),
                              .count = static_cast<std::uint8_t>(bytes.size())};
    std::ranges::copy(bytes, left.bytes.begin());
    return std::unexpected{left};
}

}  // namespace vmm
