// SPDX-License-Identifier: MIT
// Guests that do what no guest may: the VM ends with a report, and the host goes on.
#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label kill_triple_fault, kill_out, kill_in, kill_ins, kill_outs, kill_nowhere, kill_hole,
    kill_halt, kill_loop;
extern "C" Label at_triple_fault, at_out, at_in, at_ins, at_outs, at_hole, at_halt;
extern "C" Label guest_refused, guest_finish;

namespace {

struct Kill {
    const char* name;
    const std::byte* entry;
    const std::byte* rip;  ///< where the guest stands at its end; null: not known
};

const std::array kills{
    Kill{"triple-fault", kill_triple_fault, nullptr},
    Kill{"out", kill_out, at_out},
    Kill{"in", kill_in, at_in},
    Kill{"ins", kill_ins, at_ins},
    Kill{"outs", kill_outs, at_outs},
    Kill{"nowhere", kill_nowhere, nullptr},
    Kill{"hole", kill_hole, at_hole},
    Kill{"halt", kill_halt, at_halt},
};

/// What a report should say of the bytes at RIP.
void state_bytes(std::string_view name, const std::byte* at) {
    std::array<char, 64> text;
    std::size_t length = 0;
    for (unsigned i = 0; i < 16; ++i)
        length += kern::format_text(std::span{text}.subspan(length), "{:02x} ",
                                    std::to_integer<std::uint8_t>(at[i]))
                      .size();
    fact(name, "bytes", std::string_view{text.data(), length});
}

}  // namespace

void test_kills() {
    for (const Kill& kill : kills) {
        kern::kprint("begin {}\n", kill.name);
        const FrameBalance balance{kill.name};
        const auto vm = make_vm({.name = kill.name, .entry = kill.entry});
        (void)run(*vm);
        fact(kill.name, "rip", vm->vcpu(0).registers().rip);
        fact(kill.name, "exits", vm->exits());
        fact(kill.name, "entry", place(kill.entry).value());
        if (kill.rip != nullptr) {
            fact(kill.name, "wanted-rip", place(kill.rip).value());
            state_bytes(kill.name, kill.rip);
        }
        kern::kprint("end {}\n", kill.name);
    }
    const FrameBalance balance{"loop"};
    (void)run(*make_vm({.name = "loop", .entry = kill_loop, .limit_ms = 50}));

    // QEMU refuses the entry after a write of CR4.VMXE, which AMD does not have, instead of a #GP.
    const auto refused =
        make_vm({.name = "refused", .entry = guest_refused, .what = is_svm() ? 0U : 1U});
    (void)run(*refused);
    const auto count = [&](std::uint64_t vector) -> std::uint32_t {
        return word(refused.pager(), RESULTS + COUNTS + 4 * vector);
    };
    fact("refused", "invalid-opcode", count(vector::invalid_opcode));
    fact("refused", "protection", count(vector::general_protection));

    (void)run(*make_vm({.name = "after-kills", .entry = guest_finish}));
}

}  // namespace vmm::test
