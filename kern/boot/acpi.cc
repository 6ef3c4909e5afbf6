// SPDX-License-Identifier: MIT
#include "kern/boot/acpi.hh"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "kern/boot/bytes.hh"

namespace kern::acpi {
namespace {

constexpr std::string_view rsdp_signature = "RSD PTR ";
constexpr std::uint64_t rsdp_alignment = 16;

struct [[gnu::packed]] Rsdp {
    char signature[8];
    std::uint8_t checksum;
    char oem[6];
    std::uint8_t revision;
    std::uint32_t rsdt;
    std::uint32_t length;
    std::uint64_t xsdt;
    std::uint8_t extended_checksum, reserved[3];
};
static_assert(sizeof(Rsdp) == rsdp_size_2);

struct [[gnu::packed]] TableHeader {
    char signature[4];
    std::uint32_t length;
    std::uint8_t revision, checksum;
    char oem[6], oem_table[8];
    std::uint32_t oem_revision, creator, creator_revision;
};
static_assert(sizeof(TableHeader) == 36);
constexpr std::uint64_t longest_table = 1 << 20;

// The MADT: header, 8 bytes, then records of type and length [acpi 5.2.12].
constexpr std::uint64_t madt_records = sizeof(TableHeader) + 8;
struct [[gnu::packed]] LocalApic {
    std::uint8_t type, length, processor, id;
    std::uint32_t flags;
};
struct [[gnu::packed]] LocalX2Apic {
    std::uint8_t type, length;
    std::uint16_t reserved;
    std::uint32_t id, flags, processor;
};
static_assert(sizeof(LocalApic) == 8 && sizeof(LocalX2Apic) == 16);
constexpr std::uint8_t local_apic_type = 0, local_x2apic_type = 9;
constexpr std::uint32_t enabled_flag = 1;

bool sums_to_zero(Bytes bytes) {
    std::uint8_t sum = 0;
    for (const std::byte byte : bytes)
        sum = static_cast<std::uint8_t>(sum + std::to_integer<int>(byte));
    return sum == 0;
}

/// The whole table at `address`, checked.
std::expected<Bytes, Error> table_at(Bytes memory, std::uint64_t address) {
    const auto header = value_at<TableHeader>(memory, address);
    if (!header) return std::unexpected{Error::Truncated};
    if (header->length < sizeof(TableHeader) || header->length > longest_table)
        return std::unexpected{Error::BadFormat};
    const auto bytes = bytes_at(memory, address, header->length);
    if (!bytes) return std::unexpected{Error::Truncated};
    if (!sums_to_zero(*bytes)) return std::unexpected{Error::BadFormat};
    return *bytes;
}

bool has_signature(Bytes table, std::string_view signature) {
    return text_at(table, 0, signature.size()) == signature;
}

bool is_rsdp(Bytes memory, std::uint64_t address) {
    const auto bytes = bytes_at(memory, address, rsdp_size_1);
    return bytes && has_signature(*bytes, rsdp_signature) && sums_to_zero(*bytes);
}

/// The RSDP at `address`; what a version 1 has not got is 0 in it. The second part has a checksum
/// of its own, over both.
std::expected<Rsdp, Error> rsdp_at(Bytes memory, std::uint64_t address) {
    if (!is_rsdp(memory, address)) return std::unexpected{Error::BadFormat};
    constexpr std::uint8_t version_2 = 2;
    if (const auto whole = value_at<Rsdp>(memory, address); whole && whole->revision >= version_2) {
        const auto bytes = bytes_at(memory, address, whole->length);
        if (whole->length >= rsdp_size_2 && whole->length <= longest_table && bytes &&
            sums_to_zero(*bytes))
            return *whole;
    }
    // A version 1 pointer may end where memory does.
    Rsdp first_part{};
    std::memcpy(&first_part, memory.data() + address, rsdp_size_1);
    return first_part;
}

std::expected<Bytes, Error> find_madt(Bytes memory, Hpa rsdp) {
    const auto pointers = rsdp_at(memory, rsdp.value());
    if (!pointers) return std::unexpected{pointers.error()};
    const bool extended = pointers->xsdt != 0;
    const auto root = table_at(memory, extended ? pointers->xsdt : pointers->rsdt);
    if (!root) return root;
    if (!has_signature(*root, extended ? "XSDT" : "RSDT")) return std::unexpected{Error::BadFormat};
    const std::uint64_t pointer_size = extended ? sizeof(std::uint64_t) : sizeof(std::uint32_t);
    for (std::uint64_t at = sizeof(TableHeader); at + pointer_size <= root->size();
         at += pointer_size) {
        const std::uint64_t address =
            extended ? *value_at<std::uint64_t>(*root, at) : *value_at<std::uint32_t>(*root, at);
        const auto bytes = bytes_at(memory, address, sizeof(TableHeader));
        if (bytes && has_signature(*bytes, "APIC")) return table_at(memory, address);
    }
    return std::unexpected{Error::NotFound};
}

}  // namespace

std::expected<Hpa, Error> find_rsdp(std::span<const std::byte> memory) {
    constexpr std::uint64_t ebda_pointer = 0x40e, ebda_size = 1024;
    constexpr std::uint64_t bios_begin = 0xe0000, bios_end = 0x100000;
    const auto search = [&](std::uint64_t begin, std::uint64_t end) -> std::uint64_t {
        for (std::uint64_t at = begin; at < end; at += rsdp_alignment)
            if (is_rsdp(memory, at)) return at;
        return 0;
    };
    const std::uint64_t ebda =
        std::uint64_t{value_at<std::uint16_t>(memory, ebda_pointer).value_or(0)} * 16;
    std::uint64_t found = ebda != 0 ? search(ebda, ebda + ebda_size) : 0;
    if (found == 0) found = search(bios_begin, bios_end);
    if (found == 0) return std::unexpected{Error::NotFound};
    return Hpa{found};
}

std::expected<CpuList, Error> find_cpus(std::span<const std::byte> memory, Hpa rsdp) {
    const auto madt = find_madt(memory, rsdp);
    if (!madt) return std::unexpected{madt.error()};
    CpuList cpus;
    const auto add = [&](std::uint32_t id) {
        if (std::ranges::find(cpus, id) == cpus.end())
            static_cast<void>(cpus.push(id));  // many more than this kernel can use
    };
    for (std::uint64_t at = madt_records; at < madt->size();) {
        const auto type = value_at<std::uint8_t>(*madt, at);
        const auto length = value_at<std::uint8_t>(*madt, at + 1);
        if (!type || !length || *length < 2) return std::unexpected{Error::BadFormat};
        const auto record = bytes_at(*madt, at, *length);
        if (!record) return std::unexpected{Error::Truncated};
        if (*type == local_apic_type) {
            const auto apic = value_at<LocalApic>(*record, 0);
            if (!apic) return std::unexpected{Error::BadFormat};
            if ((apic->flags & enabled_flag) != 0) add(apic->id);
        } else if (*type == local_x2apic_type) {
            const auto apic = value_at<LocalX2Apic>(*record, 0);
            if (!apic) return std::unexpected{Error::BadFormat};
            if ((apic->flags & enabled_flag) != 0) add(apic->id);
        }
        at += *length;
    }
    return cpus;
}

}  // namespace kern::acpi
