// SPDX-License-Identifier: MIT
// What a virtual CPU is above the backends: the APIC timer, CR8, NMIs, the time-stamp counter,
// hypercalls and ports.
#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label guest_tiny_timer, guest_held, guest_init, guest_nmi_halt, guest_tsc, guest_calls,
    guest_ports, guest_strings, at_rep_ins, guest_long_string;

namespace {

/// Runs a guest to its end, and tells what it wrote down. If it did not come to its end, nothing
/// else is told: its results may not be there.
template <class Tell>
void try_guest(const Setup& setup, Tell tell) {
    const FrameBalance balance{setup.name};
    const auto vm = make_vm(setup);
    const VmResult result = run(*vm);
    if (result.end == VmResult::End::Exited && result.status == nonce) tell(vm.pager());
}

void tell_notes(std::string_view name, const Results& results, unsigned count) {
    constexpr std::array<std::string_view, 12> keys{"note-0", "note-1", "note-2",  "note-3",
                                                    "note-4", "note-5", "note-6",  "note-7",
                                                    "note-8", "note-9", "note-10", "note-11"};
    for (unsigned i = 0; i < count; ++i) fact(name, keys[i], results.note(i));
}

}  // namespace

void test_vcpu() {
    try_guest({.name = "tiny-timer", .entry = guest_tiny_timer, .limit_ms = 10'000},
              [](const KernelVmPager& pager) {
                  const Results results{pager};
                  fact("tiny-timer", "periodic-came", results.count(0x41) >= 2);
                  fact("tiny-timer", "once", results.count(0x42));
                  fact("tiny-timer", "masked", results.count(0x43));
              });
    try_guest({.name = "held", .entry = guest_held}, [](const KernelVmPager& pager) {
        const Results results{pager};
        fact("held", "came", results.count(0x31));
        tell_notes("held", results, 2);
    });
    try_guest({.name = "init", .entry = guest_init, .vcpus = 2}, [](const KernelVmPager& pager) {
        const Results results{pager, RESULTS_AP};
        fact("init", "first", results.note(1));
        fact("init", "second", results.note(2));
    });
    try_guest({.name = "nmi-halt", .entry = guest_nmi_halt}, [](const KernelVmPager& pager) {
        fact("nmi-halt", "sequence", Results{pager}.at(SEQUENCE));
    });
    try_guest({.name = "tsc", .entry = guest_tsc},
              [](const KernelVmPager& pager) { tell_notes("tsc", {pager}, 5); });
    try_guest({.name = "calls", .entry = guest_calls},
              [](const KernelVmPager& pager) { tell_notes("calls", {pager}, 3); });
    try_guest({.name = "ports", .entry = guest_ports},
              [](const KernelVmPager& pager) { tell_notes("ports", {pager}, 4); });
    try_guest({.name = "open-ports", .entry = guest_ports, .what = 1, .open_ports = true},
              [](const KernelVmPager& pager) { tell_notes("open-ports", {pager}, 7); });
    try_guest({.name = "strings", .entry = guest_strings}, [](const KernelVmPager& pager) {
        const Results results{pager};
        tell_notes("strings", results, 12);
        fact("strings", "fault-return", results.note(4) == place(at_rep_ins).value());
    });
    const auto vm = make_vm({.name = "long-string", .entry = guest_long_string});
    (void)run(*vm);
    const ExitHistory& history = vm->vcpu(0).history();
    unsigned port_accesses = 0;
    for (std::size_t age = 0; age < history.size(); ++age)
        port_accesses += std::holds_alternative<exit::PortAccess>(history.back(age).reason);
    fact("long-string", "port-accesses", port_accesses);
}

}  // namespace vmm::test
