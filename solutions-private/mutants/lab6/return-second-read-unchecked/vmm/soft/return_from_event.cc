// SPDX-License-Identifier: MIT
#include "vmm/soft/return_from_event.hh"

#include <array>

#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

std::unexpected<GuestFault> refuse(std::uint8_t vector, std::uint16_t selector) {
    GuestFault fault = protection_fault_of(selector);
    fault.vector = vector;
    return std::unexpected{fault};
}

/// Whether CS or SS may become `selector`.
std::expected<void, GuestFault> check(const SoftCpu& cpu, const GuestMemory& memory,
                                      std::uint16_t selector, bool is_stack) {
    if (selector::is_null(selector)) return std::unexpected{protection_fault()};
    const unsigned rpl = selector & selector::rpl;
    if (is_stack ? rpl != 3 : (rpl != 0 && rpl != 3) || rpl < cpu.cpl())
        return refuse(vector::general_protection, selector);
    const auto descriptor = read_descriptor(cpu, memory, selector);
    if (!descriptor) return std::unexpected{descriptor.error()};
    const bool fits = is_stack ? descriptor->is_writable_data()
                               : descriptor->is_code() && !descriptor->is_conforming();
    if (!fits || descriptor->dpl != rpl) return refuse(vector::general_protection, selector);
    if (descriptor->present == 0)
        return refuse(is_stack ? stack_fault : segment_not_present, selector);
    return {};
}

}  // namespace

std::expected<void, GuestFault> return_from_event(SoftCpu& cpu, const GuestMemory& memory) {
    const auto esp = static_cast<std::uint32_t>(cpu.registers.rsp);
    std::array<std::uint32_t, 5> frame{};
    const auto pop = [&](std::size_t first, std::size_t count) {
        return read_linear(cpu, memory, esp + static_cast<std::uint32_t>(4 * first),
                           std::as_writable_bytes(std::span{frame}.subspan(first, count)),
                           cpu.user_mode);
    };
    if (const auto read = pop(0, 3); !read) return read;
    const auto cs = static_cast<std::uint16_t>(frame[1]);
    const std::uint32_t image = frame[2];
    if ((image & rflags::virtual_8086) != 0) return std::unexpected{protection_fault()};
    if (const auto fits = check(cpu, memory, cs, false); !fits) return fits;

    const bool to_user = (cs & selector::rpl) == 3;
    if (to_user && !cpu.user_mode) {
        static_cast<void>(pop(3, 2));
        const auto ss = static_cast<std::uint16_t>(frame[4]);
        if (const auto fits = check(cpu, memory, ss, true); !fits) return fits;
        cpu.registers.rsp = frame[3];
        cpu.selector(SegmentName::Ss) = ss;
    } else {
        cpu.registers.rsp = esp + 12;
    }
    if (!cpu.user_mode) cpu.interrupts_enabled = (image & rflags::interrupt_enable) != 0;
    cpu.registers.rflags =
        (cpu.registers.rflags & ~std::uint64_t{program_flags}) | (image & program_flags);
    cpu.registers.rip = frame[0];
    cpu.selector(SegmentName::Cs) = cs;
    cpu.user_mode = to_user;
    cpu.interrupt_shadow = false;
    return {};
}

}  // namespace vmm::soft
