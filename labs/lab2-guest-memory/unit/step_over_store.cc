// SPDX-License-Identifier: MIT
#include "step_over_store.hh"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace lab {

#ifdef __x86_64__

namespace {
constexpr greg_t trap_flag = 0x100;  // RFLAGS.TF: a SIGTRAP after the next instruction
}

bool step_over_store(ucontext_t& context, void* /*address*/) {
    context.uc_mcontext.gregs[REG_EFL] |= trap_flag;
    return false;
}

void end_step(ucontext_t& context) {
    context.uc_mcontext.gregs[REG_EFL] &= ~trap_flag;
}

#elifdef __aarch64__

// The flag for a single step is the kernel's here, so a BRK takes the place of the instruction
// behind the store.
namespace {

using Instruction = std::uint32_t;
constexpr Instruction brk = 0xd420'0000;
constexpr unsigned zero_register = 31;

Instruction* replaced = nullptr;
Instruction original = 0;

void put(Instruction* at, Instruction instruction) {
    constexpr std::uintptr_t page_bytes = 4096;
    const auto page = reinterpret_cast<std::uintptr_t>(at) & ~(page_bytes - 1);
    if (mprotect(reinterpret_cast<void*>(page), page_bytes, PROT_READ | PROT_WRITE | PROT_EXEC))
        std::abort();
    *at = instruction;
    __builtin___clear_cache(reinterpret_cast<char*>(at), reinterpret_cast<char*>(at + 1));
}

/// STXR or STLXR. The fault has ended the reservation of the load before it, so that it would fail
/// and be tried again, for ever.
bool is_store_exclusive(Instruction instruction) {
    return (instruction & 0x3fe0'0000) == 0x0800'0000;
}

}  // namespace

bool step_over_store(ucontext_t& context, void* address) {
    auto& machine = context.uc_mcontext;
    auto* const store = reinterpret_cast<Instruction*>(machine.pc);
    if (is_store_exclusive(*store)) {  // there is one thread, so nobody can come between
        const unsigned value_register = *store & 31;
        const unsigned status_register = *store >> 16 & 31;
        const std::uint64_t value =
            value_register == zero_register ? 0 : machine.regs[value_register];
        std::memcpy(address, &value, std::size_t{1} << (*store >> 30));
        if (status_register != zero_register) machine.regs[status_register] = 0;
        machine.pc += sizeof(Instruction);
        return true;
    }
    replaced = store + 1;
    original = *replaced;
    put(replaced, brk);
    return false;
}

void end_step(ucontext_t& /*context*/) {
    put(replaced, original);
}

#else
#error "step_over_store knows x86-64 and arm64"
#endif

}  // namespace lab
