// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "vmm/exits/instruction.hh"
#include "vmm/svm/exits.hh"

namespace vmm::svm {

/// What the host has to know of an instruction that it does in the guest's place.
struct Instruction {
    std::uint8_t length = 0;  ///< bytes, prefixes included
    /// Of MOV to a control or debug register: the number of the general register that it moves from,
    /// see general_registers.
    std::uint8_t source = 0;
};

/// Whether an exit with this code is made by an instruction that decode_instruction knows: CPUID,
/// RDMSR, WRMSR, HLT, INVD, WBINVD, VMMCALL, MOV to CR3 or CR8, MOV to a debug register.
constexpr bool is_decodable(std::uint64_t code) {
    switch (code) {
        case exit_code::cpuid:
        case exit_code::msr:
        case exit_code::hlt:
        case exit_code::invd:
        case exit_code::wbinvd:
        case exit_code::vmmcall:
        case exit_code::write_cr3:
        case exit_code::write_cr8: return true;
        default: return code >= exit_code::write_dr0 && code <= exit_code::write_dr7;
    }
}

/// Reads the instruction that has caused `exit_code`. `bytes` are those at the guest's RIP, up to
/// longest_instruction. Nothing if there stands another instruction, or not all of it: the guest may
/// have written into it meanwhile, from another virtual CPU.
/// [amd/vol3 1.1 and 1.2; the instructions' own pages]
/// @param exit_information EXITINFO1, which tells RDMSR from WRMSR
/// @param is_64_bit        the guest's code segment is a 64-bit one, so 0x40 to 0x4f are prefixes
std::optional<Instruction> decode_instruction(std::uint64_t exit_code,
                                              std::uint64_t exit_information,
                                              std::span<const std::byte> bytes, bool is_64_bit);

}  // namespace vmm::svm
