// SPDX-License-Identifier: MIT
#include "vmm/main/plan.hh"

#include <algorithm>
#include <optional>

#include "kern/lib/number.hh"

namespace vmm {

namespace {

/// A key's value was accepted (nullptr), or what is wrong with it.
using Problem = const char*;

template <class Number>
Problem set_number(Number& out, std::string_view text, std::uint64_t least, std::uint64_t most,
                   Problem problem) {
    const auto value = kern::parse_number(text);
    if (!value || *value < least || *value > most) return problem;
    out = static_cast<Number>(*value);
    return nullptr;
}

Problem set_page(Gpa& out, std::string_view text) {
    const auto value = kern::parse_number(text);
    if (!value || *value >= guest_physical_end || !Gpa{*value}.is_aligned())
        return "wants a page-aligned guest-physical address below 2^40";
    out = Gpa{*value};
    return nullptr;
}

bool is_name_character(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
}

/// Takes the text up to `divider` off `text`; all of it where there is none.
std::string_view take_until(std::string_view& text, char divider) {
    const auto end = std::min(text.find(divider), text.size());
    const auto head = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return head;
}

Problem set_hold(HoldPlan& hold, std::string_view text) {
    if (hold.kind != HoldPlan::Kind::None) return "stands twice";
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
    if (vm.protect_count == VmPlan::max_pages) return "stands more than 4 times";
    ProtectPlan& protect = vm.protect[vm.protect_count];
    if (const auto problem = set_page(protect.page, take_until(text, ':'))) return problem;
    if (text != "r" && text != "rw" && text != "rx" && text != "rwx")
        return "wants r, rw, rx or rwx after GPA:";
    protect.permission = {.read = true, .write = text.contains('w'), .execute = text.contains('x')};
    ++vm.protect_count;
    return nullptr;
}

Problem set_text(std::string_view& out, std::string_view text, std::size_t most, Problem problem) {
    if (text.empty() || text.size() > most || !std::ranges::all_of(text, is_name_character))
        return problem;
    out = text;
    return nullptr;
}

Problem set_ports(VmPlan& vm, std::string_view text) {
    if (text != "strict" && text != "open") return "wants strict or open";
    vm.open_ports = text == "open";
    return nullptr;
}

Problem set_key(VmPlan& vm, std::string_view key, std::string_view value) {
    if (key == "name")
        return set_text(vm.name, value, 31, "wants 1 to 31 letters, digits, '-', '_' or '.'");
    if (key == "file")
        return set_text(vm.file, value, 47, "wants 1 to 47 letters, digits, '-', '_' or '.'");
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
        if (vm.mmio_count == VmPlan::max_pages) return "stands more than 4 times";
        return set_page(vm.mmio[vm.mmio_count++], value);
    }
    if (key == "ports") return set_ports(vm, value);
    return "is no key of a plan: see vmm/main/plan.hh";
}

std::string_view without_leading_spaces(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r"), text.size()));
    return text;
}

std::expected<VmPlan, PlanError> parse_line(std::string_view text, unsigned line) {
    const auto fail = [&](std::string_view key, Problem problem) {
        return std::unexpected(PlanError{.line = line, .key = key, .problem = problem});
    };
    const auto first = take_until(text, ' ');
    if (first != "vm") return fail(first, "is not `vm`, with which a line begins");
    VmPlan vm;
    for (text = without_leading_spaces(text); !text.empty(); text = without_leading_spaces(text)) {
        if (text.starts_with("args=")) {
            vm.args = text.substr(5);
            break;
        }
        auto word = take_until(text, ' ');
        if (!word.contains('=')) return fail(word, "is no KEY=VALUE");
        const auto key = take_until(word, '=');
        if (const auto problem = set_key(vm, key, word)) return fail(key, problem);
    }
    if (vm.name.empty()) return fail("name", "is missing");
    if (vm.file.empty()) return fail("file", "is missing");
    return vm;
}

}  // namespace

std::expected<std::size_t, PlanError> parse_plan(std::string_view text,
                                                 std::span<VmPlan> machines) {
    std::size_t count = 0;
    for (unsigned line = 1; !text.empty(); ++line) {
        auto words = without_leading_spaces(take_until(text, '\n'));
        while (words.ends_with(' ') || words.ends_with('\r')) words.remove_suffix(1);
        if (words.empty() || words.starts_with('#')) continue;
        auto vm = parse_line(words, line);
        if (!vm) return std::unexpected(vm.error());
        if (count == machines.size())
            return std::unexpected(PlanError{line, vm->name, "is one virtual machine too many"});
        const auto others = machines.first(count);
        if (std::ranges::find(others, vm->name, &VmPlan::name) != others.end())
            return std::unexpected(PlanError{line, "name", "is another machine's already"});
        machines[count++] = *vm;
    }
    return count;
}

}  // namespace vmm
