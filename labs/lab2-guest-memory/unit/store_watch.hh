// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

namespace lab {

/// Sees every value that a word takes, however short: while it lives, the page in which the word
/// stands may not be written, and each instruction that does is let through alone. One at a time,
/// on one thread.
class StoreWatch {
   public:
    explicit StoreWatch(std::uint64_t& word);
    StoreWatch(const StoreWatch&) = delete;
    StoreWatch& operator=(const StoreWatch&) = delete;
    ~StoreWatch();

    /// The values that it took since, oldest first: where one follows another, they differ. At most
    /// 16 are kept.
    std::vector<std::uint64_t> values() const;
};

}  // namespace lab
