// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include "kern/tests/support/random.hh"
#include "kern/tests/support/results.hh"

/// What the cases of all labs share.
namespace lab {

using kern::Error;
using kern::test::Bytes;
using kern::test::fails_with;
using kern::test::hex;
using kern::test::Random;
using kern::test::succeeds;

/// The run's numbers. Each case runs in a process of its own, so they depend on the seed alone.
inline Random& random() {
    static Random numbers;
    return numbers;
}

}  // namespace lab
