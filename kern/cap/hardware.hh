// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/cap/objects.hh"

namespace kern::cap {

/// Where a thread goes on.
struct Registers {
    ///@{
    /// Of that name.
    std::uint64_t rip = 0, rsp = 0, rdi = 0, rflags = 0;
    ///@}
};

/// What the methods of objects need of the hardware, beside Machine.
class Hardware {
   public:
    Hardware() = default;
    Hardware(const Hardware&) = delete;
    Hardware& operator=(const Hardware&) = delete;
    virtual ~Hardware() = default;

    /// Puts a page into an entry of a table of level 1 that is empty. It may be read.
    virtual void set_page(PageTable& table, unsigned index, const Capability& frame,
                          bool is_writable, bool is_executable) = 0;
    /// Puts a table into an empty entry of another.
    virtual void set_table(PageTable& table, unsigned index, const PageTable& below) = 0;
    ///@{
    /// What Tcb::machine holds of a thread that is not Running. RIP is below user_end; of RFLAGS,
    /// nothing is set.
    virtual void set_registers(Tcb& tcb, const Registers& registers) = 0;
    virtual Registers registers(const Tcb& tcb) = 0;
    ///@}
    ///@{
    /// An I/O port, 1 or 4 bytes at once.
    virtual std::uint32_t read_port(std::uint16_t port, unsigned bytes) = 0;
    virtual void write_port(std::uint16_t port, unsigned bytes, std::uint32_t value) = 0;
    ///@}
};

/// Addresses of programs end here. The last page of the lower half is left out: behind its last
/// instruction is an address that no register may have.
inline constexpr std::uint64_t user_end = 0x7fff'ffff'f000;

}  // namespace kern::cap
