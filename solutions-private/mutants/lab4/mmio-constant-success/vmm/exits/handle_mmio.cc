// SPDX-License-Identifier: MIT
#include "vmm/exits/handle_mmio.hh"

namespace vmm {

Handled handle_mmio(Vcpu&, const Exit&, const exit::NestedPageFault&) {
    return {};
}

}  // namespace vmm
