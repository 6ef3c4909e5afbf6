// SPDX-License-Identifier: MIT
// Tasks lab4.effective_address and lab4.decode_access on two CPUs, in every order that matters
// (kern/arch/explore). They have nothing in common, so none may see the other.
#include "instructions.hh"
#include "vmm/exits/decode_access.hh"
#include "vmm/tests/support/exploration.hh"

namespace lab {
namespace {

using kern::explore::broken;
using kern::explore::Exploration;
using vmm::test::holds;

TEST(EffectiveAddressExplore, TwoVcpusDecodeAtOnce) {
    const Ground ground{.registers = {.rax = 0x1000, .rbx = 0x2000}};
    Exploration orders{"effective_address.cc"};
    for (const auto& [bytes, wanted] : {std::pair{as_bytes({0x8b, 0x40, 0x10}), 0x1010ULL},
                                        {as_bytes({0x8b, 0x43, 0x20}), 0x2020ULL}})
        orders.cpu([&ground, bytes, wanted] {
            const auto found = vmm::effective_address(bytes, {}, 1, 0, ground.state());
            if (!found || found->address != vmm::Gva{wanted})
                broken("the operand of " + in_words(bytes) + "is not at " + hex(wanted));
        });
    EXPECT_TRUE(holds(orders)) << "two vCPUs decode, each an instruction of its own";
}

TEST(DecodeAccessExplore, TwoVcpusDecodeAtOnce) {
    const Ground ground{.registers = {.rax = 0x1000, .rbx = 0x2000}};
    Exploration orders{"decode_access.cc"};
    for (const auto& [bytes, wanted] : {std::pair{as_bytes({0xc6, 0x00, 0x11}), 0x11U},
                                        {as_bytes({0x66, 0xc7, 0x03, 0x22, 0x22}), 0x2222U}})
        orders.cpu([&ground, bytes, wanted] {
            const auto found = vmm::decode_access(bytes, ground.state());
            if (!found || found->immediate != wanted || found->length != bytes.size())
                broken(in_words(bytes) + "does not store " + hex(wanted));
        });
    EXPECT_TRUE(holds(orders)) << "two vCPUs decode, each an instruction of its own";
}

}  // namespace
}  // namespace lab
