// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>

#include "vmm/address.hh"

namespace vmm {

/// One access to a device's registers in memory.
struct MmioAccess {
    unsigned vcpu = 0;         ///< who accesses
    std::uint64_t offset = 0;  ///< from the device's first byte
    unsigned size = 4;         ///< bytes: 1, 2, 4 or 8; all of them are the device's
};

/// A device whose registers are in memory. Its methods are called on several CPUs at once, with
/// interrupts enabled and no lock held. Errors: Unsupported (no register can be accessed like
/// that), NotFound (the device is not there now). What fails has changed nothing.
class MmioDevice {
   public:
    virtual ~MmioDevice() = default;
    /// What a load finds: `size` bytes, the other ones of the result are 0.
    virtual std::expected<std::uint64_t, Error> read(const MmioAccess& access) = 0;
    /// What a store does; bits of `value` beyond `size` bytes are 0.
    virtual std::expected<void, Error> write(const MmioAccess& access, std::uint64_t value) = 0;
};

/// The devices of one VM in its MMIO hole. They are attached before the VM runs.
class MmioBus {
   public:
    /// How many there may be.
    static constexpr std::size_t max_devices = 8;

    /// Puts `device`, which outlives the bus, at the `bytes` bytes from `begin` on. Errors:
    /// InvalidArgument (no byte), OutOfRange (not in the MMIO hole), Overlap (another device has
    /// one of them), OutOfMemory (max_devices are there).
    std::expected<void, Error> attach(Gpa begin, std::uint64_t bytes, MmioDevice& device);

    /// Whether a device has the byte at `address`.
    bool has(Gpa address) const { return find(address) != nullptr; }

    ///@{
    /// An access of vCPU number `vcpu` to the `size` bytes at `address`: the device's. Errors: the
    /// device's; NotFound (no device has the first byte), OutOfRange (it has not all of them).
    std::expected<std::uint64_t, Error> read(unsigned vcpu, Gpa address, unsigned size) const;
    std::expected<void, Error> write(unsigned vcpu, Gpa address, unsigned size,
                                     std::uint64_t value) const;
    ///@}

   private:
    struct Range {
        Gpa begin{};
        std::uint64_t bytes = 0;
        MmioDevice* device = nullptr;
    };
    /// An access, and whose it is.
    struct Target {
        MmioDevice* device;
        MmioAccess access;
    };

    const Range* find(Gpa address) const;
    std::expected<Target, Error> aim(unsigned vcpu, Gpa address, unsigned size) const;

    std::array<Range, max_devices> ranges_{};
    std::size_t count_ = 0;
};

}  // namespace vmm
