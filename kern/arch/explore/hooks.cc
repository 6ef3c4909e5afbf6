// SPDX-License-Identifier: MIT
// What the compiler calls in code that was compiled with -fsanitize=thread, and what the linker puts
// in the place of some functions (--wrap, cmake/flavours.cmake): each tells the machine what is about
// to happen. Off the simulated CPUs all of this does nothing of its own.
#include <cstdint>
#include <cstring>
#include <string_view>

#include "kern/arch/explore/explore.hh"
#include "kern/arch/explore/lines.hh"
#include "kern/arch/explore/machine.hh"
#include "kern/sync/spin_lock.hh"

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming,misc-use-internal-linkage,bugprone-macro-parentheses)
namespace {

using kern::explore::Event;
using kern::explore::is_quiet;
using kern::explore::Machine;
using kern::explore::Quiet;

void about_to(const volatile void* at, std::size_t bytes, bool write, Event::Kind kind, void* pc) {
    if (is_quiet() || bytes == 0) return;
    Machine::running()->access(reinterpret_cast<std::uintptr_t>(at), bytes, write, kind,
                               reinterpret_cast<std::uintptr_t>(pc));
}
void about_to_read(const volatile void* at, std::size_t bytes, void* pc) {
    about_to(at, bytes, false, Event::Kind::Read, pc);
}
void about_to_write(const volatile void* at, std::size_t bytes, void* pc) {
    about_to(at, bytes, true, Event::Kind::Write, pc);
}
void found(std::uint64_t before, std::uint64_t after) {
    if (is_quiet()) return;
    const Quiet watch_nothing;
    Machine::running()->found(before, after);
}

template <class T, class Change>
T change(volatile T* at, void* pc, Change new_value) {
    about_to(at, sizeof(T), true, Event::Kind::Change, pc);
    const T before = *at;
    const T after = new_value(before);
    *at = after;
    found(before, after);
    return before;
}

template <class T>
int compare_exchange(volatile T* at, T* expected, T value, void* pc) {
    about_to(at, sizeof(T), true, Event::Kind::Change, pc);
    const T before = *at;
    found(before, before == *expected ? value : before);
    if (before == *expected) {
        *at = value;
        return 1;
    }
    *expected = before;
    return 0;
}

}  // namespace

#define CALLER __builtin_return_address(0)

extern "C" {

void __tsan_init() {
    kern::explore::prepare_lines();
}
void __tsan_func_entry(void* pc) {
    if (is_quiet()) return;
    // The linker may have chosen an instrumented copy of what std::vector does: its growth is no event.
    const Quiet watch_nothing;
    Machine::running()->enter_function(reinterpret_cast<std::uintptr_t>(pc));
}
void __tsan_func_exit() {
    if (is_quiet()) return;
    const Quiet watch_nothing;
    Machine::running()->leave_function();
}
void __tsan_vptr_update(void** at, void*) {
    about_to_write(static_cast<void*>(at), sizeof *at, CALLER);
}
void __tsan_vptr_read(void** at) {
    about_to_read(static_cast<void*>(at), sizeof *at, CALLER);
}
void __tsan_read_range(void* at, std::size_t bytes) {
    about_to_read(at, bytes, CALLER);
}
void __tsan_write_range(void* at, std::size_t bytes) {
    about_to_write(at, bytes, CALLER);
}

#define PLAIN(bytes)                                        \
    void __tsan_read##bytes(void* at) {                     \
        about_to_read(at, bytes, CALLER);                   \
    }                                                       \
    void __tsan_write##bytes(void* at) {                    \
        about_to_write(at, bytes, CALLER);                  \
    }                                                       \
    void __tsan_unaligned_read##bytes(void* at) {           \
        about_to_read(at, bytes, CALLER);                   \
    }                                                       \
    void __tsan_unaligned_write##bytes(void* at) {          \
        about_to_write(at, bytes, CALLER);                  \
    }                                                       \
    void __tsan_volatile_read##bytes(void* at) {            \
        about_to_read(at, bytes, CALLER);                   \
    }                                                       \
    void __tsan_volatile_write##bytes(void* at) {           \
        about_to_write(at, bytes, CALLER);                  \
    }                                                       \
    void __tsan_unaligned_volatile_read##bytes(void* at) {  \
        about_to_read(at, bytes, CALLER);                   \
    }                                                       \
    void __tsan_unaligned_volatile_write##bytes(void* at) { \
        about_to_write(at, bytes, CALLER);                  \
    }                                                       \
    void __tsan_read_write##bytes(void* at) {               \
        about_to_write(at, bytes, CALLER);                  \
    }                                                       \
    void __tsan_unaligned_read_write##bytes(void* at) {     \
        about_to_write(at, bytes, CALLER);                  \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

// The memory orders are not looked at: what is explored is sequentially consistent.
#define CHANGE(bits, name, expression)                                                 \
    std::uint##bits##_t __tsan_atomic##bits##_##name(volatile std::uint##bits##_t* at, \
                                                     std::uint##bits##_t value, int) { \
        return change(at, CALLER, [&]([[maybe_unused]] std::uint##bits##_t before) {   \
            return static_cast<std::uint##bits##_t>(expression);                       \
        });                                                                            \
    }
#define ATOMIC(bits)                                                                               \
    std::uint##bits##_t __tsan_atomic##bits##_load(const volatile std::uint##bits##_t* at, int) {  \
        about_to(at, bits / 8, false, Event::Kind::Load, CALLER);                                  \
        found(*at, *at);                                                                           \
        return *at;                                                                                \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile std::uint##bits##_t* at, std::uint##bits##_t value,  \
                                     int) {                                                        \
        about_to(at, bits / 8, true, Event::Kind::Store, CALLER);                                  \
        found(*at, value);                                                                         \
        *at = value;                                                                               \
    }                                                                                              \
    CHANGE(bits, exchange, value)                                                                  \
    CHANGE(bits, fetch_add, before + value)                                                        \
    CHANGE(bits, fetch_sub, before - value)                                                        \
    CHANGE(bits, fetch_and, before& value)                                                         \
    CHANGE(bits, fetch_or, before | value)                                                         \
    CHANGE(bits, fetch_xor, before ^ value)                                                        \
    CHANGE(bits, fetch_nand, ~(before & value))                                                    \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile std::uint##bits##_t* at,            \
                                                      std::uint##bits##_t* expected,               \
                                                      std::uint##bits##_t value, int, int) {       \
        return compare_exchange(at, expected, value, CALLER);                                      \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile std::uint##bits##_t* at,              \
                                                    std::uint##bits##_t* expected,                 \
                                                    std::uint##bits##_t value, int, int) {         \
        return compare_exchange(at, expected, value, CALLER);                                      \
    }                                                                                              \
    std::uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                \
        volatile std::uint##bits##_t* at, std::uint##bits##_t expected, std::uint##bits##_t value, \
        int, int) {                                                                                \
        compare_exchange(at, &expected, value, CALLER);                                            \
        return expected;                                                                           \
    }
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

// Memory in ranges: what the sanitizer's library intercepts.
void* __real_memcpy(void*, const void*, std::size_t);
void* __real_memmove(void*, const void*, std::size_t);
void* __real_memset(void*, int, std::size_t);
int __real_memcmp(const void*, const void*, std::size_t);
void* __real_memchr(const void*, int, std::size_t);

void* __wrap_memcpy(void* to, const void* from, std::size_t bytes) {
    about_to_read(from, bytes, CALLER);
    about_to_write(to, bytes, CALLER);
    return __real_memcpy(to, from, bytes);
}
void* __wrap_memmove(void* to, const void* from, std::size_t bytes) {
    about_to_read(from, bytes, CALLER);
    about_to_write(to, bytes, CALLER);
    return __real_memmove(to, from, bytes);
}
void* __wrap_memset(void* at, int value, std::size_t bytes) {
    about_to_write(at, bytes, CALLER);
    return __real_memset(at, value, bytes);
}
int __wrap_memcmp(const void* one, const void* other, std::size_t bytes) {
    about_to_read(one, bytes, CALLER);
    about_to_read(other, bytes, CALLER);
    return __real_memcmp(one, other, bytes);
}
void* __wrap_memchr(const void* at, int value, std::size_t bytes) {
    about_to_read(at, bytes, CALLER);
    return __real_memchr(at, value, bytes);
}
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
    return __wrap_memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
    return __wrap_memmove(to, from, bytes);
}
void* __tsan_memset(void* at, int value, std::size_t bytes) {
    return __wrap_memset(at, value, bytes);
}

// kern::SpinLock::lock and unlock: a CPU that must wait gives way.
void __real__ZN4kern8SpinLock4lockEv(kern::SpinLock*);
void __real__ZN4kern8SpinLock6unlockEv(kern::SpinLock*);
void __wrap__ZN4kern8SpinLock4lockEv(kern::SpinLock* lock) {
    if (is_quiet()) return __real__ZN4kern8SpinLock4lockEv(lock);
    const Quiet watch_nothing;
    Machine& machine = *Machine::running();
    if (!machine.holds(lock))
        machine.take(lock, sizeof *lock, reinterpret_cast<std::uintptr_t>(CALLER));
    __real__ZN4kern8SpinLock4lockEv(lock);  // free; or this CPU has it, which ends in a panic
}
void __wrap__ZN4kern8SpinLock6unlockEv(kern::SpinLock* lock) {
    if (is_quiet()) return __real__ZN4kern8SpinLock6unlockEv(lock);
    const Quiet watch_nothing;
    __real__ZN4kern8SpinLock6unlockEv(lock);
    Machine::running()->give_back(lock, reinterpret_cast<std::uintptr_t>(CALLER));
}

// kern::arch::relax
void __real__ZN4kern4arch5relaxEv();
void __wrap__ZN4kern4arch5relaxEv() {
    if (is_quiet()) return __real__ZN4kern4arch5relaxEv();
    const Quiet watch_nothing;
    Machine::running()->relax();
}

// kern::arch::die: a panic on a simulated CPU is something broken, and the story tells how.
[[noreturn]] void __real__ZN4kern4arch3dieESt17basic_string_viewIcSt11char_traitsIcEES4_j(
    std::string_view, std::string_view, unsigned);
[[noreturn]] void __wrap__ZN4kern4arch3dieESt17basic_string_viewIcSt11char_traitsIcEES4_j(
    std::string_view message, std::string_view file, unsigned line) {
    Machine* const machine = Machine::running();
    if (machine && machine->on_cpu()) machine->stop("the kernel panics: " + std::string{message});
    __real__ZN4kern4arch3dieESt17basic_string_viewIcSt11char_traitsIcEES4_j(message, file, line);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming,misc-use-internal-linkage,bugprone-macro-parentheses)

namespace kern::explore {

void step(const std::string& what) {
    if (is_quiet()) return;
    const Quiet watch_nothing;
    Machine::running()->step(what, reinterpret_cast<std::uintptr_t>(CALLER));
}

void wait_until(const std::string& what, const std::function<bool()>& condition) {
    if (is_quiet()) return;
    const Quiet watch_nothing;
    Machine::running()->wait(what, condition, reinterpret_cast<std::uintptr_t>(CALLER));
}

void broken(const std::string& what) {
    Machine* const machine = Machine::running();
    if (!machine) return;
    if (machine->on_cpu()) machine->stop(what);
    machine->note_broken(what);
}

}  // namespace kern::explore
