// SPDX-License-Identifier: MIT
#include "vmm/hypercall.hh"

#include <algorithm>
#include <array>
#include <cstddef>

#include "vmm/exits/exits.hh"
#include "vmm/guest_memory.hh"
#include "vmm/vm.hh"

namespace vmm::exits {
namespace {

std::uint64_t print(Vcpu& vcpu, Gva address, std::uint64_t length) {
    if (length > hypercall::print_limit) return hypercall::bad_argument;
    LineWriter line{Vm::print_line, &vcpu.vm()};
    std::array<std::byte, 256> buffer;
    for (std::uint64_t done = 0; done < length; done += buffer.size()) {
        const std::span piece{buffer.data(), std::min<std::size_t>(buffer.size(), length - done)};
        if (read_guest(vcpu, address + done, piece) != piece.size()) return hypercall::bad_address;
        for (const std::byte byte : piece) line.put(static_cast<char>(byte));
    }
    line.flush();
    return hypercall::ok;
}

}  // namespace

Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Hypercall&) {
    if (!vcpu.vm().serves_hypercalls())
        return std::unexpected{ExitFailure{"a hypercall, and nobody serves them"}};
    Registers& registers = vcpu.registers();
    switch (registers.rax) {
        case hypercall::exit:
            vcpu.vm().end(
                {.end = VmResult::End::Exited, .status = registers.rbx, .vcpu = vcpu.index()});
            break;
        case hypercall::print:
            registers.rax = print(vcpu, Gva{registers.rbx}, registers.rcx);
            break;
        case hypercall::mark:
            if (VmObserver* const observer = vcpu.vm().observer())
                observer->mark(registers.rbx, vcpu.index());
            registers.rax = hypercall::ok;
            break;
        default: registers.rax = hypercall::bad_number; break;
    }
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm::exits
