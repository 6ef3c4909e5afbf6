// SPDX-License-Identifier: MIT
// A kernel that tries out the hypervisor on the machine's own virtualization.
// vmm/tests/test_boot.py boots it with a command line of `nonce=NUMBER`, and to run one part
// alone `only=PART`.
#include "kern/boot/boot_info.hh"
#include "kern/lib/number.hh"
#include "vmm/tests/boot/machine.hh"

namespace {

using namespace vmm::test;

std::string_view option(std::string_view line, std::string_view key) {
    const std::size_t at = line.find(key);
    if (at == std::string_view::npos) return {};
    line.remove_prefix(at + key.size());
    return line.substr(0, line.find(' '));
}

struct Part {
    std::string_view name;
    void (*run)();
};

void test_refusals() {
    is_svm() ? test_entry_failures() : test_vmx_entry_failures();
}

constexpr std::array parts{
    Part{"sharing", test_sharing_a_cpu},
    Part{"interrupts", test_interrupts},
    Part{"reinjection", test_reinjection},
    Part{"shootdown", test_shootdown},
    Part{"refusals", test_refusals},
    Part{"kills", test_kills},
    Part{"vcpu", test_vcpu},
    Part{"stepping", test_stepping},
    Part{"hostile", test_hostile_guests},
};

}  // namespace

void kernel_main(const kern::BootInfo& boot) {
    const std::string_view line = boot.command_line.view();
    nonce = static_cast<std::uint32_t>(kern::parse_number(option(line, "nonce=")).value_or(0));
    const std::string_view only = option(line, "only=");
    if (const char* const reason = choose_backend()) {
        kern::kprint("no virtual machines: {}\n", reason);
        return;
    }
    if (const auto ready = vmm::Vm::prepare(backend()); !ready) {
        kern::kprint("no virtual machines: {}\n", ready.error());
        return;
    }
    for (const Part& part : parts)
        if (only.empty() || only == part.name) part.run();
    kern::kprint("all done\n");
}
