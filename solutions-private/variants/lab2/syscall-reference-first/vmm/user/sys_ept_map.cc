// SPDX-License-Identifier: MIT
#include "kern/arch/arch.hh"
#include "vmm/paging/walk.hh"
#include "vmm/user/guest_env.hh"
#include "vmm/user/syscall_numbers.hh"
#include "vmm/user/system_calls.hh"

namespace vmm {
namespace {

std::expected<Permission, Error> permission_of(std::uint64_t perm) {
    switch (perm) {
        case syscall::perm_read: return read_only;
        case syscall::perm_read | syscall::perm_execute: return read_execute;
        case syscall::perm_read | syscall::perm_write:
            return Permission{.read = true, .write = true};
        case syscall::perm_all: return read_write_execute;
        default: return std::unexpected(Error::InvalidArgument);
    }
}

}  // namespace

std::expected<void, Error> sys_ept_map(kern::Env& caller, kern::EnvId srcenv, kern::Uva srcva,
                                       kern::EnvId guest, Gpa guest_pa, std::uint64_t perm) {
    const kern::Env* const source = find_own(caller, srcenv);
    if (source == nullptr || !source->space) return std::unexpected(Error::NotFound);
    auto frame = source->space->reference(srcva);

    kern::Env* const env = guest == 0 ? nullptr : find_own(caller, guest);
    if (env == nullptr || guest_of(*env) == nullptr) return std::unexpected(Error::NotFound);
    GuestEnv& machine = *guest_of(*env);
    if (guest_pa >= Gpa{machine.memory_bytes()} || !frame)
        return std::unexpected(srcva.is_aligned() && guest_pa.is_aligned() ? Error::OutOfRange
                                                                           : Error::Unaligned);
    if (srcva.page() != srcva) return std::unexpected(Error::Unaligned);
    const auto permission = permission_of(perm);
    if (!permission) return std::unexpected(permission.error());
    if (permission->write && !frame->rights().write) return std::unexpected(Error::InvalidArgument);

    const auto hva = reinterpret_cast<std::uintptr_t>(kern::arch::direct_map(frame->address()));
    auto mapped = ept_map_hva2gpa(machine.table().format(), machine.table().root(), kern::Hva{hva},
                                  guest_pa, *permission, false);
    if (mapped) frame->release();
    return mapped;
}

}  // namespace vmm
