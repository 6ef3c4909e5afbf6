// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "kern/lib/fixed.hh"
#include "vmm/soft/code.hh"
#include "vmm/soft/instruction.hh"

namespace vmm::soft {

/// A trap in a translation: HLT or INT3 (trap_by_hlt, trap_by_int3), told from others by where it is.
struct TranslationStop {
    /// What the host does.
    enum class Kind : std::uint8_t {
        Continue,   ///< the guest goes on at `address`: run the translation of what stands there
        Interpret,  ///< the guest's instruction at `address` is done in its place, as after a trap
    };
    std::uint8_t offset = 0;    ///< of the trap in Translation::code
    Kind kind{};                ///< see there
    std::uint32_t address = 0;  ///< linear, in the guest's code
    /// All of them are equal.
    bool operator==(const TranslationStop&) const = default;
};

/// What ring 3 executes in the place of a block of the guest's kernel.
struct Translation {
    /// The most bytes of the guest's that are copied.
    static constexpr std::size_t most_copied = 64;
    std::uint32_t address = 0;  ///< linear: where the block begins in the guest's code
    std::uint8_t length = 0;    ///< of the block in the guest's code, in bytes
    std::uint8_t copied = 0;    ///< so many bytes of `code` are the guest's own, as they were
    kern::FixedList<std::byte, most_copied + 16> code{};  ///< runs at any address
    kern::FixedList<TranslationStop, 2> stops{};          ///< in any order
};

/// Translates a basic block of the guest's kernel (task lab6.translate_block, a challenge).
///
/// Nothing of the guest's text changes: ring 3 executes the translation in its place, somewhere
/// else. Most instructions do the same there, and are copied. A block ends with the first one that
/// does not, and in the place of that one stands:
///
/// | the guest's instruction | in the translation |
/// |---|---|
/// | JMP to an address that its bytes say | a stop: Continue at that address |
/// | Jcc, LOOP, LOOPE, LOOPNE, JECXZ, JCXZ | a jump under the same condition, and two stops: Continue behind it, and Continue at its target |
/// | CALL to an address that its bytes say | PUSH of the *guest's* return address, and a stop: Continue at the target |
/// | RET, RETF, IRET, any indirect or far JMP and CALL | a stop: Interpret at its own address |
/// | one that decode_sensitive knows, whatever SoftCpu it is given, or that has a silent_name | likewise |
/// | any of these with prefix 66, whose target has 16 bits | likewise |
///
/// All others are copied, one behind the other, from the beginning of `code`: also those that the
/// guest may not execute and that trap (their fault comes at `address` plus the offset). A block also
/// ends, with a stop Continue behind what was copied, where the next instruction
/// - would be copied, and Translation::most_copied bytes would not be enough;
/// - is not wholly in `code`, or cannot be decoded (decode_code).
///
/// A condition keeps its prefix 67, by which CX counts and not ECX, and no other prefix: of those
/// there may be too many for `code`. No jump has LOCK, with which no CPU executes it.
///
/// `length` counts the bytes that were copied, and those of the instruction that something else
/// stands for. Addresses are sums modulo 2^32. Nothing in the translation depends on where it runs.
/// An instruction is one by where it begins: its other bytes may look like any other.
///
/// @param code     the guest's code from the block's first byte on, as many bytes as could be read
/// @param address  the linear address of that byte
/// @return the translation; it ends with a trap, and each trap in it has a stop
/// @note Errors: those of decode_code for the very first instruction; Truncated if there is none.
/// @note It rests on decode_code and decode_sensitive, and so on lab4.effective_address.
std::expected<Translation, Error> translate_block(std::span<const std::byte> code,
                                                  std::uint32_t address);

}  // namespace vmm::soft
