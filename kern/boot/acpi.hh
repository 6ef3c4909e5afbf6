// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "kern/boot/boot_info.hh"

namespace kern::acpi {

/// The local APIC identifiers of the CPUs that may be started, in the order of the table.
using CpuList = BootList<std::uint32_t, 64>;

/// Looks for the root pointer where a BIOS leaves it: the first KiB of the extended BIOS data area,
/// and 0xe0000 to 0xfffff [acpi 5.2.5.1]. Error: NotFound.
/// @param memory physical memory from address 0 on
std::expected<Hpa, Error> find_rsdp(std::span<const std::byte> memory);

/// The enabled CPUs of the MADT, found from the root pointer through RSDT or XSDT [acpi 5.2.12].
/// Errors: NotFound (no MADT), Truncated (a table leaves `memory`), BadFormat (wrong signature,
/// checksum or length).
std::expected<CpuList, Error> find_cpus(std::span<const std::byte> memory, Hpa rsdp);

}  // namespace kern::acpi
