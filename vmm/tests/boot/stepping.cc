// SPDX-License-Identifier: MIT
// Guests that step (RFLAGS.TF): a #DB right behind each instruction, also where the host does it, and
// however many prefixes it has.
#include <span>

#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label guest_step, guest_prefix, guest_prefix64;

namespace {

/// Where the steps must end, in the order in which they come.
using Places = const std::byte* const[];
extern "C" Places steps_of_step, steps_of_prefix, steps_of_prefix64, end_of_steps;

struct Case {
    std::string_view name;
    const std::byte* entry;
    std::uint32_t steps;  ///< whether it does
    std::span<const std::byte* const> places;
};

void run_case(const Case& stepping) {
    const std::string_view name = stepping.name;
    const FrameBalance balance{name};
    const auto vm = make_vm({.name = name, .entry = stepping.entry, .what = stepping.steps});
    if (run(*vm).end != VmResult::End::Exited) return;
    const KernelVmPager& pager = vm.pager();
    const std::uint32_t steps = word(pager, MODE);
    fact(name, "steps", steps);
    fact(name, "places", stepping.places.size());
    // The number of the first one that is elsewhere, or all.
    std::uint32_t good = 0;
    const auto is_good = [&](std::uint32_t number) {
        const std::uint64_t at = SAVED + 8 * number;
        return word(pager, at) == place(stepping.places[number]).value() &&
               (word(pager, at + 4) & dr6::single_step) != 0;
    };
    while (good < steps && good < stepping.places.size() && is_good(good)) ++good;
    fact(name, "right", good);
    if (stepping.entry != guest_prefix64) return;
    const char* const written[]{"dr1", "dr2", "dr3", "cr8"};
    for (unsigned i = 0; i < std::size(written); ++i)
        fact(name, written[i], word(pager, RESULTS + NOTES + 4 * i));
}

}  // namespace

void test_stepping() {
    const std::span step{steps_of_step, steps_of_prefix};
    const std::span prefix{steps_of_prefix, steps_of_prefix64};
    const std::span prefix64{steps_of_prefix64, end_of_steps};
    run_case({"step", guest_step, 1, step});
    run_case({"prefix", guest_prefix, 0, prefix});
    run_case({"prefix-64", guest_prefix64, 0, prefix64});
    run_case({"prefix-stepping", guest_prefix, 1, prefix});
    run_case({"prefix-64-stepping", guest_prefix64, 1, prefix64});
}

}  // namespace vmm::test
