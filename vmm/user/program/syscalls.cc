// SPDX-License-Identifier: MIT
// The system calls for guests as functions.
#include "vmm/user/program/vmm.hh"

namespace user {
namespace {

std::int64_t guest_call(vmm::syscall::Number number, std::uint64_t first, std::uint64_t second = 0,
                        std::uint64_t third = 0, std::uint64_t fourth = 0,
                        std::uint64_t fifth = 0) {
    return system_call(static_cast<std::uint64_t>(number), first, second, third, fourth, fifth);
}

}  // namespace

std::int64_t env_mkguest(std::uint64_t memory_bytes, std::uint64_t rip, std::uint64_t flags) {
    return guest_call(vmm::syscall::Number::env_mkguest, memory_bytes, rip, flags);
}

std::int64_t sys_ept_map(std::int64_t srcenv, std::uint64_t srcva, std::int64_t guest,
                         std::uint64_t guest_pa, std::uint64_t perm) {
    return guest_call(vmm::syscall::Number::ept_map, static_cast<std::uint64_t>(srcenv), srcva,
                      static_cast<std::uint64_t>(guest), guest_pa, perm);
}

std::int64_t guest_start(std::int64_t guest) {
    return guest_call(vmm::syscall::Number::guest_start, static_cast<std::uint64_t>(guest));
}

}  // namespace user
