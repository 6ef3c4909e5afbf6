// SPDX-License-Identifier: MIT
#include "vmm/exit.hh"

#include <type_traits>

namespace vmm {
namespace {

const char* words(const exit::Unknown& reason) {
    return reason.name;
}
const char* words(const exit::NestedPageFault& fault) {
    if (fault.in_guest_walk) return "nested page fault while the CPU read the guest's page tables";
    if (fault.fetch) return "nested page fault: fetch";
    return fault.write ? "nested page fault: write" : "nested page fault: read";
}
const char* words(const exit::PortAccess& access) {
    return access.in ? "IN" : "OUT";
}
const char* words(const exit::Cpuid&) {
    return "CPUID";
}
const char* words(const exit::MsrAccess& access) {
    return access.write ? "WRMSR" : "RDMSR";
}
const char* words(const exit::Halt&) {
    return "HLT";
}
const char* words(const exit::Hypercall&) {
    return "hypercall";
}
const char* words(const exit::ExternalInterrupt&) {
    return "interrupt of the host";
}
const char* words(const exit::InterruptWindow&) {
    return "interrupt window";
}
const char* words(const exit::Shutdown&) {
    return "shutdown (triple fault)";
}
const char* words(const exit::Exception& reason) {
    return reason.name;
}
const char* words(const exit::IgnoredInstruction& reason) {
    return reason.name;
}
const char* words(const exit::Cr3Write&) {
    return "write of CR3";
}
const char* words(const exit::GuestPageFault&) {
    return "page fault of the guest's own";
}
const char* words(const exit::Served& reason) {
    return reason.name;
}
const char* words(const exit::EntryFailure&) {
    return "the CPU refused to enter the guest";
}

template <std::size_t index = 0>
const char* words_of(const decltype(Exit::reason)& reason) {
    if constexpr (index < std::variant_size_v<std::remove_cvref_t<decltype(reason)>>) {
        if (const auto* found = std::get_if<index>(&reason)) return words(*found);
        return words_of<index + 1>(reason);
    }
    return nullptr;
}

}  // namespace

const char* describe(const Exit& exit) {
    const char* const text = words_of(exit.reason);
    return text != nullptr ? text : "unknown exit";
}

}  // namespace vmm
