// SPDX-License-Identifier: MIT
// Task lab4.guest_cpuid: policies and hosts of random bits, so that each bit has one right value.
#include "vmm/exits/guest_cpuid.hh"

#include <array>
#include <map>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "labs/unit_fixture.hh"

namespace lab {
namespace {

using kern::arch::CpuidResult;
using vmm::CpuidLeaf;
using vmm::CpuidView;
using vmm::Registers;

constexpr std::uint32_t last_basic = 0x10;
constexpr std::uint32_t last_hypervisor = 0x4000'0001;
constexpr std::uint32_t last_extended = 0x8000'0008;
constexpr CpuidView alone{.vcpu_index = 0, .vcpu_count = 1, .timestamp_khz = 0};

CpuidResult any_result() {
    const auto word = [] { return static_cast<std::uint32_t>(random().next()); };
    return {.eax = word(), .ebx = word(), .ecx = word(), .edx = word()};
}

class GuestCpuid : public ::testing::Test {
   protected:
    void SetUp() override { kern::arch::fake::reset(); }

    /// The host answers `leaf` with random bits, and other ones for its second subleaf.
    CpuidResult host_has(std::uint32_t leaf) {
        const CpuidResult result = any_result();
        kern::arch::fake::set_cpuid(leaf, 0, result);
        kern::arch::fake::set_cpuid(leaf, 1, any_result());
        return result;
    }
    /// Adds a leaf to the policy.
    void allow(const CpuidLeaf& leaf) { leaves_.push_back(leaf); }
    /// What a vendor does beyond the end.
    void answer_beyond_like_intel() { beyond_is_highest_basic_ = true; }

    /// CPUID in the guest; the upper halves of what it asks with are full of ones.
    Registers ask(std::uint32_t leaf, std::uint32_t subleaf = 0, const CpuidView& view = alone) {
        constexpr std::uint64_t upper = 0xffff'ffff'0000'0000;
        before_ = {.rax = upper | leaf,
                   .rcx = upper | subleaf,
                   .rdx = random().next() | upper,
                   .rbx = random().next() | upper,
                   .rsp = random().next(),
                   .rsi = random().next(),
                   .r8 = random().next(),
                   .rip = random().next(),
                   .rflags = random().next()};
        Registers registers = before_;
        guest_cpuid({.leaves = leaves_,
                     .ranges = {{{0, last_basic},
                                 {0x4000'0000, last_hypervisor},
                                 {0x8000'0000, last_extended}}},
                     .beyond_is_highest_basic = beyond_is_highest_basic_},
                    view, registers);
        return registers;
    }
    const Registers& before() const { return before_; }

   private:
    std::vector<CpuidLeaf> leaves_;
    Registers before_{};
    bool beyond_is_highest_basic_ = false;
};

std::string in_words(const CpuidResult& result) {
    return "EAX " + hex(result.eax) + ", EBX " + hex(result.ebx) + ", ECX " + hex(result.ecx) +
           ", EDX " + hex(result.edx);
}
/// The lower halves.
CpuidResult answer_in(const Registers& registers) {
    const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
    return {low(registers.rax), low(registers.rbx), low(registers.rcx), low(registers.rdx)};
}
::testing::AssertionResult is(const CpuidResult& seen, const CpuidResult& wanted) {
    if (in_words(seen) == in_words(wanted)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "the answer is " << in_words(seen) << "; wanted is " << in_words(wanted);
}

TEST_F(GuestCpuid, KeepsWhatThePolicyKeeps) {
    for (const std::uint32_t leaf : {0x3U, 0x4000'0000U, 0x8000'0002U}) {
        const CpuidResult host = host_has(leaf);
        const CpuidResult kept = any_result();
        allow({.leaf = leaf, .kept = kept});
        EXPECT_TRUE(is(answer_in(ask(leaf)), {.eax = host.eax & kept.eax,
                                              .ebx = host.ebx & kept.ebx,
                                              .ecx = host.ecx & kept.ecx,
                                              .edx = host.edx & kept.edx}))
            << "leaf " << hex(leaf) << ", the host says " << in_words(host);
    }
}

TEST_F(GuestCpuid, AddsWhatThePolicyAdds) {
    const CpuidResult host = host_has(5);
    const CpuidResult kept = any_result();
    const CpuidResult added = any_result();
    allow({.leaf = 5, .kept = kept, .added = added});
    EXPECT_TRUE(is(answer_in(ask(5)), {.eax = (host.eax & kept.eax) | added.eax,
                                       .ebx = (host.ebx & kept.ebx) | added.ebx,
                                       .ecx = (host.ecx & kept.ecx) | added.ecx,
                                       .edx = (host.edx & kept.edx) | added.edx}))
        << "a bit that is added is set, also where the host has it, or the policy keeps it not";
}

TEST_F(GuestCpuid, HidesALeafThatThePolicyDoesNotName) {
    host_has(0xd);
    host_has(0x8000'0007);
    allow({.leaf = 0xc, .added = any_result()});
    for (const std::uint32_t leaf : {0xdU, 0x8000'0007U})
        EXPECT_TRUE(is(answer_in(ask(leaf)), {}))
            << "leaf " << hex(leaf) << " is in its range, and the policy does not name it";
}

TEST_F(GuestCpuid, HasOneSubleafWhereThePolicySaysSo) {
    const CpuidResult host = host_has(7);
    const CpuidResult kept = any_result();
    allow({.leaf = 7, .has_subleaves = true, .kept = kept, .added = {.edx = 1}});
    EXPECT_TRUE(is(answer_in(ask(7, 0)), {.eax = host.eax & kept.eax,
                                          .ebx = host.ebx & kept.ebx,
                                          .ecx = host.ecx & kept.ecx,
                                          .edx = (host.edx & kept.edx) | 1}));
    for (const std::uint32_t subleaf : {1U, 0x8000'0000U})
        EXPECT_TRUE(is(answer_in(ask(7, subleaf)), {})) << "subleaf " << hex(subleaf);
}

TEST_F(GuestCpuid, DoesNotLookAtEcxOtherwise) {
    const CpuidResult host = host_has(9);
    allow({.leaf = 9, .kept = {~0U, ~0U, ~0U, ~0U}});
    for (const std::uint32_t subleaf : {0U, 1U, 77U})
        EXPECT_TRUE(is(answer_in(ask(9, subleaf)), host))
            << "a leaf without subleaves, ECX is " << subleaf;
}

TEST_F(GuestCpuid, ClearsTheUpperHalves) {
    const CpuidResult host = host_has(2);
    allow({.leaf = 2, .kept = {~0U, ~0U, ~0U, ~0U}});
    const Registers seen = ask(2);
    EXPECT_TRUE(is(answer_in(seen), host));
    for (const std::uint64_t value : {seen.rax, seen.rbx, seen.rcx, seen.rdx})
        EXPECT_EQ(value >> 32, 0U) << "an upper half was kept: " << hex(value);
}

TEST_F(GuestCpuid, ChangesNoOtherRegister) {
    host_has(2);
    allow({.leaf = 2, .kept = {~0U, ~0U, ~0U, ~0U}});
    const Registers seen = ask(2);
    EXPECT_TRUE(seen.rsp == before().rsp && seen.rsi == before().rsi && seen.r8 == before().r8 &&
                seen.rip == before().rip && seen.rflags == before().rflags)
        << "a register beside RAX, RBX, RCX and RDX has changed";
}

TEST_F(GuestCpuid, TellsTheFeaturesLeafWhichVcpuItIs) {
    const CpuidResult host = host_has(1);
    const CpuidResult kept{.eax = ~0U, .ebx = 0xffff, .ecx = ~0U, .edx = ~(1U << 28)};
    allow({.leaf = 1, .kept = kept});
    for (const unsigned count : {2U, 5U}) {
        const unsigned index = count - 1;
        EXPECT_TRUE(is(answer_in(ask(1, 0, {.vcpu_index = index, .vcpu_count = count})),
                       {.eax = host.eax,
                        .ebx = (host.ebx & 0xffff) | count << 16 | index << 24,
                        .ecx = host.ecx,
                        .edx = host.edx | 1U << 28}))
            << "vCPU " << index << " of " << count;
    }
}

TEST_F(GuestCpuid, OneVcpuAloneIsNotSeveral) {
    host_has(1);
    allow({.leaf = 1});
    EXPECT_TRUE(is(answer_in(ask(1)), {.ebx = 1 << 16})) << "vCPU 0 of 1";
}

TEST_F(GuestCpuid, TellsTheTopology) {
    host_has(0xb);
    allow({.leaf = 0xb});
    struct Case {
        unsigned count;
        std::uint32_t shift;
    };
    for (const auto& [count, shift] :
         {Case{1, 0}, Case{2, 1}, Case{3, 2}, Case{4, 2}, Case{5, 3}, Case{8, 3}}) {
        const unsigned index = count - 1;
        const CpuidView view{.vcpu_index = index, .vcpu_count = count};
        EXPECT_TRUE(is(answer_in(ask(0xb, 0, view)), {.ebx = 1, .ecx = 0x100, .edx = index}))
            << "subleaf 0, vCPU " << index << " of " << count;
        EXPECT_TRUE(is(answer_in(ask(0xb, 1, view)),
                       {.eax = shift, .ebx = count, .ecx = 0x201, .edx = index}))
            << "subleaf 1, vCPU " << index << " of " << count;
    }
}

TEST_F(GuestCpuid, TheTopologyHasTwoLevels) {
    host_has(0xb);
    allow({.leaf = 0xb});
    const CpuidView view{.vcpu_index = 2, .vcpu_count = 4};
    for (const std::uint32_t subleaf : {2U, 0xffU, 0x102U})
        EXPECT_TRUE(is(answer_in(ask(0xb, subleaf, view)), {.ecx = subleaf & 0xff, .edx = 2}))
            << "subleaf " << hex(subleaf);
}

TEST_F(GuestCpuid, TellsHowManyVcpusThereAre) {
    host_has(0x8000'0008);
    allow({.leaf = 0x8000'0008, .added = {.eax = 0x3028}});
    EXPECT_TRUE(is(answer_in(ask(0x8000'0008, 0, {.vcpu_index = 1, .vcpu_count = 6})),
                   {.eax = 0x3028, .ecx = 5}))
        << "6 vCPUs";
    allow({.leaf = 0x4000'0001, .added = {.ecx = 1'000'000}});
    EXPECT_TRUE(is(answer_in(ask(0x4000'0001, 0,
                                 {.vcpu_index = 1, .vcpu_count = 6, .timestamp_khz = 2'400'000})),
                   {.eax = 6, .ebx = 2'400'000, .ecx = 1'000'000}))
        << "6 vCPUs, a time-stamp counter of 2.4 GHz";
}

constexpr std::array beyond{last_basic + 1, 0x3fff'ffffU,      last_hypervisor + 1,
                            0x7fff'ffffU,   last_extended + 1, 0xffff'ffffU};

TEST_F(GuestCpuid, LeavesBeyondTheEndAreZerosOnAmd) {
    for (const std::uint32_t leaf : beyond) {
        host_has(leaf);
        EXPECT_TRUE(is(answer_in(ask(leaf)), {})) << "leaf " << hex(leaf) << " on AMD";
    }
}

TEST_F(GuestCpuid, LeavesBeyondTheEndAreTheHighestBasicOneOnIntel) {
    answer_beyond_like_intel();
    const CpuidResult host = host_has(last_basic);
    allow({.leaf = last_basic, .has_subleaves = true, .kept = {~0U, ~0U, ~0U, ~0U}});
    for (const std::uint32_t leaf : beyond) {
        host_has(leaf);
        EXPECT_TRUE(is(answer_in(ask(leaf)), host))
            << "leaf " << hex(leaf) << " on Intel, where leaf " << hex(last_basic)
            << " is the highest basic one";
    }
    EXPECT_TRUE(is(answer_in(ask(last_extended + 1, 1)), {})) << "subleaf 1 of it";
    host_has(0xd);
    EXPECT_TRUE(is(answer_in(ask(0xd)), {}))
        << "leaf 0xd is in its range, and the policy does not name it";
}

}  // namespace
}  // namespace lab
