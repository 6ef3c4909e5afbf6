// SPDX-License-Identifier: MIT
#include "vmm/user/system_calls.hh"

#include "kern/arch/arch.hh"
#include "kern/proc/address_space.hh"
#include "vmm/paging/walk.hh"
#include "vmm/user/guest_env.hh"
#include "vmm/user/syscall_numbers.hh"

namespace vmm {

std::expected<void, Error> sys_ept_map(kern::Env& caller, kern::EnvId srcenv, kern::Uva srcva,
                                       kern::EnvId guest, Gpa guest_pa, std::uint64_t perm) {
    const kern::Env* const source = find_own(caller, srcenv);
    if (source == nullptr || source->space == nullptr) return std::unexpected(Error::NotFound);
    kern::Env* const target = find_own(caller, guest);
    GuestEnv* const machine = target == nullptr ? nullptr : guest_of(*target);
    if (machine == nullptr) return std::unexpected(Error::NotFound);

    if (!srcva.is_aligned() || !guest_pa.is_aligned()) return std::unexpected(Error::Unaligned);
    if (srcva >= kern::user_layout::end || guest_pa.value() >= machine->memory_bytes())
        return std::unexpected(Error::OutOfRange);
    if ((perm & ~syscall::perm_all) != 0 || (perm & syscall::perm_read) == 0)
        return std::unexpected(Error::InvalidArgument);

    auto frame = source->space->reference(srcva);
    if (!frame) return std::unexpected(Error::OutOfRange);
    const bool write = (perm & syscall::perm_write) != 0;
    if (write && !frame->rights().write) return std::unexpected(Error::InvalidArgument);

    const kern::Hva hva{reinterpret_cast<std::uintptr_t>(kern::arch::direct_map(frame->address()))};
    const SecondLevelTable& table = machine->table();
    const auto mapped = ept_map_hva2gpa(
        table.format(), table.root(), hva, guest_pa,
        {.read = true, .write = write, .execute = (perm & syscall::perm_execute) != 0}, true);
    if (!mapped) return mapped;
    frame->release();  // it is the entry's now
    return {};
}

}  // namespace vmm
