// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <expected>
#include <sstream>
#include <string>

#include "kern/lib/error.hh"
#include "kern/tests/support/random.hh"

/// What the cases of this lab share.
namespace lab {

using kern::Error;
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

}  // namespace lab
