// SPDX-License-Identifier: MIT
#include "kern/mm/heap.hh"

#include <bit>
#include <memory>

#include "kern/arch/arch.hh"
#include "kern/lib/panic.hh"

namespace kern {

// A slab is one frame: this header, then places for objects of one size. Its own table of places in
// use, rather than a list through the free ones, tells at once what is freed twice.
struct Heap::Slab {
    static constexpr std::uint32_t slab_magic = 0x5ab5ab;
    static constexpr std::size_t header_size = 64;
    static constexpr std::size_t most_places = 256;

    std::uint32_t magic = slab_magic;
    std::uint16_t size_class;
    std::uint16_t used = 0;
    Slab* next = nullptr;  // in partial_; null at the end and while the slab is full
    Slab* previous = nullptr;
    std::array<std::uint64_t, most_places / 64> places_used{};

    explicit Slab(std::size_t index) : size_class{static_cast<std::uint16_t>(index)} {}

    std::size_t object_size() const { return class_sizes[size_class]; }
    std::size_t places() const { return (page_size - header_size) / object_size(); }
    std::byte* object(std::size_t place) {
        return reinterpret_cast<std::byte*>(this) + header_size + place * object_size();
    }

    /// A place that is free, now in use. There must be one.
    std::size_t take() {
        std::size_t word = 0;
        while (places_used[word] == ~std::uint64_t{0}) ++word;
        const auto bit = static_cast<std::size_t>(std::countr_one(places_used[word]));
        places_used[word] |= std::uint64_t{1} << bit;
        ++used;
        return word * 64 + bit;
    }
    /// Whether the place was in use.
    bool give_back(std::size_t place) {
        const std::uint64_t bit = std::uint64_t{1} << (place % 64);
        if ((places_used[place / 64] & bit) == 0) return false;
        places_used[place / 64] &= ~bit;
        --used;
        return true;
    }
};

// A run of frames, which begins on a frame's boundary: no object in a slab does.
struct Heap::Large {
    Hpa first;
    std::uint64_t count;
    Large* next;
};

namespace {

constexpr std::size_t note_class = 1;                // the size class of a Large
constexpr std::size_t largest_small_alignment = 64;  // the slab header's size, and some classes'

constexpr auto take_out = [](auto*& head, auto* slab) {
    (slab->previous != nullptr ? slab->previous->next : head) = slab->next;
    if (slab->next != nullptr) slab->next->previous = slab->previous;
    slab->next = slab->previous = nullptr;
};
constexpr auto put_in = [](auto*& head, auto* slab) {
    slab->next = head;
    slab->previous = nullptr;
    if (head != nullptr) head->previous = slab;
    head = slab;
};

}  // namespace

void* Heap::allocate(std::size_t bytes, std::size_t alignment) {
    static_assert(sizeof(Slab) <= Slab::header_size && sizeof(Large) <= class_sizes[note_class]);
    static_assert((page_size - Slab::header_size) / class_sizes[0] <= Slab::most_places);
    check(std::has_single_bit(alignment) && alignment <= page_size,
          "the heap aligns to powers of two up to a frame's size");
    if (alignment <= largest_small_alignment) {
        for (std::size_t index = 0; index < class_sizes.size(); ++index) {
            if (bytes <= class_sizes[index] && class_sizes[index] % alignment == 0)
                return allocate_small(index);
        }
    }
    return allocate_large(bytes);
}

void Heap::free(void* memory) {
    if (memory == nullptr) return;
    if ((reinterpret_cast<std::uintptr_t>(memory) & (page_size - 1)) == 0) {
        free_large(memory);
    } else {
        free_small(memory);
    }
}

void* Heap::allocate_small(std::size_t size_class) {
    const LockGuard guard{lock_};
    Slab* slab = partial_[size_class];
    if (slab == nullptr) {
        const auto frame = frames().allocate(frame_owner::heap);
        if (!frame) return nullptr;
        slab = std::construct_at(reinterpret_cast<Slab*>(arch::direct_map(*frame)), size_class);
        put_in(partial_[size_class], slab);
    }
    const std::size_t place = slab->take();
    if (slab->used == slab->places()) take_out(partial_[size_class], slab);
    return slab->object(place);
}

void Heap::free_small(void* memory) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    auto* const slab = reinterpret_cast<Slab*>(align_down(address, page_size));
    const Hpa frame = arch::physical_address(slab);
    const std::size_t offset = address - reinterpret_cast<std::uintptr_t>(slab);

    const LockGuard guard{lock_};
    check(frames().is_owned_by(frame_owner::heap, frame) && slab->magic == Slab::slab_magic &&
              offset >= Slab::header_size,
          "the heap is given back memory that is not its own");
    const std::size_t place = (offset - Slab::header_size) / slab->object_size();
    check(slab->object(place) == memory && place < slab->places(),
          "the heap is given back a pointer into the middle of an object");
    const bool was_full = slab->used == slab->places();
    check(slab->give_back(place), "the heap is given back the same memory twice");

    Slab*& head = partial_[slab->size_class];
    if (was_full) put_in(head, slab);
    if (slab->used == 0) {
        take_out(head, slab);
        slab->magic = 0;
        frames().free(frame_owner::heap, frame);
    }
}

void* Heap::allocate_large(std::size_t bytes) {
    // What is larger than all memory would wrap when it is rounded up.
    if (bytes > frames().available() * page_size) return nullptr;
    void* const note = allocate_small(note_class);
    if (note == nullptr) return nullptr;
    const std::uint64_t count = bytes == 0 ? 1 : align_up(bytes, page_size) >> page_shift;
    const auto first = frames().allocate_run(frame_owner::heap, count);
    if (!first) {
        free_small(note);
        return nullptr;
    }
    const LockGuard guard{lock_};
    large_ = std::construct_at(static_cast<Large*>(note), *first, count, large_);
    return arch::direct_map(*first);
}

void Heap::free_large(void* memory) {
    const Hpa first = arch::physical_address(memory);
    Large* found = nullptr;
    {
        const LockGuard guard{lock_};
        Large** link = &large_;
        while (*link != nullptr && (*link)->first != first) link = &(*link)->next;
        check(*link != nullptr, "the heap is given back memory that is not in use");
        found = *link;
        *link = found->next;
    }
    frames().free_run(frame_owner::heap, first, found->count);
    free_small(found);
}

Heap& heap() {
    static constinit Heap the_heap;
    return the_heap;
}

}  // namespace kern
