// SPDX-License-Identifier: MIT
#include "vmm/devices/mmio_bus.hh"

namespace vmm {

std::expected<void, Error> MmioBus::attach(Gpa begin, std::uint64_t bytes, MmioDevice& device) {
    if (bytes == 0) return std::unexpected{Error::InvalidArgument};
    if (begin < mmio_hole_begin || begin >= mmio_hole_end || bytes > mmio_hole_end - begin)
        return std::unexpected{Error::OutOfRange};
    for (std::size_t i = 0; i < count_; ++i)
        if (begin < ranges_[i].begin + ranges_[i].bytes && ranges_[i].begin < begin + bytes)
            return std::unexpected{Error::Overlap};
    if (count_ == max_devices) return std::unexpected{Error::OutOfMemory};
    ranges_[count_++] = {begin, bytes, &device};
    return {};
}

const MmioBus::Range* MmioBus::find(Gpa address) const {
    for (std::size_t i = 0; i < count_; ++i)
        if (address >= ranges_[i].begin && address - ranges_[i].begin < ranges_[i].bytes)
            return &ranges_[i];
    return nullptr;
}

std::expected<MmioBus::Target, Error> MmioBus::aim(unsigned vcpu, Gpa address,
                                                   unsigned size) const {
    const Range* const range = find(address);
    if (range == nullptr) return std::unexpected{Error::NotFound};
    const std::uint64_t offset = address - range->begin;
    if (size > range->bytes - offset) return std::unexpected{Error::OutOfRange};
    return Target{range->device, {.vcpu = vcpu, .offset = offset, .size = size}};
}

std::expected<std::uint64_t, Error> MmioBus::read(unsigned vcpu, Gpa address, unsigned size) const {
    const auto target = aim(vcpu, address, size);
    if (!target) return std::unexpected{target.error()};
    return target->device->read(target->access);
}

std::expected<void, Error> MmioBus::write(unsigned vcpu, Gpa address, unsigned size,
                                          std::uint64_t value) const {
    const auto target = aim(vcpu, address, size);
    if (!target) return std::unexpected{target.error()};
    return target->device->write(target->access, value);
}

}  // namespace vmm
