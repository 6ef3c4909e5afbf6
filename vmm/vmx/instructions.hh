// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// VMX's own instructions [intel/vol3c 31.3]. Those that return bool say whether they succeeded.
namespace vmm::vmx {

/// What is read of the current VMCS after every exit, all at once. Fields that a CPU lacks are 0.
struct ExitFields {
    ///@{
    /// The field of this name [intel/vol3c 25.9, 25.4].
    std::uint64_t reason = 0, qualification = 0, instruction_length = 0, instruction_error = 0;
    std::uint64_t rsp = 0, rip = 0, rflags = 0, ss_access_rights = 0, interruptibility_state = 0;
    ///@}
};

extern "C" {
/// The field's value; 0 if the CPU does not have it.
std::uint64_t vmx_vmread(std::uint64_t field);
/// Reads them out of the current VMCS.
void vmx_read_exit_fields(ExitFields* fields);
/// Writes a field of the current VMCS.
bool vmx_vmwrite(std::uint64_t field, std::uint64_t value);
///@{
/// With the physical address of the VMXON region or the VMCS.
bool vmx_vmxon(std::uint64_t address);
bool vmx_vmclear(std::uint64_t address);
bool vmx_vmptrld(std::uint64_t address);
///@}
/// Flushes what was translated through the table of `ept_pointer`, or through all tables.
bool vmx_invept(std::uint64_t type, std::uint64_t ept_pointer);
/// Flushes what was translated for `vpid`, or for all.
bool vmx_invvpid(std::uint64_t type, std::uint64_t vpid);
/// Gives the host an NMI that has ended a guest's run, and unblocks NMIs.
void vmx_take_nmi();
///@{
/// DR6, which no VMCS switches.
std::uint64_t vmx_read_dr6();
void vmx_write_dr6(std::uint64_t value);
///@}
}

/// Types of INVEPT and INVVPID [intel/vol3c 31.3].
namespace invalidate {
inline constexpr std::uint64_t single_context = 1;
inline constexpr std::uint64_t all_contexts = 2;
}  // namespace invalidate

}  // namespace vmm::vmx
