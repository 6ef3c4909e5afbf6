// SPDX-License-Identifier: MIT
#include "guest/gkernel/memory.hh"

#include <algorithm>
#include <cstddef>
#include <span>

#include "guest/gkernel/digest.hh"
#include "kern/arch/arch.hh"
#include "kern/lib/address.hh"

// gkernel.ld, patterns.S, kern/arch/x86_64/boot.S
extern "C" std::uint64_t image_begin[], text_end[], image_end[];
extern "C" std::uint64_t pattern_rodata[], pattern_rodata_end[];
extern "C" std::uint64_t pattern_data[], pattern_data_end[];
extern "C" std::uint64_t pattern_bss[], pattern_bss_end[];
extern "C" const std::uint64_t kernel_offset;

namespace guest {

namespace {

// [vmm/address.hh] tells where the host puts no memory; the guest believes nothing and checks it.
constexpr std::uint64_t hole_begin = 0xbffd'a000;
constexpr std::uint64_t hole_end = 0x1'0000'0000;

/// An area's bytes as this kernel reaches them, and the guest-physical address of the first.
struct Place {
    std::uint64_t begin, end;   // virtual
    std::uint64_t to_physical;  // what to subtract from a virtual address
};

Place place_of(Area area) {
    const auto image = [](const std::uint64_t* begin, const std::uint64_t* end) {
        return Place{reinterpret_cast<std::uint64_t>(begin), reinterpret_cast<std::uint64_t>(end),
                     kernel_offset};
    };
    switch (area) {
        case Area::Text: return image(image_begin, text_end);
        case Area::Rodata: return image(pattern_rodata, pattern_rodata_end);
        case Area::Data: return image(pattern_data, pattern_data_end);
        case Area::Bss: return image(pattern_bss, pattern_bss_end);
        case Area::Ram: break;
    }
    const auto base = reinterpret_cast<std::uint64_t>(kern::arch::direct_map(kern::Hpa{0}));
    return Place{base, base + (1ULL << 40), base};
}

/// The words of page `number` of the area: fewer in a first or last page that the area shares, none
/// beyond its end. Volatile: the access itself is what counts.
std::span<volatile std::uint64_t> words_of_page(const Place& place, std::uint64_t number) {
    const std::uint64_t pages = (kern::align_up(place.end, kern::page_size) -
                                 kern::align_down(place.begin, kern::page_size)) /
                                kern::page_size;
    if (number >= pages) return {};
    const std::uint64_t page =
        kern::align_down(place.begin, kern::page_size) + number * kern::page_size;
    const std::uint64_t begin = std::max(place.begin, page);
    const std::uint64_t end = std::min(place.end, page + kern::page_size);
    return {reinterpret_cast<volatile std::uint64_t*>(begin),
            (end - begin) / sizeof(std::uint64_t)};
}

std::uint64_t physical(const Place& place, const volatile std::uint64_t& word) {
    return reinterpret_cast<std::uint64_t>(&word) - place.to_physical;
}

/// Calls `work` with the words of each page, in order.
template <class Work>
void for_each_page(const Place& place, const Pages& pages, Work work) {
    for (std::uint64_t i = 0; i < pages.count; ++i) {
        const auto words = words_of_page(place, pages.first + i * pages.step);
        if (words.empty()) return;
        work(words);
    }
}

}  // namespace

std::uint64_t check_memory_map(const kern::BootInfo& boot, std::uint64_t& kib) {
    std::uint64_t problems = boot.usable.size() == 0 ? problem::no_memory : 0;
    bool image_inside = false;
    std::uint64_t bytes = 0;
    const kern::Hpa first{reinterpret_cast<std::uint64_t>(image_begin) - kernel_offset};
    const kern::Hpa last{reinterpret_cast<std::uint64_t>(image_end) - kernel_offset - 1};
    for (const kern::MemoryRange& range : boot.usable) {
        bytes += range.size();
        if (range.begin.value() < hole_end && range.end.value() > hole_begin)
            problems |= problem::ram_in_hole;
        if (range.begin <= first && last < range.end) image_inside = true;
        for (const kern::MemoryRange& other : boot.usable)
            if (&other != &range && other.begin < range.end && range.begin < other.end)
                problems |= problem::overlapping;
    }
    if (!image_inside) problems |= problem::image_outside;
    kib = bytes / 1024;
    return problems;
}

AreaResult touch(const Pages& pages, std::uint64_t key) {
    const Place place = place_of(pages.area);
    AreaResult result;
    Digest digest{key};
    for_each_page(place, pages, [&](std::span<volatile std::uint64_t> words) {
        if (result.pages++ == 0) result.address = physical(place, words.front());
        for (const volatile std::uint64_t& word : words) {
            const std::uint64_t value = word;
            digest.add(value);
            if (value != 0) ++result.not_zero;
        }
    });
    result.digest = digest.value();
    if (!pages.write) return result;
    for_each_page(place, pages, [&](std::span<volatile std::uint64_t> words) {
        for (volatile std::uint64_t& word : words) word = written_word(key, physical(place, word));
    });
    for_each_page(place, pages, [&](std::span<volatile std::uint64_t> words) {
        for (const volatile std::uint64_t& word : words)
            if (word != written_word(key, physical(place, word))) ++result.wrong_words;
    });
    return result;
}

std::uint64_t digest_of_page(Area area, std::uint64_t number, std::uint64_t key) {
    const Place place = place_of(area);
    Digest digest{key};
    for (const volatile std::uint64_t& word : words_of_page(place, number)) digest.add(word);
    return digest.value();
}

}  // namespace guest
