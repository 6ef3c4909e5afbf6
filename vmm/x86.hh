// SPDX-License-Identifier: MIT
#pragma once

#include "kern/arch/vectors.hh"
#include "kern/arch/x86.hh"

namespace vmm {

///@{
/// Bits of registers, numbers of MSRs and of exceptions: the kernel's, by the same names.
namespace cr0 = kern::arch::x86::cr0;
namespace cr4 = kern::arch::x86::cr4;
namespace dr6 = kern::arch::x86::dr6;
namespace dr7 = kern::arch::x86::dr7;
namespace efer = kern::arch::x86::efer;
namespace msr = kern::arch::x86::msr;
namespace pte = kern::arch::x86::pte;
namespace rflags = kern::arch::x86::rflags;
namespace vector = kern::arch::vector;
///@}

}  // namespace vmm
