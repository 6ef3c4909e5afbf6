// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "kern/boot/boot_info.hh"

namespace kern::acpi {

///@{
/// Bytes of a root pointer: of version 1, and of version 2 on [acpi 5.2.5.3].
inline constexpr std::uint64_t rsdp_size_1 = 20, rsdp_size_2 = 36;
///@}

/// The local APIC identifiers of the CPUs that may be started, in the order of the table.
using CpuList = FixedList<std::uint32_t, 64>;

/// Looks for the root pointer where a BIOS leaves it: the first KiB of the extended BIOS data area,
/// and 0xe0000 to 0xfffff [acpi 5.2.5.1]. Error: NotFound.
/// @param memory physical memory from address 0 on
std::expected<Hpa, Error> find_rsdp(std::span<const std::byte> memory);

/// The enabled CPUs of the MADT, each once, found from the root pointer through RSDT or XSDT [acpi
/// 5.2.12]. A root pointer of version 2 whose second part is damaged, or not there, counts as one of
/// version 1. An entry of RSDT or XSDT that points out of `memory` is passed over.
/// Errors: NotFound (no MADT), Truncated (a table leaves `memory`), BadFormat (wrong signature,
/// checksum or length).
std::expected<CpuList, Error> find_cpus(std::span<const std::byte> memory, Hpa rsdp);

}  // namespace kern::acpi
