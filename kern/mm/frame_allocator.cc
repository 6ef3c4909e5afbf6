// SPDX-License-Identifier: MIT
#include "kern/mm/frame_allocator.hh"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/mm/poison.hh"

namespace kern {
namespace {

[[noreturn]] void panic_about(Hpa frame, std::string_view what) {
    std::array<char, 160> buffer;
    panic(format_text(buffer, "frame {}: {}", frame, what));
}

constexpr std::uint64_t frames_to_bytes(std::uint64_t count) {
    return count << page_shift;
}

}  // namespace

void FrameAllocator::add_range(Hpa begin, Hpa end, Hpa highest) {
    check(begin.is_aligned() && end.is_aligned() && begin < end,
          "a range of frames is empty or not page-aligned");
    const LockGuard guard{lock_};
    std::uint64_t first = begin.value() >> page_shift;
    const std::uint64_t last = end.value() >> page_shift;

    if (owner_of_ == nullptr) {
        first_ = first;
        frame_count_ = (align_up(highest.value(), page_size) >> page_shift) - first;
        const std::uint64_t table_frames = align_up(frame_count_, page_size) >> page_shift;
        check(end <= highest && table_frames <= last - first,
              "the first range of frames does not hold the allocator's table");
        owner_of_ = reinterpret_cast<std::uint8_t*>(arch::direct_map(begin));
        std::memset(owner_of_, unusable, frame_count_);
        std::memset(owner_of_, frame_owner::kernel.index, table_frames);
        accounts_[frame_owner::kernel.index] += table_frames;
        first += table_frames;
    }

    check(first >= first_ && last <= first_ + frame_count_,
          "a range of frames lies below the first range or beyond the highest address");
    for (std::uint64_t frame = first; frame < last; ++frame) {
        check(owner_of_[frame - first_] == unusable, "a range of frames was added twice");
        owner_of_[frame - first_] = unused;
    }
    free_ += last - first;
    if (first < last) {
        const Hpa usable{frames_to_bytes(first)};
        poison(arch::direct_map(usable), end - usable);
    }
}

std::expected<Hpa, Error> FrameAllocator::allocate(FrameOwner owner) {
    return allocate_run(owner, 1);
}

std::expected<Hpa, Error> FrameAllocator::allocate_run(FrameOwner owner, std::uint64_t count,
                                                       std::uint64_t alignment) {
    check(owner.index < FrameOwner::max_owners, "a frame owner's index is too large");
    if (count == 0 || !std::has_single_bit(alignment))
        return std::unexpected{Error::InvalidArgument};

    const auto run = take_run(owner, count, alignment);
    if (!run) return run;
    // Nobody else knows these frames yet: clearing them needs no lock, and may take its time.
    std::byte* const bytes = arch::direct_map(*run);
    unpoison(bytes, frames_to_bytes(count));
    std::memset(bytes, 0, frames_to_bytes(count));
    return run;
}

std::expected<Hpa, Error> FrameAllocator::take_run(FrameOwner owner, std::uint64_t count,
                                                   std::uint64_t alignment) {
    const LockGuard guard{lock_};
    ++requests_;
    if (fail_at_ != 0 && requests_ >= fail_at_) return std::unexpected{Error::OutOfMemory};
    if (count > free_) return std::unexpected{Error::OutOfMemory};

    // Next fit: go on where the last search ended, then once more from the start.
    auto found = find_run(next_, count, alignment);
    if (!found) found = find_run(0, count, alignment);
    if (!found) return std::unexpected{Error::OutOfMemory};

    std::memset(owner_of_ + *found, owner.index, count);
    next_ = *found + count;
    free_ -= count;
    accounts_[owner.index] += count;
    return Hpa{frames_to_bytes(first_ + *found)};
}

std::optional<std::uint64_t> FrameAllocator::find_run(std::uint64_t from, std::uint64_t count,
                                                      std::uint64_t alignment) const {
    const auto find_unused = [this](std::uint64_t index) {
        const void* at = index < frame_count_
                             ? std::memchr(owner_of_ + index, unused, frame_count_ - index)
                             : nullptr;
        return at != nullptr
                   ? static_cast<std::uint64_t>(static_cast<const std::uint8_t*>(at) - owner_of_)
                   : frame_count_;
    };
    std::uint64_t index = find_unused(from);
    while (index < frame_count_) {
        const std::uint64_t aligned = align_up(first_ + index, alignment) - first_;
        if (aligned >= frame_count_ || count > frame_count_ - aligned) return std::nullopt;
        std::uint64_t length = 0;
        while (length < count && owner_of_[aligned + length] == unused) ++length;
        if (length == count) return aligned;
        index = find_unused(aligned + length + 1);
    }
    return std::nullopt;
}

std::uint64_t FrameAllocator::index_of(Hpa frame) const {
    const std::uint64_t number = frame.value() >> page_shift;
    if (!frame.is_aligned()) panic_about(frame, "not the address of a frame");
    if (number < first_ || number - first_ >= frame_count_)
        panic_about(frame, "not in the memory that the allocator manages");
    return number - first_;
}

void FrameAllocator::free(FrameOwner owner, Hpa frame) {
    free_run(owner, frame, 1);
}

void FrameAllocator::free_run(FrameOwner owner, Hpa first, std::uint64_t count) {
    const LockGuard guard{lock_};
    const std::uint64_t begin = index_of(first);
    check(count <= frame_count_ - begin, "a run of frames that is freed leaves the memory");
    for (std::uint64_t index = begin; index < begin + count; ++index) {
        if (owner_of_[index] == owner.index) continue;
        const Hpa frame{frames_to_bytes(first_ + index)};
        if (owner_of_[index] == unused) panic_about(frame, "freed twice: it is not in use");
        panic_about(frame, "freed by another owner than the one it was allocated for");
    }
    // Poisoned while it is still ours: once the table says unused, another CPU may take it.
    poison(arch::direct_map(first), frames_to_bytes(count));
    std::memset(owner_of_ + begin, unused, count);
    free_ += count;
    accounts_[owner.index] -= count;
}

bool FrameAllocator::is_owned_by(FrameOwner owner, Hpa frame) const {
    const LockGuard guard{lock_};
    const std::uint64_t number = frame.value() >> page_shift;
    return number >= first_ && number - first_ < frame_count_ &&
           owner_of_[number - first_] == owner.index;
}

FrameAccounts FrameAllocator::accounts() const {
    const LockGuard guard{lock_};
    return accounts_;
}

std::uint64_t FrameAllocator::in_use() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : accounts()) sum += count;
    return sum;
}

std::uint64_t FrameAllocator::available() const {
    const LockGuard guard{lock_};
    return free_;
}

void FrameAllocator::fail_from(std::uint64_t count) {
    const LockGuard guard{lock_};
    fail_at_ = count != 0 ? requests_ + count : 0;
}

std::uint64_t FrameAllocator::requests() const {
    const LockGuard guard{lock_};
    return requests_;
}

FrameAllocator& frames() {
    static constinit FrameAllocator allocator;
    return allocator;
}

std::expected<Frame, Error> Frame::allocate(FrameOwner owner) {
    const auto address = frames().allocate(owner);
    if (!address) return std::unexpected{address.error()};
    return Frame{owner, *address};
}

Frame::~Frame() {
    if (held_) frames().free(owner_, address_);
}

std::span<std::byte, page_size> Frame::bytes() const {
    return std::span<std::byte, page_size>{arch::direct_map(address_), page_size};
}

}  // namespace kern
