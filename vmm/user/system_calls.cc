// SPDX-License-Identifier: MIT
#include "vmm/user/system_calls.hh"

#include <array>
#include <limits>
#include <utility>

#include "kern/proc/environments.hh"
#include "kern/proc/system_calls.hh"
#include "vmm/user/guest_env.hh"
#include "vmm/user/syscall_numbers.hh"

namespace vmm {
namespace {

using kern::SystemCallArguments;
using kern::SystemCallResult;
using kern::syscall::Failure;

constexpr std::uint64_t known_flags = syscall::flag_hypercalls;

/// An identifier that a program gave. What is none in 32 bits is nobody's.
std::expected<kern::EnvId, Failure> id_of(std::uint64_t argument) {
    if (argument > std::numeric_limits<kern::EnvId>::max())
        return std::unexpected{Failure::not_found};
    return static_cast<kern::EnvId>(argument);
}

SystemCallResult done(const std::expected<void, Error>& outcome) {
    if (!outcome) return std::unexpected{kern::failure_of(outcome.error())};
    return 0;
}

SystemCallResult env_mkguest(kern::Env& env, const SystemCallArguments& arguments) {
    const auto& [memory_bytes, rip, flags, unused_4, unused_5] = arguments;
    const Backend* const backend = Vm::prepared();
    if (backend == nullptr) return std::unexpected{Failure::failed};
    if ((flags & ~known_flags) != 0) return std::unexpected{Failure::invalid_argument};
    const auto made = GuestEnv::make(env, *backend->format,
                                     {.memory_bytes = memory_bytes,
                                      .rip = rip,
                                      .hypercalls = (flags & syscall::flag_hypercalls) != 0});
    if (!made) return std::unexpected{kern::failure_of(made.error())};
    return *made;
}

SystemCallResult ept_map(kern::Env& env, const SystemCallArguments& arguments) {
    const auto& [srcenv, srcva, guest, guest_pa, perm] = arguments;
    const auto source = id_of(srcenv), target = id_of(guest);
    if (!source || !target) return std::unexpected{Failure::not_found};
    return done(sys_ept_map(env, *source, kern::Uva{srcva}, *target, Gpa{guest_pa}, perm));
}

SystemCallResult guest_start(kern::Env& env, const SystemCallArguments& arguments) {
    const auto id = id_of(arguments[0]);
    if (!id) return std::unexpected{id.error()};
    kern::Env* const target = find_own(env, *id);
    GuestEnv* const guest = target != nullptr ? guest_of(*target) : nullptr;
    if (guest == nullptr) return std::unexpected{Failure::not_found};
    const auto started = guest->start(*target);
    if (started) kern::environments.make_runnable(*target);
    return done(started);
}

constexpr std::array<kern::SystemCallHandler, 3> handlers{env_mkguest, ept_map, guest_start};
constexpr std::size_t index_of(syscall::Number number) {
    return std::to_underlying(number) - kern::syscall::extension_begin;
}
static_assert(handlers[index_of(syscall::Number::env_mkguest)] == env_mkguest &&
              handlers[index_of(syscall::Number::ept_map)] == ept_map &&
              handlers[index_of(syscall::Number::guest_start)] == guest_start);

}  // namespace

void serve_guest_system_calls(const Probe& probe) {
    GuestEnv::set_probe(probe);
    kern::set_system_call_extension(handlers);
}

}  // namespace vmm
