// SPDX-License-Identifier: MIT
#include "vmm/main/plan.hh"

#include "kern/lib/number.hh"
#include "kern/lib/text.hh"

namespace vmm {

namespace {

using kern::take_until;
using kern::plan::Problem;
using kern::plan::set_number;

Problem set_page(Gpa& out, std::string_view text) {
    const auto value = kern::parse_number(text);
    if (!value || *value >= guest_physical_end || !Gpa{*value}.is_aligned())
        return "wants a page-aligned guest-physical address below 2^40";
    out = Gpa{*value};
    return nullptr;
}

Problem set_hold(HoldPlan& hold, std::string_view text) {
    if (hold.kind != HoldPlan::Kind::None) return "appears twice";
    if (const auto problem = set_page(hold.page, take_until(text, ':'))) return problem;
    const auto what = take_until(text, ':');
    if (what == "until") {
        hold.kind = HoldPlan::Kind::Until;
        if (const auto problem = set_page(hold.until, text)) return problem;
        return hold.until == hold.page ? "a page cannot wait for itself" : nullptr;
    }
    hold.kind = HoldPlan::Kind::Faults;
    if (!text.empty()) return "wants GPA:FAULTS or GPA:until:GPA";
    return set_number(hold.faults, what, 1, 8, "wants 1 to 8 vCPUs after GPA:");
}

Problem add_protect(VmPlan& vm, std::string_view text) {
    ProtectPlan protect;
    if (const auto problem = set_page(protect.page, take_until(text, ':'))) return problem;
    if (text != "r" && text != "rw" && text != "rx" && text != "rwx")
        return "wants r, rw, rx or rwx after GPA:";
    protect.permission = {.read = true, .write = text.contains('w'), .execute = text.contains('x')};
    return vm.protect.push(protect) ? nullptr : "appears more than 4 times";
}

Problem set_ports(VmPlan& vm, std::string_view text) {
    if (text != "strict" && text != "open") return "wants strict or open";
    vm.open_ports = text == "open";
    return nullptr;
}

Problem set_exits(VmPlan& vm, std::string_view text) {
    do {
        const auto one = take_until(text, ',');
        bool& wanted = one == "cr3" ? vm.exits.cr3_writes : vm.exits.page_faults;
        if (wanted || (one != "cr3" && one != "pf")) return "wants cr3, pf, or cr3,pf";
        wanted = true;
    } while (!text.empty());
    return nullptr;
}

Problem set_apic(VmPlan& vm, std::string_view text) {
    if (text != "x2apic" && text != "xapic") return "wants x2apic or xapic";
    vm.x2apic = text == "x2apic";
    return nullptr;
}

Problem set_key(VmPlan& vm, std::string_view key, std::string_view value) {
    if (key == "vcpus") return set_number(vm.vcpus, value, 1, 8, "wants a number from 1 to 8");
    if (key == "ram") return set_number(vm.ram_kib, value, 0, ~0ULL, "wants a number of KiB");
    if (key == "limit")
        return set_number(vm.limit_ms, value, 0, 86'400'000, "wants at most 86400000 ms");
    if (key == "keep") return set_number(vm.keep, value, 0, 1, "wants 0 or 1");
    if (key == "info") return set_page(vm.information, value);
    if (key == "hold") return set_hold(vm.hold, value);
    if (key == "hold_limit")
        return set_number(vm.hold_limit_ms, value, 1, 60'000, "wants 1 to 60000 ms");
    if (key == "fail") {
        vm.has_fail = true;
        return set_page(vm.fail, value);
    }
    if (key == "memory") {
        vm.has_memory = true;
        return set_number(vm.memory_frames, value, 0, 1ULL << 40, "wants a number of frames");
    }
    if (key == "protect") return add_protect(vm, value);
    if (key == "mmio") {
        Gpa page;
        if (const auto problem = set_page(page, value)) return problem;
        return vm.mmio.push(page) ? nullptr : "appears more than 4 times";
    }
    if (key == "ports") return set_ports(vm, value);
    if (key == "exits") return set_exits(vm, value);
    if (key == "apic") return set_apic(vm, value);
    return "is no key of a plan: see vmm/main/plan.hh";
}

}  // namespace

std::expected<std::size_t, kern::plan::PlanError> parse_plan(std::string_view text,
                                                             std::span<VmPlan> machines) {
    return kern::plan::parse<VmPlan>(
        text, machines,
        {.first_word = "vm",
         .other_first_word = "is not `vm`, with which a line begins",
         .too_many = "is one virtual machine too many",
         .same_name = "is another machine's already",
         .set_key = set_key,
         .check = [](const VmPlan&) { return kern::plan::PlanError{}; }});
}

}  // namespace vmm
