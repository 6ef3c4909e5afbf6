// SPDX-License-Identifier: MIT
// Interrupts from the x2APIC, its timer and other vCPUs; events whose delivery faults itself.
#include <cstring>

#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label guest_interrupts, guest_two_nmis, guest_reinjection, guest_idt, reinject_labels;
extern "C" Label behind_shadow, behind_cpuid, behind_halt, behind_priority;

void test_interrupts() {
    constexpr std::string_view name = "interrupts";
    const FrameBalance balance{name};
    const auto vm = make_vm({.name = name, .entry = guest_interrupts, .vcpus = 2});
    (void)run(*vm);
    const Results first{vm.pager()};
    fact(name, "while-disabled", first.note(0));
    fact(name, "in-shadow", first.note(1));
    fact(name, "behind-shadow", first.note(2));
    fact(name, "shadow-return", first.returns_to(0x60, behind_shadow));
    fact(name, "cpuid-return", first.returns_to(0x61, behind_cpuid));
    fact(name, "halt-return", first.returns_to(0x62, behind_halt));
    fact(name, "sequence", first.at(SEQUENCE));
    fact(name, "next-in-sequence", first.at(SEQUENCE + 4) & 0xff);
    fact(name, "held-by-priority", first.note(3));
    fact(name, "priority-return", first.returns_to(0x64, behind_priority));
    fact(name, "one-shot", first.note(5));
    fact(name, "one-shot-left", first.note(4));
    fact(name, "periodic-came", first.count(0x41) >= 3);
    if (vm->vcpu(1).nested_faults() != 0) {
        const Results second{vm.pager(), RESULTS_AP};
        fact(name, "ipi-from-second",
             first.count(0x51) + first.count(0x53) + first.count(0x54) + first.count(0x56));
        fact(name, "ipi-to-second", second.count(0x52));
        fact(name, "nmi-to-second", second.count(2) >= 1);
        fact(name, "broadcast", second.count(0x55));
        fact(name, "broadcast-to-self", first.count(0x55));
    }

    const auto nmis = make_vm({.name = "two-nmis", .entry = guest_two_nmis});
    (void)run(*nmis);
    const Results results{nmis.pager()};
    fact("two-nmis", "in-first-handler", results.note(1));
    fact("two-nmis", "in-all", results.count(2));
}

namespace {

/// Looks whether the pages of the IDT and the stack came while an event was on its way.
class DeliveryWatcher final : public VmObserver {
   public:
    void before_fault_is_served(Gpa page, unsigned) override {
        const bool during_delivery = exit_interrupted_event((*vm)->vcpu(0).backend());
        if (page == place(guest_idt)) idt += during_delivery;
        if (page == Gpa{FRESH_STACK - page_size}) stack += during_delivery;
    }
    void mark(std::uint64_t, unsigned) override {}
    const KernelVm* vm = nullptr;
    unsigned idt = 0, stack = 0;
};

constexpr std::array<std::string_view, REINJECT_CASES> case_names{
    "reinject-interrupt", "reinject-int-n", "reinject-int3", "reinject-ud",
    "reinject-gp",        "reinject-nmi",   "reinject-pf",   "reinject-host-gp"};
constexpr std::array<std::uint8_t, REINJECT_CASES> case_vectors{0x60, 0x70, 3, 6, 13, 2, 14, 13};

}  // namespace

void test_reinjection() {
    for (unsigned number = 0; number < REINJECT_CASES; ++number) {
        const std::string_view name = case_names[number];
        const unsigned vector = case_vectors[number];
        const FrameBalance balance{name};
        DeliveryWatcher watcher;
        const auto vm = make_vm(
            {.name = name, .entry = guest_reinjection, .what = number, .observer = &watcher});
        watcher.vm = &vm;
        (void)run(*vm);
        const Results results{vm.pager()};
        fact(name, "handlers", results.at(ENTRIES));
        fact(name, "count", results.count(vector));
        fact(name, "error", results.error(vector));
        std::uint32_t wanted;
        std::memcpy(&wanted, reinject_labels + sizeof(wanted) * number, sizeof(wanted));
        fact(name, "return", results.at(RETURNS + 4 * vector) == wanted);
        if (number == REINJECT_PF) fact(name, "cr2", results.at(LAST_CR2));
        fact(name, "faults-on-idt", watcher.idt);
        fact(name, "faults-on-stack", watcher.stack);
    }
}

}  // namespace vmm::test
