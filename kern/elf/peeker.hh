// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <type_traits>

#include "kern/fs/file_system.hh"
#include "kern/lib/error.hh"

namespace kern {

/// Anything that reads bytes at an offset: a file, a boot module, an array in a test.
class Peeker {
   public:
    virtual ~Peeker() = default;
    /// Bytes it can serve.
    virtual std::uint64_t size() const = 0;
    /// Fills all of `out` from byte `offset` on. Errors: Truncated if it ends before, or the
    /// device's.
    virtual std::expected<void, Error> peek(std::uint64_t offset,
                                            std::span<std::byte> out) const = 0;
};

/// A `T` as its bytes stand at `offset`. Errors: those of peek.
template <class T>
std::expected<T, Error> peek_value(const Peeker& peeker, std::uint64_t offset) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    const auto done = peeker.peek(offset, std::as_writable_bytes(std::span{&value, 1}));
    if (!done) return std::unexpected{done.error()};
    return value;
}

/// Reads from a file.
class FilePeeker final : public Peeker {
   public:
    /// Keeps a copy of `file`.
    explicit FilePeeker(File file) : file_{file} {}
    std::uint64_t size() const override { return file_.size(); }
    std::expected<void, Error> peek(std::uint64_t offset, std::span<std::byte> out) const override;

   private:
    File file_;
};

/// Reads from bytes in memory.
class MemoryPeeker final : public Peeker {
   public:
    /// `bytes` must live longer than this.
    explicit MemoryPeeker(std::span<const std::byte> bytes) : bytes_{bytes} {}
    std::uint64_t size() const override { return bytes_.size(); }
    std::expected<void, Error> peek(std::uint64_t offset, std::span<std::byte> out) const override;

   private:
    std::span<const std::byte> bytes_;
};

}  // namespace kern
