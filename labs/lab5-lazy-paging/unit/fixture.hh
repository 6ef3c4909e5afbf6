// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/tests/support/pager_fixture.hh"

/// The cases of this lab. Their ground is that of the project's own tests of the pager: a fake
/// machine, a disk, images of any layout, and a walker of its own (vmm/tests/support).
namespace lab {
using namespace vmm::test;
}  // namespace lab
