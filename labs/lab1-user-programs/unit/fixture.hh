// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "kern/elf/peeker.hh"
#include "labs/unit_fixture.hh"

/// What the cases of this lab share.
namespace lab {

using kern::MemoryPeeker;

/// A file that counts its reads and fails when told.
class TestFile final : public kern::Peeker {
   public:
    explicit TestFile(const Bytes& bytes) : memory_{bytes} {}
    std::uint64_t size() const override { return memory_.size(); }
    std::expected<void, Error> peek(std::uint64_t offset, std::span<std::byte> out) const override {
        if (++reads_ == failing_) return std::unexpected(error_);
        return memory_.peek(offset, out);
    }
    unsigned reads() const { return reads_; }
    /// Read number `count`, from 1 on, fails.
    void fail_at(unsigned count, Error error) {
        failing_ = count;
        error_ = error;
    }

   private:
    MemoryPeeker memory_;
    mutable unsigned reads_ = 0;
    unsigned failing_ = 0;
    Error error_ = Error::DeviceFailure;
};

}  // namespace lab
