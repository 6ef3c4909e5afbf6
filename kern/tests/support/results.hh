// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <expected>
#include <ostream>
#include <sstream>
#include <string>

#include "kern/lib/address.hh"
#include "kern/lib/error.hh"

/// How tests look at results, and how values look in their reports.
namespace kern {

///@{
/// GoogleTest prints these so.
inline void PrintTo(Error error, std::ostream* out) {
    *out << '"' << describe(error) << '"';
}
template <class Space>
void PrintTo(Address<Space> address, std::ostream* out) {
    *out << "0x" << std::hex << address.value() << std::dec;
}
///@}

}  // namespace kern

namespace kern::test {

inline std::string hex(std::uint64_t value) {
    std::ostringstream text;
    text << "0x" << std::hex << value;
    return text.str();
}

/// The error in a failure. One that carries more has an overload beside its type.
inline Error error_of(Error error) {
    return error;
}

/// Whether `result` is a success; says the error if not.
template <class T, class E>
::testing::AssertionResult succeeds(const std::expected<T, E>& result) {
    if (result) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "error \"" << describe(error_of(result.error())) << "\", wanted is success";
}

/// Whether `result` is the error `wanted`; says what it is if not.
template <class T, class E>
::testing::AssertionResult fails_with(const std::expected<T, E>& result, Error wanted) {
    if (result)
        return ::testing::AssertionFailure()
               << "success, wanted is the error \"" << describe(wanted) << "\"";
    const Error seen = error_of(result.error());
    if (seen == wanted) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "error \"" << describe(seen) << "\", wanted is \"" << describe(wanted) << "\"";
}

}  // namespace kern::test
