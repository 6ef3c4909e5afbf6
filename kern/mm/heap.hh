// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kern/mm/frame_allocator.hh"
#include "kern/sync/spin_lock.hh"

namespace kern {

/// Memory of any size, for `operator new`. Small objects share frames, all of one size class in a
/// frame; larger ones have a run of frames of their own. A frame goes back as soon as nothing in it
/// is in use, so that the account `heap` ends where it began. Safe on several CPUs.
class Heap {
   public:
    constexpr Heap() = default;
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    /// `bytes` bytes with undefined contents, aligned to `alignment` (a power of two up to a
    /// frame's size), or nullptr if there is no memory. 0 bytes give a pointer like any other.
    void* allocate(std::size_t bytes, std::size_t alignment = 16);
    /// Gives memory back; nullptr is ignored. Panics if this is not the start of memory in use.
    void free(void* memory);

   private:
    struct Slab;
    struct Large;
    /// Object sizes: powers of two, and in between what divides the frame behind its header well.
    static constexpr std::array<std::uint16_t, 9> class_sizes{16,  32,  64,   128, 256,
                                                              512, 960, 1344, 1984};

    void* allocate_small(std::size_t size_class);
    void free_small(void* memory);
    void* allocate_large(std::size_t bytes);
    void free_large(void* memory);

    SpinLock lock_;
    std::array<Slab*, class_sizes.size()> partial_{};  // by class: slabs with a free place
    Large* large_ = nullptr;
};

/// The kernel's heap. (A host test's process has its own; a test of this class makes one.)
Heap& heap();

}  // namespace kern
