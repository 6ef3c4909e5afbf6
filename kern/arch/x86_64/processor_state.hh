// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

/// Registers that the kernel itself never uses, because it is compiled without floating point and
/// sets no breakpoints: whoever runs other people's code moves them [amd/vol2 11.5, 13.1.1].
namespace kern::arch {

/// Whether this CPU has XSAVE, and with it XCR0; the kernel has turned on CR4.OSXSAVE then.
bool has_xsave();
///@{
/// Extended control register 0: the components of XSAVE that are on. Only where has_xsave().
std::uint64_t read_xcr0();
void write_xcr0(std::uint64_t value);
///@}

/// DR0 to DR3. DR7, which turns them on, is not among them.
using Breakpoints = std::array<std::uint64_t, 4>;
///@{
/// This CPU's.
Breakpoints read_breakpoints();
void write_breakpoints(const Breakpoints& breakpoints);
///@}

}  // namespace kern::arch
