// SPDX-License-Identifier: MIT
// What the compiler and the headers of the standard library call behind our backs, where there is
// no runtime that has it.
#include <cstdint>
#include <exception>
#include <new>

#include "kern/lib/panic.hh"
#include "kern/mm/heap.hh"

namespace {

void* allocate_or_panic(std::size_t bytes, std::size_t alignment) {
    void* const memory = kern::heap().allocate(bytes, alignment);
    kern::check(memory != nullptr, "operator new: out of memory; use new (std::nothrow)");
    return memory;
}

constexpr std::size_t default_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
std::size_t number(std::align_val_t alignment) {
    return static_cast<std::size_t>(alignment);
}

}  // namespace

const std::nothrow_t std::nothrow{};

void* operator new(std::size_t bytes) {
    return allocate_or_panic(bytes, default_alignment);
}
void* operator new[](std::size_t bytes) {
    return allocate_or_panic(bytes, default_alignment);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return allocate_or_panic(bytes, number(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
    return allocate_or_panic(bytes, number(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return kern::heap().allocate(bytes, default_alignment);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
    return kern::heap().allocate(bytes, default_alignment);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return kern::heap().allocate(bytes, number(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
    return kern::heap().allocate(bytes, number(alignment));
}

void operator delete(void* memory) noexcept {
    kern::heap().free(memory);
}
void operator delete[](void* memory) noexcept {
    kern::heap().free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    kern::heap().free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    kern::heap().free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    kern::heap().free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
    kern::heap().free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    kern::heap().free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
    kern::heap().free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    kern::heap().free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    kern::heap().free(memory);
}

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the compiler chose them.
extern "C" {

void* __dso_handle = nullptr;

[[noreturn]] void __cxa_pure_virtual() {
    kern::panic("a pure virtual function was called");
}

/// Destructors of static objects: the kernel never ends by returning, so they never run.
int atexit(void (*)()) {
    return 0;
}

void abort() {
    kern::panic("abort was called: a library precondition is broken");
}

/// std::popcount, for CPUs that may lack the instruction: adds neighbours, then pairs, then fours.
int __popcountdi2(std::int64_t signed_value) {
    auto value = static_cast<std::uint64_t>(signed_value);
    value -= (value >> 1) & 0x5555'5555'5555'5555;
    value = (value & 0x3333'3333'3333'3333) + ((value >> 2) & 0x3333'3333'3333'3333);
    value = (value + (value >> 4)) & 0x0f0f'0f0f'0f0f'0f0f;
    return static_cast<int>((value * 0x0101'0101'0101'0101) >> 56);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

// What containers and views call where a hosted program would throw: up to libstdc++ 12 functions that
// are named by the exception; later ones have those in their headers, and call std::terminate.
namespace std {

#if _GLIBCXX_RELEASE < 13
void __throw_out_of_range_fmt(const char* message, ...) {
    kern::panic(message);
}
void __throw_out_of_range(const char* message) {
    kern::panic(message);
}
void __throw_length_error(const char* message) {
    kern::panic(message);
}
void __throw_logic_error(const char* message) {
    kern::panic(message);
}
void __throw_bad_alloc() {
    kern::panic("std::bad_alloc");
}
void __throw_bad_array_new_length() {
    kern::panic("std::bad_array_new_length");
}
void __throw_bad_function_call() {
    kern::panic("std::bad_function_call");
}
#endif

void terminate() noexcept {
    kern::panic("std::terminate was called: a library precondition is broken");
}

}  // namespace std
