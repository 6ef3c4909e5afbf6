// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <span>

#include "kern/tests/support/microkernel.hh"
#include "labs/unit_fixture.hh"

/// What the cases of lab 8 share.
namespace lab {

using namespace kern::test;  // NOLINT(google-build-using-namespace): the microkernel under test

/// The bytes of an object as they were, to be compared or put back.
template <class Object>
class Image {
   public:
    explicit Image(Object& object) : object_{object}, bytes_(bytes().begin(), bytes().end()) {}
    /// Whether the object has the same bytes now.
    bool is_unchanged() const { return std::ranges::equal(bytes_, bytes()); }
    /// Makes the object what it was.
    void put_back() const { std::ranges::copy(bytes_, bytes().begin()); }

   private:
    std::span<std::byte> bytes() const { return std::as_writable_bytes(std::span{&object_, 1}); }

    Object& object_;
    Bytes bytes_;
};

}  // namespace lab
