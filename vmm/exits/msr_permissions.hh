// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "vmm/address.hh"

namespace vmm {

/// MSRs that follow each other, as a permission map has them: msrs_per_range of them.
struct MsrRange {
    std::uint32_t first;    ///< the number of the first MSR
    std::size_t read_bit;   ///< where the map has the bit of that MSR's RDMSR: bit 0 is the lowest
                            ///< one of the map's first byte, bit 8 the lowest one of its second
    std::size_t write_bit;  ///< the same of its WRMSR
};
/// MSRs in each range, of either vendor.
inline constexpr std::uint32_t msrs_per_range = 0x2000;

/// How a vendor lays out its map of MSR permissions: a bit that is 1 makes the access exit.
///
/// ```
///   AMD: two bits an MSR, in three ranges           Intel: four bitmaps, a bit an MSR
///
///   byte 0x800        byte 0x801                    byte 0x000   reads of 0 to 1fff
///   7 6 5 4 3 2 1 0   7 6 5 4 3 2 1 0               byte 0x400   reads of c0000000 to c0001fff
///  +---+---+---+---+ +---+---+---+---+              byte 0x800   writes of 0 to 1fff
///  |w r|w r|w r|w r| |w r|w r|w r|w r|              byte 0xc00   writes of c0000000 to c0001fff
///  +---+---+---+---+ +---+---+---+---+
///    3   2   1   0     7   6   5   4   + c0000000
/// ```
struct MsrMapFormat {
    std::string_view name;             ///< the vendor's
    std::size_t bytes;                 ///< of the whole map
    std::span<const MsrRange> ranges;  ///< no MSR is in two of them
    std::size_t step;                  ///< bits from one MSR's bit to that of the next one
};

/// AMD's map, two pages [amd/vol2 15.11].
extern const MsrMapFormat svm_msr_map;
/// Intel's four bitmaps, one page [intel/vol3c 25.6.9].
extern const MsrMapFormat vmx_msr_map;

/// Which accesses to an MSR end the guest's run.
struct MsrExits {
    bool read = true;   ///< RDMSR
    bool write = true;  ///< WRMSR
};

/// Notes in a map of MSR permissions which accesses to one MSR exit (task lab4.msr_permissions).
/// All other bits of the map stay as they are.
///
/// @param format  how the map is laid out; as many bytes as it says are there
/// @param map     the map
/// @param msr     the MSR's number, any
/// @param exits   what shall exit: for each of the two the bit becomes 1, or 0 if not
/// @note Error: OutOfRange (the MSR is in no range of the map). Then nothing has changed, and the
/// access exits whatever was wanted: a processor asks the map about no other MSR.
/// @note Sources: [amd/vol2 15.11], [intel/vol3c 25.6.9].
std::expected<void, Error> msr_permissions(const MsrMapFormat& format, std::span<std::byte> map,
                                           std::uint32_t msr, MsrExits exits);

}  // namespace vmm
