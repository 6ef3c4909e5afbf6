// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace kern {

/// Why an operation failed. One vocabulary for the whole project, so that an error can be handed up
/// unchanged from a block device to the report that a student reads.
enum class Error : std::uint8_t {
    InvalidArgument,  ///< an argument is outside what the contract allows
    Unaligned,        ///< an address that must be page-aligned is not
    OutOfRange,       ///< an address, offset or index lies outside its space
    Overlap,          ///< two ranges that must be disjoint share a byte
    AlreadyExists,    ///< something is already registered or mapped there
    NotFound,         ///< nothing is registered, mapped or stored there
    OutOfMemory,      ///< no frame is left, or the allocator was told to fail
    BadFormat,        ///< an image does not follow its format
    Truncated,        ///< an image ends before a structure that it announces
    ShortRead,        ///< fewer bytes were read than a structure needs
    DeviceFailure,    ///< the block device reported an error
    Unsupported,      ///< well-formed, but not served here
    Busy,             ///< the resource is in use by somebody else
};

/// The error in words, for reports: lower case, no full stop.
constexpr std::string_view describe(Error error) {
    switch (error) {
        case Error::InvalidArgument: return "invalid argument";
        case Error::Unaligned: return "address is not page-aligned";
        case Error::OutOfRange: return "out of range";
        case Error::Overlap: return "overlaps another range";
        case Error::AlreadyExists: return "already exists";
        case Error::NotFound: return "not found";
        case Error::OutOfMemory: return "out of memory";
        case Error::BadFormat: return "bad format";
        case Error::Truncated: return "truncated";
        case Error::ShortRead: return "short read";
        case Error::DeviceFailure: return "block device failure";
        case Error::Unsupported: return "not supported";
        case Error::Busy: return "busy";
    }
    return "unknown error";
}

}  // namespace kern
