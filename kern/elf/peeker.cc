// SPDX-License-Identifier: MIT
#include "kern/elf/peeker.hh"

#include <cstring>

namespace kern {
namespace {

bool holds(std::uint64_t size, std::uint64_t offset, std::uint64_t count) {
    return offset <= size && count <= size - offset;
}

}  // namespace

std::expected<void, Error> FilePeeker::peek(std::uint64_t offset, std::span<std::byte> out) const {
    if (!holds(file_.size(), offset, out.size())) return std::unexpected{Error::Truncated};
    const auto count = file_.read(offset, out);
    if (!count) return std::unexpected{count.error()};
    if (*count != out.size()) return std::unexpected{Error::ShortRead};
    return {};
}

std::expected<void, Error> MemoryPeeker::peek(std::uint64_t offset,
                                              std::span<std::byte> out) const {
    if (!holds(bytes_.size(), offset, out.size())) return std::unexpected{Error::Truncated};
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
}

}  // namespace kern
