// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <variant>

#include "kern/lib/print.hh"
#include "vmm/exits/decode_access.hh"
#include "vmm/read_guest.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

using kern::kprint;

void print_exit(const Exit& exit) {
    kprint("  exit        {} (code 0x{:x}, information 0x{:x} 0x{:x})\n", describe(exit), exit.code,
           exit.information[0], exit.information[1]);
    if (const auto* fault = std::get_if<exit::NestedPageFault>(&exit.reason))
        kprint("  address     {} ({})\n", fault->address,
               fault->present ? "present, but not for this" : "not present");
    if (const auto* access = std::get_if<exit::PortAccess>(&exit.reason))
        kprint("  port        0x{:x}, {} of {} {}\n", access->port, access->in ? "IN" : "OUT",
               access->size, access->size == 1 ? "byte" : "bytes");
    if (const auto* failure = std::get_if<exit::EntryFailure>(&exit.reason)) {
        kprint("  rule        {} is 0x{:x}: {}\n", failure->field, failure->value, failure->rule);
        if (failure->task != nullptr) kprint("  look at     {}\n", failure->task);
    }
}

const char* code_in_words(CodeSize size) {
    switch (size) {
        case CodeSize::Bits16: return "16-bit";
        case CodeSize::Bits32: return "32-bit";
        case CodeSize::Bits64: return "64-bit";
    }
    return "";
}

void print_registers(Vcpu& vcpu) {
    const Registers& r = vcpu.registers();
    const SystemRegisters s = vcpu.backend().system_registers();
    kprint("  rip {:016x}  rflags {:016x}  cs {:04x} ss {:04x}  ring {} {}\n", r.rip, r.rflags,
           s.cs, s.ss, s.privilege_level, code_in_words(s.code_size));
    kprint("  rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}\n", r.rax, r.rbx, r.rcx, r.rdx);
    kprint("  rsi {:016x}  rdi {:016x}  rbp {:016x}  rsp {:016x}\n", r.rsi, r.rdi, r.rbp, r.rsp);
    kprint("  r8  {:016x}  r9  {:016x}  r10 {:016x}  r11 {:016x}\n", r.r8, r.r9, r.r10, r.r11);
    kprint("  r12 {:016x}  r13 {:016x}  r14 {:016x}  r15 {:016x}\n", r.r12, r.r13, r.r14, r.r15);
    kprint("  cr0 {:016x}  cr2 {:016x}  cr3 {:016x}  cr4 {:016x}\n", s.cr0, s.cr2, s.cr3, s.cr4);
    kprint("  efer {:x}  cs base {:x}\n", s.efer, s.cs_base);
}

const char* in_words(MemoryAccess::Operation operation) {
    switch (operation) {
        case MemoryAccess::Operation::Load: return "Load";
        case MemoryAccess::Operation::Store: return "Store";
        case MemoryAccess::Operation::And: return "And";
        case MemoryAccess::Operation::Or: return "Or";
        case MemoryAccess::Operation::Xor: return "Xor";
        case MemoryAccess::Operation::Compare: return "Compare";
        case MemoryAccess::Operation::Test: return "Test";
        case MemoryAccess::Operation::Exchange: return "Exchange";
    }
    return "";
}

/// What the instruction does with its memory, if that is what it exited for and can be told.
void print_access(Vcpu& vcpu, std::span<const std::byte> code) {
    if (vcpu.history().size() == 0) return;
    const auto* const fault = std::get_if<exit::NestedPageFault>(&vcpu.history().back(0).reason);
    if (fault == nullptr || fault->fetch || fault->in_guest_walk) return;
    const SystemRegisters system = vcpu.backend().system_registers();
    const auto access = decode_access(
        code.first(std::min(code.size(), longest_instruction)),
        {.code = system.code_size, .registers = vcpu.registers(), .segments = system.segments});
    if (access)
        kprint("  access      {} of {} bytes at {}\n", in_words(access->operation), access->size,
               access->memory.address);
}

constexpr std::size_t code_count = 16;

void print_bytes(const char* name, std::span<const std::byte> code) {
    std::array<char, 3 * code_count> text;
    std::size_t length = 0;
    for (const std::byte byte : code)
        length +=
            kern::format_into(std::span{text}.subspan(length), "{:02x} ",
                              std::array{kern::PrintArgument{std::to_integer<std::uint8_t>(byte)}})
                .size();
    kprint("  {} {}\n", name, std::string_view{text.data(), length});
}

void print_code(Vcpu& vcpu) {
    std::array<std::byte, code_count> code;
    const Gva at{vcpu.backend().system_registers().cs_base + vcpu.registers().rip};
    const std::size_t got = read_guest(vcpu, at, code);
    if (got == 0)
        kprint("  bytes at rip: none, the page is not present\n");
    else
        print_bytes("bytes at rip:", std::span{code}.first(got));
    print_access(vcpu, std::span{code}.first(got));
}

bool is_like(const Exit& a, const Exit& b) {
    return a.rip == b.rip && a.code == b.code && a.information == b.information;
}

void print_history(const Vcpu& vcpu) {
    const ExitHistory& history = vcpu.history();
    kprint("  virtual CPU {}: {} exits, the last ones (oldest first):\n", vcpu.index(),
           history.count());
    for (std::size_t age = history.size(); age-- > 0;) {
        const Exit& exit = history.back(age);
        std::size_t times = 1;
        for (; age > 0 && is_like(exit, history.back(age - 1)); --age) ++times;
        kprint("    rip {:016x}  code {:4x} {:x} {:x}  {}", exit.rip, exit.code,
               exit.information[0], exit.information[1], describe(exit));
        if (times == 1)
            kprint("\n");
        else
            kprint(", {} times\n", times);
    }
}

}  // namespace

void report(Vm& vm, const VmResult& result) {
    kprint("VM {} ended by the host: {}\n", vm.name(), result.reason);
    if (result.error) kprint("  error       {}\n", *result.error);
    Vcpu& vcpu = vm.vcpu(result.vcpu);
    kprint("  virtual CPU {} of {}\n", vcpu.index(), vm.vcpu_count());
    if (vcpu.history().size() != 0) print_exit(vcpu.history().back(0));
    if (result.instruction)
        print_bytes("instruction",
                    std::span{result.instruction->bytes}.first(result.instruction->count));
    print_registers(vcpu);
    print_code(vcpu);
    for (unsigned index = 0; index < vm.vcpu_count(); ++index) print_history(vm.vcpu(index));
}

}  // namespace vmm
