// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/guest.hh"

#include "kern/arch/arch.hh"

namespace kern::arch {
namespace {

constexpr std::uint32_t vendor_leaf = 0;
constexpr std::uint32_t signature_leaf = 0x4000'0000, machine_leaf = 0x4000'0001;
constexpr char signature[] = "NestlingVMM\0";
constexpr std::uint64_t exit_hypercall = 0;
constexpr std::uint64_t hypercall_signature = 0x7473'654e;  // "Nest"

constexpr std::uint32_t four_characters(const char* text) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < 4; ++i)
        value |= std::uint32_t{static_cast<unsigned char>(text[i])} << (8 * i);
    return value;
}

}  // namespace

void HostOfThisGuest::exit(std::uint64_t status) const {
    // NOLINTNEXTLINE(misc-const-correctness): the instruction may write to it, which asm hides.
    std::uint64_t number = exit_hypercall;
    // Each vendor's CPUs know their own instruction only.
    if (cpuid(vendor_leaf).ebx == four_characters("Genu"))
        asm volatile("vmcall" : "+a"(number) : "b"(status), "d"(hypercall_signature) : "memory");
    else
        asm volatile("vmmcall" : "+a"(number) : "b"(status), "d"(hypercall_signature) : "memory");
}

std::optional<HostOfThisGuest> host_of_this_guest() {
    // On a machine without hypervisor the leaf is beyond the highest, and answers something else.
    const CpuidResult name = cpuid(signature_leaf);
    if (name.ebx != four_characters(signature) || name.ecx != four_characters(signature + 4) ||
        name.edx != four_characters(signature + 8) || name.eax < machine_leaf)
        return std::nullopt;
    const CpuidResult machine = cpuid(machine_leaf);
    return HostOfThisGuest{machine.eax, machine.ebx, machine.ecx};
}

}  // namespace kern::arch
