// SPDX-License-Identifier: MIT
// Many vCPUs in turn on one CPU: none sees another's memory or registers.
#include <cstring>
#include <memory>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/processor_state.hh"
#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label guest_memory, guest_state;

namespace {

/// A vCPU with memory of its own, run by hand on this CPU.
struct Guest {
    std::uint32_t word = 0;
    std::unique_ptr<KernelVmPager> pager;
    std::unique_ptr<VcpuBackend> vcpu;

    void make(std::uint32_t value, const std::byte* entry, std::uint32_t what) {
        word = value;
        pager = make_pager(word);
        auto made = backend().create_vcpu(*pager);
        kern::check(made.has_value(), "no memory for a vCPU");
        vcpu = std::move(*made);
        vcpu->start_protected_mode(place(entry), value, what);
    }
    void run() { run_to_hypercall(*vcpu, *pager); }
};

constexpr unsigned guest_count = 40;  // QEMU's CPUs have 15 ASIDs for guests
constexpr unsigned rounds = 5;

/// Spreads the nonce.
std::uint32_t value_of(unsigned index) {
    return (nonce + index) * 0x9e37'79b1U;
}

// ECX of leaf 1.
constexpr std::uint32_t cpuid_xsave = 1U << 27;  // and CR4.OSXSAVE is set
constexpr std::uint32_t cpuid_avx = 1U << 28;

bool has_features(std::uint32_t bits) {
    return (kern::arch::cpuid(1).ecx & bits) == bits;
}

void share_address_spaces() {
    constexpr std::string_view name = "asid";
    const FrameBalance balance{name};
    // Not std::make_unique: from libstdc++ 13 on a freestanding <memory> has none.
    const std::unique_ptr<std::array<Guest, guest_count>> guests{
        new std::array<Guest, guest_count>{}};
    for (unsigned i = 0; i < guest_count; ++i) (*guests)[i].make(value_of(i), guest_memory, 0);
    unsigned wrong = 0, zero_asids = 0, highest_asid = 0;
    const auto visit = [&](Guest& guest, std::uint64_t visits) {
        guest.run();
        if (guest.vcpu->registers.rdx != guest.word) ++wrong;
        if (guest.vcpu->registers.rsi != visits) ++wrong;
        const std::uint32_t asid = address_space_of(*guest.vcpu);
        if (asid == 0) ++zero_asids;
        highest_asid = std::max(highest_asid, asid);
    };
    // All in turn, which takes a new generation in each round; then two that keep their ASIDs.
    for (unsigned round = 1; round <= rounds; ++round)
        for (Guest& guest : *guests) visit(guest, round);
    for (unsigned round = rounds + 1; round <= 4 * rounds; ++round) {
        visit((*guests)[0], round);
        visit((*guests)[1], round);
    }
    fact(name, "wrong", wrong);
    fact(name, "zero", zero_asids);
    fact(name, "highest", highest_asid);
    fact(name, "two-apart",
         address_space_of(*(*guests)[0].vcpu) != address_space_of(*(*guests)[1].vcpu));
    fact(name, "available",
         is_svm() ? kern::arch::cpuid(0x8000'000a).ebx : vmx::VpidAllocator::all);
}

constexpr std::size_t saved_size = SAVED_AVX + 8 * 32 - SAVED;
using Saved = std::array<std::byte, saved_size>;

Saved saved_by(const Guest& guest) {
    Saved saved;
    const auto at = guest.pager->gpa2hpa(Gpa{SAVED});
    kern::check(at.has_value(), "the guest has saved nothing");
    std::memcpy(saved.data(), kern::arch::direct_map(*at), saved.size());
    return saved;
}

std::uint32_t word_of(const Saved& saved, std::size_t at) {
    std::uint32_t value;
    std::memcpy(&value, saved.data() + at, sizeof(value));
    return value;
}

/// What guest_state put into the registers.
std::uint32_t pattern(const Guest& guest, std::size_t index) {
    return guest.word + static_cast<std::uint32_t>(index) * 0x9e37'79b9U;
}

// Within FXSAVE's area [amd/vol2 11.4.4].
constexpr std::size_t mxcsr_at = 24;
constexpr std::size_t xmm_at = 160;
constexpr std::uint32_t mxcsr_rounding = 0x6000;
constexpr std::uint32_t reset_mxcsr = 0x1f80;

bool holds_pattern(const Guest& guest, const Saved& saved, bool with_avx) {
    bool good = word_of(saved, mxcsr_at) == ((guest.word & mxcsr_rounding) | reset_mxcsr);
    for (std::size_t i = 0; i < 8 * 4; ++i)
        good = good && word_of(saved, xmm_at + 4 * i) == pattern(guest, i);
    for (std::size_t i = 0; i < 4; ++i)
        good = good && word_of(saved, SAVED_DEBUG - SAVED + 4 * i) == pattern(guest, i);
    for (std::size_t i = 0; with_avx && i < 8 * 4; ++i) {
        const std::size_t upper = 4 * (7 - i / 4) + i % 4;
        const std::size_t at = SAVED_AVX - SAVED + 32 * (i / 4) + 16 + 4 * (i % 4);
        good = good && word_of(saved, at) == pattern(guest, upper);
    }
    return good;
}

bool is_reset_state(const Saved& saved) {
    bool good = word_of(saved, 0) == 0x37f && word_of(saved, mxcsr_at) == reset_mxcsr;
    for (std::size_t at = 32; at < SAVED_DEBUG + 16 - SAVED; at += 4)
        good = good && word_of(saved, at) == 0;
    return good;
}

/// Whether guests can use AVX although they are told that there is none: some machines (QEMU 7.2, and
/// not 10.0) have no intercept of XSETBV.
bool can_use_avx() {
    if (!has_features(cpuid_xsave | cpuid_avx)) return false;
    Guest guest;
    guest.make(value_of(50), guest_state, 2);
    const Exit exit = run_until_it_asks(*guest.vcpu, *guest.pager);
    return std::holds_alternative<exit::Hypercall>(exit.reason);
}

void share_registers() {
    constexpr std::string_view name = "state";
    const FrameBalance balance{name};
    const bool has_avx = can_use_avx();
    fact(name, "avx", has_avx);
    const std::uint32_t what = has_avx ? 2 : 1;
    Guest a, b, untouched;
    a.make(value_of(100), guest_state, what);
    b.make(value_of(200) ^ mxcsr_rounding, guest_state, what);
    untouched.make(value_of(300), guest_state, 0);
    a.run();
    const Saved a_first = saved_by(a);
    b.run();
    const Saved b_first = saved_by(b);
    unsigned changed = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        a.run();
        if (saved_by(a) != a_first) ++changed;
        b.run();
        if (saved_by(b) != b_first) ++changed;
    }
    untouched.run();
    fact(name, "a-holds", holds_pattern(a, a_first, has_avx));
    fact(name, "b-holds", holds_pattern(b, b_first, has_avx));
    fact(name, "apart", a_first != b_first);
    fact(name, "changed", changed);
    fact(name, "third-is-fresh", is_reset_state(saved_by(untouched)));
}

}  // namespace

void test_sharing_a_cpu() {
    kern::check(backend().enable_on_this_cpu().has_value(), "virtualization cannot be turned on");
    // Comes first in this boot: no vCPU has been here yet.
    const bool has_xsave = has_features(cpuid_xsave);
    const std::uint64_t host_xcr0 = has_xsave ? kern::arch::read_xcr0() : 0;
    share_address_spaces();
    share_registers();
    fact("state", "host-kept", !has_xsave || kern::arch::read_xcr0() == host_xcr0);
}

}  // namespace vmm::test
