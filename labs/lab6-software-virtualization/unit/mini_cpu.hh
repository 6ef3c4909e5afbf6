// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "labs/unit_fixture.hh"
#include "vmm/soft/code.hh"

/// A CPU of a few instructions, so that a translation can be run beside what it was made from.
namespace lab {

/// A few instructions of 32-bit code, in ring 0 or in ring 3.
class MiniCpu {
   public:
    /// What became of an instruction.
    enum class Step : std::uint8_t {
        Done,
        Trap,     ///< ring 3 may not execute it; nothing has happened
        Halted,   ///< HLT in ring 0
        Unknown,  ///< this CPU has no such instruction
    };

    std::array<std::uint32_t, 8> registers{};
    std::uint32_t eip = 0;
    bool carry = false, parity = false, zero = false, sign = false, overflow = false;
    bool interrupts_enabled = true;  ///< of ring 0; in ring 3 it is 1 and stays
    std::vector<std::string> trace;  ///< what OUT has said

    std::uint32_t& esp() { return registers[4]; }
    std::uint32_t& ecx() { return registers[1]; }

    void push(std::uint32_t value) {
        esp() -= 4;
        stack_[esp()] = value;
    }
    std::uint32_t pop() {
        const std::uint32_t value = stack_[esp()];
        esp() += 4;
        return value;
    }

    /// Executes what stands at EIP; `bytes` begin there.
    Step step(std::span<const std::byte> bytes, bool ring_0) {
        const auto found = vmm::soft::decode_code(bytes);
        if (!found) return Step::Unknown;
        instruction_ = bytes.first(found->length);
        const std::uint32_t before = eip;
        eip += found->length;
        const Step done = execute(*found, ring_0);
        if (done != Step::Done) eip = before;
        return done;
    }

    /// Everything that a program can see, in words.
    std::string describe() const {
        std::string text;
        constexpr std::array names{"EAX=", "ECX=", "EDX=", "EBX=", "ESP=", "EBP=", "ESI=", "EDI="};
        for (std::size_t i = 0; i < names.size(); ++i) text += names[i] + hex(registers[i]) + " ";
        const std::pair<const char*, bool> flags[] = {
            {"CF=", carry}, {"PF=", parity},   {"ZF=", zero},
            {"SF=", sign},  {"OF=", overflow}, {"IF=", interrupts_enabled}};
        for (const auto& [name, is_set] : flags) text += name + std::string{is_set ? "1 " : "0 "};
        text += "ports:";
        for (const auto& each : trace) text += " " + each;
        return text;
    }

   private:
    std::uint32_t operand(std::size_t size) const {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < size; ++i)
            value |= std::to_integer<std::uint32_t>(instruction_[instruction_.size() - size + i])
                     << 8 * i;
        return value;
    }
    std::uint32_t displacement(const vmm::soft::CodeInstruction& found) const {
        const std::uint32_t value = operand(found.immediate);
        return found.immediate == 1 ? (value ^ 0x80) - 0x80 : value;
    }
    std::uint32_t result(std::uint32_t value) {
        zero = value == 0;
        sign = value >> 31 != 0;
        parity = __builtin_parity(value & 0xff) == 0;
        return value;
    }
    std::uint32_t sum(std::uint32_t a, std::uint32_t b) {
        carry = a + b < a;
        overflow = ((~(a ^ b) & (a ^ (a + b))) >> 31) != 0;
        return result(a + b);
    }
    std::uint32_t difference(std::uint32_t a, std::uint32_t b) {
        carry = a < b;
        overflow = (((a ^ b) & (a ^ (a - b))) >> 31) != 0;
        return result(a - b);
    }
    bool holds(unsigned condition) const {
        const std::array<bool, 8> conditions{overflow,
                                             carry,
                                             zero,
                                             carry || zero,
                                             sign,
                                             parity,
                                             sign != overflow,
                                             zero || sign != overflow};
        return conditions[condition >> 1 & 7] != ((condition & 1) != 0);
    }
    std::uint32_t flags(bool ring_0) const {
        const bool enabled = !ring_0 || interrupts_enabled;
        return 2U | carry << 0U | parity << 2U | zero << 6U | sign << 7U | enabled << 9U |
               overflow << 11U;
    }
    void set_flags(std::uint32_t image, bool ring_0) {
        carry = (image & 1) != 0;
        parity = (image & 4) != 0;
        zero = (image & 0x40) != 0;
        sign = (image & 0x80) != 0;
        overflow = (image & 0x800) != 0;
        if (ring_0) interrupts_enabled = (image & 0x200) != 0;
    }

    Step execute(const vmm::soft::CodeInstruction& found, bool ring_0) {
        const unsigned opcode = found.opcode;
        const unsigned low = opcode & 7;
        if (opcode == 0x90) return Step::Done;
        if ((opcode & ~0xfU) == 0x40) return count(low, opcode >= 0x48);
        if ((opcode & ~7U) == 0x50) return push(registers[low]), Step::Done;
        if ((opcode & ~7U) == 0x58) return registers[low] = pop(), Step::Done;
        if ((opcode & ~7U) == 0xb8) return registers[low] = operand(4), Step::Done;
        if ((opcode & ~0xfU) == 0x70 || (opcode & ~0xfU) == 0x180)
            return jump(found, holds(opcode & 15));
        if (opcode >= 0xe0 && opcode <= 0xe3) return loop(found);
        switch (opcode) {
            case 0x05: registers[0] = sum(registers[0], operand(4)); return Step::Done;
            case 0x3d: difference(registers[0], operand(4)); return Step::Done;
            case 0x01:
                if (found.mod() != 3) return Step::Unknown;
                registers[found.modrm & 7U] =
                    sum(registers[found.modrm & 7U], registers[found.reg()]);
                return Step::Done;
            case 0x68: push(operand(4)); return Step::Done;
            case 0x6a: push(displacement(found)); return Step::Done;
            case 0xe9:
            case 0xeb: return jump(found, true);
            case 0xe8: push(eip); return jump(found, true);
            case 0xc3: eip = pop(); return Step::Done;
            default: return sensitive(opcode, ring_0);
        }
    }
    Step count(unsigned which, bool down) {
        const bool kept = carry;
        registers[which] = down ? difference(registers[which], 1) : sum(registers[which], 1);
        carry = kept;
        return Step::Done;
    }
    Step jump(const vmm::soft::CodeInstruction& found, bool taken) {
        if (taken) eip += displacement(found);
        return Step::Done;
    }
    Step loop(const vmm::soft::CodeInstruction& found) {
        std::uint32_t counter = found.prefixes.address_size ? ecx() & 0xffff : ecx();
        if (found.opcode == 0xe3) return jump(found, counter == 0);
        --counter;
        if (found.prefixes.address_size) counter = (ecx() & 0xffff'0000) | (counter & 0xffff);
        ecx() = counter;
        const bool is_left = found.prefixes.address_size ? (counter & 0xffff) != 0 : counter != 0;
        const bool wanted = found.opcode == 0xe2 || zero == (found.opcode == 0xe1);
        return jump(found, is_left && wanted);
    }
    Step sensitive(unsigned opcode, bool ring_0) {
        switch (opcode) {
            case 0x9c: push(flags(ring_0)); return Step::Done;
            case 0x9d: set_flags(pop(), ring_0); return Step::Done;
            default: break;
        }
        if (opcode != 0xfa && opcode != 0xfb && opcode != 0xe6 && opcode != 0xf4 && opcode != 0xcc)
            return Step::Unknown;
        if (!ring_0) return Step::Trap;
        switch (opcode) {
            case 0xfa: interrupts_enabled = false; return Step::Done;
            case 0xfb: interrupts_enabled = true; return Step::Done;
            case 0xe6:
                trace.push_back(hex(operand(1)) + "=" + hex(registers[0] & 0xff));
                return Step::Done;
            case 0xf4: return Step::Halted;
            default: return Step::Unknown;
        }
    }

    std::map<std::uint32_t, std::uint32_t> stack_;
    std::span<const std::byte> instruction_;
};

}  // namespace lab
