// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

/// Counts what the cases look at. It is included before all else in a lab's tests (cmake/kit.cmake).
namespace lab {

/// An expectation at this place of a test was evaluated, and did not end the function that it is
/// in. Always true.
bool evaluated(const char* file, unsigned line);

}  // namespace lab

// What each of GoogleTest's EXPECT and ASSERT macros begins with: whatever follows it is one
// statement. It is as it was, and once that statement is done, the expectation counts. So one that
// an answer jumps over does not.
#ifndef GTEST_AMBIGUOUS_ELSE_BLOCKER_
#error "this GoogleTest begins its macros in another way: see labs/unit_expectations.hh"
#endif
#undef GTEST_AMBIGUOUS_ELSE_BLOCKER_
#define GTEST_AMBIGUOUS_ELSE_BLOCKER_                      \
    switch (0)                                             \
    case 0:                                                \
    default:                                               \
        for (bool nest_evaluated = false; !nest_evaluated; \
             nest_evaluated = ::lab::evaluated(__FILE__, __LINE__))
