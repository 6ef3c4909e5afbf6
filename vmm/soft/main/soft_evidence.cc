// SPDX-License-Identifier: MIT
#include "vmm/soft/main/soft_evidence.hh"

namespace vmm::soft {

// In the data section, not in .bss: the magic is there from the first instruction on.
constinit SoftEvidence soft_evidence{
    .magic = {'N', 'E', 'S', 'T', 'L', 'I', 'N', 'G', '-', 'S', 'O', 'F', 'T', '-', '1'}};

}  // namespace vmm::soft
