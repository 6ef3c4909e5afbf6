// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vmm::soft {

/// The devices behind the guest's ports.
class PortBus {
   public:
    PortBus() = default;
    PortBus(const PortBus&) = delete;
    PortBus& operator=(const PortBus&) = delete;
    virtual ~PortBus() = default;

    ///@{
    /// What IN gets from `port`, and what OUT does there. `size` is 1, 2 or 4 bytes; the bits
    /// beyond are 0 in `value` and do not count in the answer.
    virtual std::uint32_t read(std::uint16_t port, unsigned size) = 0;
    virtual void write(std::uint16_t port, unsigned size, std::uint32_t value) = 0;
    ///@}
};

}  // namespace vmm::soft
