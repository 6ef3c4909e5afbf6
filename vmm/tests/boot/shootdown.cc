// SPDX-License-Identifier: MIT
// Pages are taken from a guest whose other vCPU reads and writes them all the time. Once unmap or
// protect has returned, that vCPU must not use the old translation once more.
#include "kern/arch/arch.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label guest_shootdown;

namespace {

/// What it does at each `mark` of vCPU 0, while vCPU 1 goes on.
class PageTaker final : public VmObserver {
   public:
    void before_fault_is_served(Gpa, unsigned) override {}

    void mark(std::uint64_t round, unsigned) override {
        wait_for_progress();
        if (round <= SHOOTDOWN_ROUNDS)
            take_pages();
        else if (protects)
            take_permission();
    }

    void free_frames() {
        for (unsigned i = 0; i < taken_count_; ++i)
            kern::frames().free(frame_owner::guest_memory, taken_[i]);
    }

    /// The page that lost its permission, looked at when the guest is gone.
    bool kept_its_value() const {
        return protected_ && word(vm->pager(), WRITTEN) == protected_value_;
    }

    unsigned taken() const { return taken_count_; }

    const KernelVm* vm = nullptr;
    bool protects = true;
    unsigned stale_writes = 0;
    unsigned rounds = 0;

   private:
    static constexpr std::uint64_t patience_ns = 20'000'000'000;
    static constexpr std::uint32_t laps = 2000;

    /// vCPU 1 has gone round so many times since now. It may be up to a lap further than it says.
    void wait_for_progress() {
        const auto goes_on = [&] { return kern::arch::nanoseconds() - start_ < patience_ns; };
        start_ = kern::arch::nanoseconds();
        while (!vm->pager().gpa2hpa(Gpa{PROGRESS}) && goes_on()) kern::arch::relax();
        const std::uint32_t begin = word(vm->pager(), PROGRESS);
        while (word(vm->pager(), PROGRESS) - begin < laps && goes_on()) kern::arch::relax();
        kern::check(goes_on(), "vCPU 1 makes no progress");
    }

    /// Takes the page away and lets `frame` point to what held it. Without a shootdown the guest
    /// may never have missed it; then it stays as it is.
    void take(Gpa page, volatile std::uint32_t*& frame) {
        const auto old = vm->pager().table().unmap(page);
        if (!old) return;
        taken_[taken_count_++] = old->address;
        frame = reinterpret_cast<volatile std::uint32_t*>(kern::arch::direct_map(old->address));
    }

    void take_pages() {
        take(Gpa{WATCHED}, watched_);
        *watched_ = ~nonce;  // whoever still sees this frame, sees it
        take(Gpa{WRITTEN}, written_);
        const std::uint32_t value = *written_;
        wait_for_progress();
        if (*written_ != value) ++stale_writes;
        ++rounds;
    }

    void take_permission() {
        if (!vm->pager().table().protect(Gpa{WRITTEN}, read_only)) return;
        protected_ = true;
        protected_value_ = word(vm->pager(), WRITTEN);
        start_ = kern::arch::nanoseconds();
        while (!(*vm)->ending() && kern::arch::nanoseconds() - start_ < patience_ns)
            kern::arch::relax();
    }

    std::array<Hpa, std::size_t{2} * SHOOTDOWN_ROUNDS> taken_{};
    unsigned taken_count_ = 0;
    volatile std::uint32_t *watched_ = nullptr, *written_ = nullptr;
    std::uint64_t start_ = 0;
    bool protected_ = false;
    std::uint32_t protected_value_ = 0;
};

void take_from(std::string_view name, bool leave_shootdown_out) {
    const FrameBalance balance{name};
    PageTaker taker;
    taker.protects = !leave_shootdown_out;
    const auto vm =
        make_vm({.name = name, .entry = guest_shootdown, .vcpus = 2, .observer = &taker});
    taker.vm = &vm;
    if (leave_shootdown_out) vm.pager().table().set_shootdown([](void*) {}, nullptr);
    const VmResult result = run(*vm);
    fact(name, "ended-by", result.vcpu);
    fact(name, "rounds", taker.rounds);
    fact(name, "taken", taker.taken());
    fact(name, "stale-reads", word(vm.pager(), RESULTS_AP + VIOLATIONS) != 0);
    fact(name, "stale-writes", taker.stale_writes != 0);
    if (taker.protects) fact(name, "protected-kept", taker.kept_its_value());
    taker.free_frames();
}

}  // namespace

void test_shootdown() {
    take_from("shootdown", false);
    // So that we know that the test above can fail.
    take_from("no-shootdown", true);
}

}  // namespace vmm::test
