// SPDX-License-Identifier: MIT
#include "vmm/evidence.hh"

namespace vmm {

// In the data section, not in .bss: the magic is there from the first instruction on, so that a
// kernel that dies early is told from a memory image that is none.
constinit Evidence vmm_evidence{
    .magic = {'N', 'E', 'S', 'T', 'L', 'I', 'N', 'G', '-', 'E', 'V', 'I', 'D', '-', '1'}};

}  // namespace vmm
