// SPDX-License-Identifier: MIT
#pragma once

#include "kern/tests/support/microkernel.hh"
#include "labs/unit_fixture.hh"

/// What the cases of lab 8 share.
namespace lab {

using namespace kern::test;  // NOLINT(google-build-using-namespace): the microkernel under test

}  // namespace lab
