// SPDX-License-Identifier: MIT
#include "vmm/main/held_device.hh"

#include <algorithm>

#include "kern/arch/arch.hh"
#include "kern/elf/elf.hh"

namespace vmm {

namespace {

/// std::popcount would want a library function where the CPU may lack the instruction.
unsigned count_bits(std::uint64_t value) {
    unsigned count = 0;
    for (; value != 0; value &= value - 1) ++count;
    return count;
}

}  // namespace

std::expected<std::uint64_t, Error> block_of_page(const kern::File& kernel, Gpa page) {
    const kern::FilePeeker peeker{kernel};
    const auto image = kern::elf::elf_decode(peeker);
    if (!image) return std::unexpected(image.error());
    for (const auto& segment : image->program_headers()) {
        if (segment.p_type != kern::elf::pt_load || segment.p_filesz == 0) continue;
        // The header is untrusted: nothing is added to what it says before it was compared.
        const std::uint64_t first = segment.p_paddr;
        if (first >= guest_physical_end || segment.p_offset >= kernel.size()) continue;
        const std::uint64_t length = std::min(segment.p_filesz, kernel.size() - segment.p_offset);
        const std::uint64_t begin = std::max(first, page.value());
        const std::uint64_t end = std::min(first + length, page.value() + page_size);
        if (begin >= end) continue;
        const std::uint64_t file_begin = segment.p_offset + (begin - first);
        const std::uint64_t file_end = file_begin + (end - begin);
        const std::uint64_t whole = kern::align_up(file_begin, kern::block_size);
        const std::uint64_t key = whole + kern::block_size <= file_end ? whole : file_begin;
        return kernel.first_block() + key / kern::block_size;
    }
    return std::unexpected(Error::NotFound);
}

std::expected<void, Error> HeldDevice::arm(const VmPlan& plan, const kern::File& kernel,
                                           const SecondLevelTable& table) {
    disarm();
    const bool holds = plan.hold.kind != HoldPlan::Kind::None;
    std::expected<std::uint64_t, Error> held = 0, failing = 0;
    if (holds) held = block_of_page(kernel, plan.hold.page);
    if (!held) return std::unexpected(held.error());
    if (plan.has_fail) failing = block_of_page(kernel, plan.fail);
    if (!failing) return std::unexpected(failing.error());
    // Nothing is armed before all is known: who is refused does not disarm.
    if (holds) held_block_ = *held;
    if (plan.has_fail) failing_block_ = *failing;
    // A page that does not come from the file may be waited for too; nothing of it is held.
    if (plan.hold.kind == HoldPlan::Kind::Until)
        if (const auto until = block_of_page(kernel, plan.hold.until)) until_block_ = *until;
    plan_ = plan.hold;
    table_ = &table;
    limit_ns_ = plan.hold_limit_ms * 1'000'000;
    return {};
}

void HeldDevice::count_fault(Gpa page, unsigned vcpu) {
    if (held_block_ && page == plan_.page) faulted_.fetch_or(1ULL << vcpu);
}

HeldDevice::Record HeldDevice::disarm() {
    held_block_ = until_block_ = failing_block_ = std::nullopt;
    table_ = nullptr;
    faulted_.store(0);
    begun_.store(false);
    return Record{.hold_faults = faults_when_let_go_.exchange(0),
                  .hold_expired = expired_.exchange(false) ? 1ULL : 0ULL,
                  .fills = fills_.exchange(0),
                  .held_reads = held_reads_.exchange(0),
                  .failed_reads = failed_reads_.exchange(0)};
}

template <class Condition>
void HeldDevice::wait_for(Condition condition) {
    if (condition()) return;
    held_reads_.fetch_add(1);
    const std::uint64_t start = kern::arch::nanoseconds();
    while (!condition() && !expired_.load()) {
        if (kern::arch::nanoseconds() - start > limit_ns_) expired_.store(true);
        kern::arch::relax();
    }
}

void HeldDevice::hold() {
    fills_.fetch_add(1);
    begun_.store(true);
    if (plan_.kind == HoldPlan::Kind::Faults)
        wait_for([this] { return count_bits(faulted_.load()) >= plan_.faults; });
    else
        wait_for([this] { return table_->lookup(plan_.until).has_value(); });
    // The first to be let go says how many had faulted by then.
    std::uint64_t none = 0;
    faults_when_let_go_.compare_exchange_strong(none, count_bits(faulted_.load()));
}

std::expected<void, Error> HeldDevice::read(std::uint64_t first, std::span<std::byte> out) {
    const auto covers = [&](std::optional<std::uint64_t> block) {
        return block && *block >= first && *block - first < out.size() / kern::block_size;
    };
    if (covers(failing_block_)) {
        failed_reads_.fetch_add(1);
        return std::unexpected(Error::DeviceFailure);
    }
    if (covers(until_block_)) wait_for([this] { return begun_.load(); });
    if (covers(held_block_)) hold();
    return device_.read(first, out);
}

}  // namespace vmm
