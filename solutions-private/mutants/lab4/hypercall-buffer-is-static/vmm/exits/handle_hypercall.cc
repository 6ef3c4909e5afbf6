// SPDX-License-Identifier: MIT
#include "vmm/exits/handle_hypercall.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "vmm/read_guest.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

std::uint64_t print(Vcpu& vcpu, Gva address, std::uint64_t length) {
    if (length > hypercall::print_limit) return hypercall::bad_argument;
    LineWriter line{Vm::print_line, &vcpu.vm()};
    static std::array<std::byte, 256> buffer;
    for (std::uint64_t done = 0; done < length; done += buffer.size()) {
        const std::span piece{buffer.data(), std::min<std::size_t>(buffer.size(), length - done)};
        if (read_guest(vcpu, address + done, piece) != piece.size()) return hypercall::bad_address;
        for (const std::byte byte : piece) line.put(static_cast<char>(byte));
    }
    line.flush();
    return hypercall::ok;
}

/// The result; none if the call has ended the VM.
std::optional<std::uint64_t> serve(Vcpu& vcpu) {
    const Registers& registers = vcpu.registers();
    if (registers.rdx != hypercall::signature) return hypercall::no_signature;
    if (vcpu.backend().privilege_level() != 0) return hypercall::no_privilege;
    switch (registers.rax) {
        case hypercall::exit:
            vcpu.vm().end(
                {.end = VmResult::End::Exited, .status = registers.rbx, .vcpu = vcpu.index()});
            return std::nullopt;
        case hypercall::print: return print(vcpu, Gva{registers.rbx}, registers.rcx);
        default: return hypercall::bad_number;
    }
}

}  // namespace

[[gnu::hot]] Handled handle_hypercall(Vcpu& vcpu, const Exit& exit) {
    if (const auto result = serve(vcpu)) vcpu.registers().rax = *result;
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm
