// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/sync/spin_lock.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {
namespace {

/// The pages that are being loaded, at most one a CPU. All-zero bytes are an empty set.
struct InFlight {
    kern::SpinLock lock;  // for changes of `pages`; never held while a page is filled
    std::array<std::atomic<std::uint64_t>, kern::arch::max_cpus> pages;  // GPA + 1, or 0

    static std::uint64_t key(Gpa gpa) { return gpa.value() + 1; }
    bool contains(Gpa gpa) const {
        return std::ranges::any_of(pages, [&](const auto& page) {
            return page.load(std::memory_order_acquire) == key(gpa);
        });
    }
    /// Enters `gpa` for this CPU; false if another CPU has it.
    bool enter(Gpa gpa) {
        if (contains(gpa)) return false;
        pages[kern::arch::cpu_index()].store(key(gpa), std::memory_order_relaxed);
        return true;
    }
    void leave() { pages[kern::arch::cpu_index()].store(0, std::memory_order_release); }
};

}  // namespace

// One CPU loads a page, the others that fault on it wait for that one page. If the load fails, each
// of those that waited tries for itself.
std::expected<void, Error> KernelVmPager::load_page(Gpa gpa) {
    auto& in_flight = task_state<InFlight>();
    for (;;) {
        if (table_.lookup(gpa)) return {};
        if (in_flight.enter(gpa)) break;
        while (in_flight.contains(gpa)) kern::arch::relax();
    }
    // Between the look at the table and the entry into the set, another CPU may have finished.
    const auto load = [&]() -> std::expected<void, Error> {
        if (table_.lookup(gpa)) return {};
        const auto loaders = loaders_.on_page(gpa);
        if (loaders.empty()) return std::unexpected(Error::NotFound);
        auto frame = kern::Frame::allocate(frame_owner::guest_memory);
        if (!frame) return std::unexpected(frame.error());
        for (const Loader& loader : loaders)
            if (auto filled = loader.fill(gpa, frame->bytes()); !filled) return filled;
        auto mapped = table_.map(gpa, frame->address(), read_write_execute);
        if (mapped) frame->release();
        return mapped;
    };
    const auto result = load();
    in_flight.leave();
    return result;
}

}  // namespace vmm
