// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "kern/lib/address.hh"
#include "kern/lib/error.hh"
#include "kern/sync/spin_lock.hh"

namespace kern {

/// Who uses a frame. Every frame in use is on exactly one owner's account; a test compares accounts
/// before and after, and so sees a leak and names its kind.
struct FrameOwner {
    std::uint8_t index;  ///< 0 to max_owners - 1, unique
    const char* name;    ///< for reports
    /// How many owners there can be.
    static constexpr std::size_t max_owners = 16;
};

namespace frame_owner {
inline constexpr FrameOwner kernel{0, "kernel"};            ///< tables and buffers for good
inline constexpr FrameOwner heap{1, "heap"};                ///< behind operator new
inline constexpr FrameOwner page_table{2, "page table"};    ///< the kernel's, and user programs'
inline constexpr FrameOwner stack{3, "stack"};              ///< of a CPU
inline constexpr FrameOwner test{4, "test"};                ///< taken by a test
inline constexpr FrameOwner user_page{5, "user page"};      ///< of user programs' memory
inline constexpr FrameOwner environment{6, "environment"};  ///< an environment's FPU registers
// 8 to 15 belong to vmm: see vmm/frame_owners.hh.
}  // namespace frame_owner

/// Frames in use, by owner index.
using FrameAccounts = std::array<std::uint64_t, FrameOwner::max_owners>;

/// Hands out 4 KiB frames of physical memory. Safe on several CPUs.
class FrameAllocator {
   public:
    constexpr FrameAllocator() = default;
    FrameAllocator(const FrameAllocator&) = delete;
    FrameAllocator& operator=(const FrameAllocator&) = delete;

    /// Makes [begin, end) available; both page-aligned. To be called before the first allocate for
    /// every usable range, lowest first, each once. The first call places the allocator's own table
    /// (one byte a frame, from `begin` up to `highest`, the end of the last range) into its range,
    /// on the kernel's account. Panics if that range is too small or a rule is broken.
    void add_range(Hpa begin, Hpa end, Hpa highest);

    /// A frame filled with zeros, on `owner`'s account. Error: OutOfMemory.
    std::expected<Hpa, Error> allocate(FrameOwner owner);
    /// `count` frames in a row, aligned to `alignment` frames (a power of two), zeroed.
    /// Errors: OutOfMemory; InvalidArgument (`count` 0, or `alignment` no power of two).
    std::expected<Hpa, Error> allocate_run(FrameOwner owner, std::uint64_t count,
                                           std::uint64_t alignment = 1);
    /// Gives a frame back. Panics if it is not in use or is on another owner's account.
    void free(FrameOwner owner, Hpa frame);
    /// Gives `count` frames in a row back, as free() does.
    void free_run(FrameOwner owner, Hpa first, std::uint64_t count);

    /// Whether `frame` is in use on `owner`'s account.
    bool is_owned_by(FrameOwner owner, Hpa frame) const;

    /// Frames in use, by owner.
    FrameAccounts accounts() const;
    /// Frames in use, all owners together.
    std::uint64_t in_use() const;
    /// Frames that nobody has.
    std::uint64_t available() const;

    /// Failure injection: the allocation number `count` from now (1 is the next), and every one
    /// after it, fails with OutOfMemory. 0 turns it off.
    void fail_from(std::uint64_t count);
    /// How many allocations were asked for since boot, failed ones included.
    std::uint64_t requests() const;

   private:
    static constexpr std::uint8_t unusable = 0xff;
    static constexpr std::uint8_t unused = 0xfe;

    std::expected<Hpa, Error> take_run(FrameOwner owner, std::uint64_t count,
                                       std::uint64_t alignment);
    std::optional<std::uint64_t> find_run(std::uint64_t from, std::uint64_t count,
                                          std::uint64_t alignment) const;
    std::uint64_t index_of(Hpa frame) const;

    mutable SpinLock lock_;
    std::uint8_t* owner_of_ = nullptr;  // an owner index, unused or unusable; entry 0: frame first_
    std::uint64_t first_ = 0;           // the number of the lowest frame
    std::uint64_t frame_count_ = 0;     // entries in owner_of_
    std::uint64_t next_ = 0;            // where in owner_of_ the next search starts
    std::uint64_t free_ = 0;
    std::uint64_t requests_ = 0;
    std::uint64_t fail_at_ = 0;  // value of requests_ from which allocations fail; 0: never
    FrameAccounts accounts_{};
};

/// The machine's allocator.
FrameAllocator& frames();

/// One frame, given back when this object ends unless release() was called before.
class [[nodiscard]] Frame {
   public:
    /// A zeroed frame on `owner`'s account. Error: OutOfMemory.
    static std::expected<Frame, Error> allocate(FrameOwner owner);

    /// Takes the frame over from `other`.
    Frame(Frame&& other) noexcept
        : owner_{other.owner_}, address_{other.address_}, held_{other.held_} {
        other.held_ = false;
    }
    Frame& operator=(Frame&&) = delete;
    ~Frame();

    /// Where it is.
    Hpa address() const { return address_; }
    /// The frame's 4096 bytes, through the direct map.
    std::span<std::byte, page_size> bytes() const;
    /// Takes the frame out of this object: from now on somebody else (a page table) gives it back.
    Hpa release() {
        held_ = false;
        return address_;
    }

   private:
    Frame(FrameOwner owner, Hpa address) : owner_{owner}, address_{address} {}
    FrameOwner owner_;
    Hpa address_;
    bool held_ = true;
};

}  // namespace kern
