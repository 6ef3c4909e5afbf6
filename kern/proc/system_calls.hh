// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>

#include "kern/lib/error.hh"
#include "kern/proc/env.hh"
#include "kern/proc/syscall_numbers.hh"

/// For rooms that serve system calls beyond those of kern/proc.
namespace kern {

/// What a system call answers: the result, 0 or more, or why it failed.
using SystemCallResult = std::expected<std::uint64_t, syscall::Failure>;
/// The registers with the arguments, in the order of the arguments.
using SystemCallArguments = std::array<std::uint64_t, 5>;
/// Serves a system call that `env` has made, with the process layer's lock held.
using SystemCallHandler = SystemCallResult (*)(Env& env, const SystemCallArguments& arguments);

/// From now on handlers[n] serves the system call with number syscall::extension_begin + n. They
/// must live as long as programs run.
void set_system_call_extension(std::span<const SystemCallHandler> handlers);

/// How a program sees a kernel's error:
/// - Unaligned, InvalidArgument, AlreadyExists, Overlap: invalid_argument
/// - OutOfRange: bad_address
/// - NotFound: not_found
/// - OutOfMemory: out_of_memory
/// - Busy: busy
/// - BadFormat, Truncated, Unsupported: bad_format
/// - ShortRead, DeviceFailure: failed
syscall::Failure failure_of(Error error);

}  // namespace kern
