// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "vmm/devices/mmio_bus.hh"

namespace vmm {

class Vm;

/// The page of the local APICs: each vCPU that is in xAPIC mode finds its own one there, the other
/// ones find no device.
class ApicPage final : public MmioDevice {
   public:
    /// Where it is; APIC_BASE says so, and cannot be changed.
    static constexpr Gpa address{0xfee0'0000};
    /// Bytes of its registers.
    static constexpr std::uint64_t bytes = page_size;

    /// Of the vCPUs of `vm`.
    explicit ApicPage(Vm& vm) : vm_{vm} {}

    /// See X2Apic::read_page: registers have 4 bytes. A command that is written is sent.
    std::expected<std::uint64_t, Error> read(const MmioAccess& access) override;
    std::expected<void, Error> write(const MmioAccess& access, std::uint64_t value) override;

   private:
    std::expected<void, Error> check(const MmioAccess& access) const;

    Vm& vm_;
};

}  // namespace vmm
