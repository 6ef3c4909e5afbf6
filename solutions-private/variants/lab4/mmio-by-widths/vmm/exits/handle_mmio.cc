// SPDX-License-Identifier: MIT
#include "vmm/exits/handle_mmio.hh"

#include <algorithm>
#include <array>
#include <span>
#include <type_traits>

#include "vmm/read_guest.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

using Operation = MemoryAccess::Operation;

/// What an access has come to: nothing, or the error that ends the VM.
using Outcome = std::optional<Error>;

struct Situation {
    Vcpu& vcpu;
    const MemoryAccess& access;
    Gpa device;

    Registers& registers() const { return vcpu.registers(); }
    MmioBus& bus() const { return vcpu.vm().mmio(); }
};

/// The register operand's place in the 64 bits that it is a part of.
template <class Word>
Word get(const Situation& at) {
    if (!at.access.reg) return static_cast<Word>(at.access.immediate);
    const std::uint64_t all = at.registers().*general_registers[at.access.reg->number];
    return static_cast<Word>(at.access.reg->is_high_byte ? all >> 8 : all);
}

void put(const Situation& at, std::uint64_t value, unsigned size) {
    std::uint64_t& all = at.registers().*general_registers[at.access.reg->number];
    switch (size) {
        case 1:
            if (at.access.reg->is_high_byte)
                all = (all & ~0xff00ULL) | (value & 0xff) << 8;
            else
                all = (all & ~0xffULL) | (value & 0xff);
            break;
        case 2: all = (all & ~0xffffULL) | (value & 0xffff); break;
        case 4: all = static_cast<std::uint32_t>(value); break;
        default: all = value; break;
    }
}

template <class Word>
std::uint64_t common_flags(Word result) {
    std::uint64_t flags = result == 0 ? rflags::zero : 0;
    if (static_cast<std::make_signed_t<Word>>(result) < 0) flags |= rflags::sign;
    if (__builtin_parity(result & 0xff) == 0) flags |= rflags::parity;
    return flags;
}

template <class Word>
std::uint64_t difference_flags(Word first, Word second) {
    using Signed = std::make_signed_t<Word>;
    Word difference = 0;
    Signed signed_difference = 0;
    const bool borrow = __builtin_sub_overflow(first, second, &difference);
    const bool overflow = __builtin_sub_overflow(static_cast<Signed>(first),
                                                 static_cast<Signed>(second), &signed_difference);
    std::uint64_t flags = common_flags(difference);
    if (borrow) flags |= rflags::carry;
    if (overflow) flags |= rflags::overflow;
    if ((first & 0xf) < (second & 0xf)) flags |= rflags::auxiliary_carry;
    return flags;
}

void set_flags(Registers& registers, std::uint64_t flags) {
    for (const std::uint64_t flag : {rflags::carry, rflags::parity, rflags::auxiliary_carry,
                                     rflags::zero, rflags::sign, rflags::overflow})
        registers.rflags = (registers.rflags & ~flag) | (flags & flag);
}

template <class Word>
Outcome store(const Situation& at, Gpa where, Word value) {
    const auto written = at.bus().write(at.vcpu.index(), where, sizeof(Word), value);
    return written ? Outcome{} : Outcome{written.error()};
}

template <class Word>
Outcome execute(const Situation& at) {
    const MemoryAccess& access = at.access;
    const Word other = get<Word>(at);
    if (access.operation == Operation::Store) return store<Word>(at, at.device, other);

    const auto read = at.bus().read(at.vcpu.index(), at.device, sizeof(Word));
    if (!read) return read.error();
    const auto memory = static_cast<Word>(*read);
    Word result = 0;
    switch (access.operation) {
        case Operation::Load: {
            const auto extended = static_cast<std::uint64_t>(
                std::int64_t{static_cast<std::make_signed_t<Word>>(memory)});
            put(at, access.sign_extend ? extended : std::uint64_t{memory}, access.register_size);
            return {};
        }
        case Operation::Exchange:
            if (const Outcome failed = store<Word>(at, at.device, other)) return failed;
            put(at, memory, sizeof(Word));
            return {};
        case Operation::Compare:
            set_flags(at.registers(), access.memory_first ? difference_flags<Word>(memory, other)
                                                          : difference_flags<Word>(other, memory));
            return {};
        case Operation::Or: result = memory | other; break;
        case Operation::Xor: result = memory ^ other; break;
        default: result = memory & other; break;
    }
    if (access.operation != Operation::Test && access.memory_first) {
        if (const Outcome failed = store<Word>(at, at.device, result)) return failed;
    } else if (access.operation != Operation::Test) {
        put(at, result, sizeof(Word));
    }
    set_flags(at.registers(), common_flags<Word>(result));
    return {};
}

/// A register of which `bytes` count.
std::uint64_t part(std::uint64_t all, unsigned bytes) {
    if (bytes == 2) return static_cast<std::uint16_t>(all);
    return bytes == 4 ? static_cast<std::uint32_t>(all) : all;
}
void set_part(std::uint64_t& all, std::uint64_t value, unsigned bytes) {
    all = bytes == 2 ? (all & ~0xffffULL) | part(value, 2) : part(value, bytes);
}

/// How many elements of the string this exit may store.
std::uint64_t elements(const Situation& at, bool down) {
    const Registers& registers = at.registers();
    const unsigned size = at.access.size, bytes = at.access.address_bytes;
    if (!at.access.repeat) return 1;
    const std::uint64_t wanted = part(registers.rcx, bytes);
    if ((registers.rflags & rflags::trap) != 0) return std::min<std::uint64_t>(wanted, 1);
    // Elements from the first one on that lie in the page, and up to where the register wraps.
    const std::uint64_t offset = at.device.page_offset();
    const std::uint64_t there =
        down ? offset / size + 1 : std::max<std::uint64_t>((page_size - offset) / size, 1);
    const std::uint64_t index = part(registers.rdi, bytes);
    const std::uint64_t until_it_wraps = down ? index / size : (part(~0ULL, bytes) - index) / size;
    const std::uint64_t in_reach = until_it_wraps == ~0ULL ? ~0ULL : until_it_wraps + 1;
    return std::min(wanted, std::min(there, in_reach));
}

template <class Word>
Outcome store_string(const Situation& at, bool& goes_on) {
    Registers& registers = at.registers();
    const bool down = (registers.rflags & rflags::direction) != 0;
    const unsigned bytes = at.access.address_bytes;
    const std::uint64_t count = elements(at, down);
    Gpa where = at.device;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (const Outcome failed = store<Word>(at, where, get<Word>(at))) return failed;
        const std::uint64_t step = down ? std::uint64_t{0} - sizeof(Word) : sizeof(Word);
        where += step;
        set_part(registers.rdi, part(registers.rdi, bytes) + step, bytes);
        if (at.access.repeat) set_part(registers.rcx, part(registers.rcx, bytes) - 1, bytes);
    }
    goes_on = at.access.repeat && part(registers.rcx, bytes) != 0;
    return {};
}

template <class Word>
Outcome perform(const Situation& at, bool& goes_on) {
    return at.access.is_string ? store_string<Word>(at, goes_on) : execute<Word>(at);
}

Handled end(const char* why, Error error) {
    return std::unexpected{ExitFailure{why, error}};
}

}  // namespace

Handled handle_mmio(Vcpu& vcpu, const Exit& exit, const exit::NestedPageFault& fault) {
    if (!vcpu.backend().can_inject()) return end("an event reaches into a device", Error::Busy);
    const SystemRegisters system = vcpu.backend().system_registers();
    const std::uint64_t rip = system.cs_base + vcpu.registers().rip;
    std::array<std::byte, longest_instruction> code;
    const std::size_t length =
        read_guest(vcpu, Gva{system.code_size == CodeSize::Bits64 ? rip : part(rip, 4)}, code);
    const AddressState state{
        .code = system.code_size, .registers = vcpu.registers(), .segments = system.segments};
    const auto decoded = decode_access({code.data(), length}, state);
    if (!decoded)
        return std::unexpected{ExitFailure{.reason = "no instruction that is known here",
                                           .error = decoded.error().error,
                                           .instruction = decoded.error()}};
    if ((decoded->memory.address.value() ^ fault.address.value()) % page_size != 0)
        return end("an operand that begins before a device", Error::OutOfRange);

    const Situation at{vcpu, *decoded, fault.address};
    bool goes_on = false;
    Outcome failed;
    switch (decoded->size) {
        case 1: failed = perform<std::uint8_t>(at, goes_on); break;
        case 2: failed = perform<std::uint16_t>(at, goes_on); break;
        case 4: failed = perform<std::uint32_t>(at, goes_on); break;
        default: failed = perform<std::uint64_t>(at, goes_on); break;
    }
    if (failed) return end("a device refuses", *failed);
    Exit here = exit;
    here.instruction_length = goes_on ? 0 : decoded->length;
    vcpu.backend().skip_instruction(here);
    return {};
}

}  // namespace vmm
