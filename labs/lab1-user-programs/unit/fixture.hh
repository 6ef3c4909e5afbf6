// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <sstream>
#include <string>
#include <vector>

#include "kern/elf/peeker.hh"
#include "kern/lib/error.hh"
#include "kern/tests/support/random.hh"

/// What the cases of this lab share.
namespace lab {

using kern::Error;
using kern::MemoryPeeker;
using kern::test::Bytes;
using kern::test::Random;

/// The run's numbers. Each case runs in a process of its own, so they depend on the seed alone.
inline Random& random() {
    static Random numbers;
    return numbers;
}

inline std::string hex(std::uint64_t value) {
    std::ostringstream text;
    text << "0x" << std::hex << value;
    return text.str();
}

template <class T>
::testing::AssertionResult succeeds(const std::expected<T, Error>& result) {
    if (result) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "error \"" << describe(result.error()) << "\", wanted is success";
}

template <class T>
::testing::AssertionResult fails_with(const std::expected<T, Error>& result, Error wanted) {
    if (result)
        return ::testing::AssertionFailure()
               << "success, wanted is the error \"" << describe(wanted) << "\"";
    if (result.error() == wanted) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "error \"" << describe(result.error())
                                         << "\", wanted is \"" << describe(wanted) << "\"";
}

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
