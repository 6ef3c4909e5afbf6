// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "vmm/exits/walk_guest.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// Reads or writes the guest's memory at a linear address as its own CPU would: by walk_guest, with
/// its rights, accessed and dirty bits. Addresses wrap at 4 GiB.
///
/// Guest-physical addresses where no memory is read as bytes ff, and writes to them are lost, as on
/// a bus where nobody answers. A page table that is not in memory is one without present entries.
///
/// @param cpu      whose paging counts
/// @param memory   the guest's
/// @param address  of the first byte
/// @param user     whether it is an access of CPL 3; what the CPU does by itself (IDT, GDT, TSS) is
///                 none
/// @note Errors: the page fault that the guest gets, with error code and address. Then nothing was
/// written; what was read counts for nothing.
///@{
std::expected<void, GuestFault> read_linear(const SoftCpu& cpu, const GuestMemory& memory,
                                            std::uint32_t address, std::span<std::byte> out,
                                            bool user);
std::expected<void, GuestFault> write_linear(const SoftCpu& cpu, const GuestMemory& memory,
                                             std::uint32_t address, std::span<const std::byte> in,
                                             bool user);
///@}

/// The same for one number of 1, 2, 4 or 8 bytes.
///@{
template <class T>
std::expected<T, GuestFault> read_number(const SoftCpu& cpu, const GuestMemory& memory,
                                         std::uint32_t address, bool user) {
    T value{};
    if (const auto read =
            read_linear(cpu, memory, address, std::as_writable_bytes(std::span{&value, 1}), user);
        !read)
        return std::unexpected{read.error()};
    return value;
}
template <class T>
std::expected<void, GuestFault> write_number(const SoftCpu& cpu, const GuestMemory& memory,
                                             std::uint32_t address, T value, bool user) {
    return write_linear(cpu, memory, address, std::as_bytes(std::span{&value, 1}), user);
}
///@}

/// Fetches what stands at EIP, up to longest_instruction bytes, in the guest's mode. Fewer if the
/// next page cannot be fetched from; none if EIP's cannot.
std::size_t fetch(const SoftCpu& cpu, const GuestMemory& memory, std::span<std::byte> out);

}  // namespace vmm::soft
