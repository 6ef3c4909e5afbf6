// SPDX-License-Identifier: MIT
// Guests that write registers by which a guest can end the emulator, or stop the host: the VM goes on
// or ends, and the others go on.
#include "vmm/exits/exits.hh"
#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label guest_priority, guest_task_register, guest_ring3, guest_breakpoints,
    guest_no_breakpoints, guest_breaks_host, guest_unmaps_itself, guest_finish;

namespace {

/// Runs it, and states the first `count` of its notes.
void try_guest(std::string_view name, const std::byte* entry, unsigned count,
               std::uint32_t what = 0) {
    constexpr std::array<std::string_view, 10> keys{"note-0", "note-1", "note-2", "note-3",
                                                    "note-4", "note-5", "note-6", "note-7",
                                                    "note-8", "note-9"};
    const FrameBalance balance{name};
    const auto vm = make_vm({.name = name, .entry = entry, .what = what});
    if (run(*vm).end != VmResult::End::Exited) return;
    for (unsigned i = 0; i < count; ++i)
        fact(name, keys[i], word(vm.pager(), RESULTS + NOTES + 4 * i));
}

std::uint32_t count_of(const KernelVm& vm, unsigned vector) {
    return word(vm.pager(), RESULTS + COUNTS + 4 * vector);
}

}  // namespace

void test_hostile_guests() {
    {
        const FrameBalance balance{"cr8"};
        const auto vm = make_vm({.name = "cr8", .entry = guest_priority});
        if (run(*vm).end == VmResult::End::Exited) {
            fact("cr8", "read-back", word(vm.pager(), RESULTS + NOTES));
            fact("cr8", "protection", count_of(vm, vector::general_protection));
            fact("cr8", "while-held", word(vm.pager(), RESULTS + NOTES + 4));
            fact("cr8", "interrupts", count_of(vm, 0x30));
        }
    }
    try_guest("task-register", guest_task_register, 10);
    try_guest("task-register-stepping", guest_task_register, 10, 1);
    try_guest("ring3", guest_ring3, 0);
    try_guest("breakpoints", guest_breakpoints, 0);
    try_guest("no-breakpoints", guest_no_breakpoints, 10);
    // An instruction that this kernel executes at each exit.
    const auto address = reinterpret_cast<std::uintptr_t>(handle_exit);
    try_guest("breaks-host", guest_breaks_host, 1, static_cast<std::uint32_t>(address));
    try_guest("unmaps-itself", guest_unmaps_itself, 0);
    (void)run(*make_vm({.name = "after-hostile", .entry = guest_finish}));
}

}  // namespace vmm::test
