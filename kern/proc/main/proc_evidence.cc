// SPDX-License-Identifier: MIT
#include "kern/proc/main/proc_evidence.hh"

namespace kern {

// In the data section, not in .bss: the magic is there from the first instruction on, so that a
// kernel that dies early is told from a memory image that is none.
constinit ProcEvidence proc_evidence{
    .magic = {'N', 'E', 'S', 'T', 'L', 'I', 'N', 'G', '-', 'P', 'R', 'O', 'C', '-', '1'}};

}  // namespace kern
