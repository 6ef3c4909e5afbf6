// SPDX-License-Identifier: MIT
#include "kern/checksum/checksum_evidence.hh"

namespace kern {

// In the data section, not in .bss, as proc_evidence is: the magic is there from the first
// instruction on.
constinit ChecksumEvidence checksum_evidence{
    .magic = {'N', 'E', 'S', 'T', 'L', 'I', 'N', 'G', '-', 'C', 'H', 'E', 'C', 'K', '1'}};

}  // namespace kern
