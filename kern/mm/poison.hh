// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

// GCC says it by a macro, Clang by a feature.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NEST_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(NEST_ADDRESS_SANITIZER)
#define NEST_ADDRESS_SANITIZER 1
#endif

#ifdef NEST_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace kern {

// AddressSanitizer knows the heap and the stack, not what a frame allocator does inside one big
// mapping: it is told here. In every other build these do nothing.

/// From now on any access to these bytes is reported.
inline void poison([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#ifdef NEST_ADDRESS_SANITIZER
    __asan_poison_memory_region(begin, bytes);
#endif
}

/// These bytes may be used again.
inline void unpoison([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#ifdef NEST_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace kern
