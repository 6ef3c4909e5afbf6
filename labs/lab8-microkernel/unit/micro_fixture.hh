// SPDX-License-Identifier: MIT
#pragma once

#include "kern/tests/support/microkernel.hh"
#include "labs/unit_fixture.hh"

/// What the cases of lab 8 share.
namespace lab {

using namespace kern::test;  // NOLINT(google-build-using-namespace): the microkernel under test

/// The bytes of an object as they were, to be compared or put back.
template <class Object>
class Image {
   public:
    explicit Image(Object& object) : object_{object}, bytes_(sizeof(Object)) {
        std::memcpy(bytes_.data(), &object, sizeof(Object));
    }
    /// Whether the object has the same bytes now.
    bool is_unchanged() const { return std::memcmp(bytes_.data(), &object_, sizeof(Object)) == 0; }
    /// Whether two images have the same bytes.
    bool operator==(const Image& other) const { return bytes_ == other.bytes_; }
    /// Makes the object what it was.
    void put_back() const { std::memcpy(&object_, bytes_.data(), sizeof(Object)); }

   private:
    Object& object_;
    Bytes bytes_;
};

}  // namespace lab
