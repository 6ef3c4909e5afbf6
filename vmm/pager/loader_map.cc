// SPDX-License-Identifier: MIT
#include <algorithm>

#include "vmm/pager/loader.hh"

namespace vmm {

std::expected<void, Error> LoaderMap::add(const Loader& loader) {
    if (loader.begin() == loader.end()) return std::unexpected(Error::InvalidArgument);
    if (loader.begin() > loader.end() || loader.end().value() > guest_physical_end)
        return std::unexpected(Error::OutOfRange);
    if (overlaps(loader.begin(), loader.end())) return std::unexpected(Error::Overlap);
    if (count_ == capacity) return std::unexpected(Error::OutOfMemory);

    const auto place = std::ranges::lower_bound(all(), loader.begin(), {}, &Loader::begin);
    insert(static_cast<std::size_t>(place - all().begin()), loader);
    return {};
}

std::expected<void, Error> LoaderMap::remove(Gpa begin, Gpa end) {
    const std::span<const Loader> hit = in_range(begin, end);
    if (hit.empty()) return {};
    const Loader first = hit.front();
    const Loader last = hit.back();
    const bool keep_head = first.begin() < begin;
    const bool keep_tail = end < last.end();
    if ((keep_head && std::holds_alternative<PageLoader>(first.source_)) ||
        (keep_tail && std::holds_alternative<PageLoader>(last.source_)))
        return std::unexpected(Error::InvalidArgument);
    if (count_ - hit.size() + (keep_head ? 1 : 0) + (keep_tail ? 1 : 0) > capacity)
        return std::unexpected(Error::OutOfMemory);

    const auto index = static_cast<std::size_t>(hit.data() - loaders_.data());
    erase(index, hit.size());
    if (keep_tail) insert(index, last.cut_to(end, last.end()));
    if (keep_head) insert(index, first.cut_to(first.begin(), begin));
    return {};
}

std::span<const Loader> LoaderMap::in_range(Gpa begin, Gpa end) const {
    // Disjoint and ordered by begin, so also ordered by end.
    const auto first = std::ranges::upper_bound(all(), begin, {}, &Loader::end);
    const auto beyond = std::ranges::lower_bound(all(), end, {}, &Loader::begin);
    if (first >= beyond) return {};
    return {first, beyond};
}

void LoaderMap::insert(std::size_t index, const Loader& loader) {
    std::ranges::move_backward(loaders_.begin() + index, loaders_.begin() + count_,
                               loaders_.begin() + count_ + 1);
    loaders_[index] = loader;
    ++count_;
}

void LoaderMap::erase(std::size_t index, std::size_t count) {
    std::ranges::move(loaders_.begin() + index + count, loaders_.begin() + count_,
                      loaders_.begin() + index);
    count_ -= count;
}

}  // namespace vmm
