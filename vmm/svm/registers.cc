// SPDX-License-Identifier: MIT
#include "vmm/svm/registers.hh"

#include "vmm/backend.hh"

namespace vmm::svm {
namespace {

constexpr std::uint64_t upper_half = 0xffff'ffff'0000'0000;
constexpr std::uint64_t highest_cr8 = 15;
constexpr std::uint64_t dr6_writable = 0xe00f;       // B0 to B3, BD, BS, BT
constexpr std::uint64_t dr7_writable = 0xffff'23ff;  // enables, LE, GE, GD, types and lengths
constexpr unsigned dr6_number = 6, aliases = 2;      // DR4 is DR6, DR5 is DR7

}  // namespace

decltype(Exit::reason) write_cr8(Registers& registers, std::uint64_t value) {
    constexpr const char* name = "write of CR8";
    if (value > highest_cr8) return exit::Exception{name, vector::general_protection};
    registers.cr8 = value;
    return exit::Served{name};
}

decltype(Exit::reason) write_cr3(SaveArea& save, std::uint64_t value, unsigned physical_bits) {
    if ((save.efer & efer::long_mode_active) != 0 && value >> physical_bits != 0)
        return exit::Exception{"write of CR3", vector::general_protection};
    save.cr3 = value;
    return exit::Cr3Write{};
}

decltype(Exit::reason) write_debug_register(SaveArea& save,
                                            std::array<std::uint64_t, 4>& breakpoints,
                                            unsigned number, std::uint64_t value) {
    constexpr const char* name = "write of a debug register";
    if (number == 4 || number == 5) {
        if ((save.cr4 & cr4::debugging_extensions) != 0)
            return exit::Exception{name, vector::invalid_opcode};
        number += aliases;
    }
    if ((save.dr7 & dr7::general_detect) != 0) {
        save.dr7 &= ~dr7::general_detect;
        save.dr6 |= dr6::debug_register_access;
        return exit::Exception{name, vector::debug};
    }
    if (number < breakpoints.size()) {
        breakpoints[number] = value;
        return exit::Served{name};
    }
    if ((value & upper_half) != 0) return exit::Exception{name, vector::general_protection};
    if (number == dr6_number)
        save.dr6 = (value & dr6_writable) | dr6::reset;
    else
        save.dr7 = (value & dr7_writable) | dr7::reset;
    return exit::Served{name};
}

}  // namespace vmm::svm
