// SPDX-License-Identifier: MIT
#include "vmm/soft/shadow_flush.hh"

namespace vmm::soft {

void shadow_flush(Shadows& shadows, const Forget& forget) {
    switch (forget.kind) {
        case Forget::Kind::Nothing: return;
        case Forget::Kind::Page: {
            const Gva page{forget.address.value() & ~(page_size - 1)};
            for (const bool user : {false, true}) shadows.active(user).clear_4_mib(page);
            shadows.machine().flush_page(page);
            return;
        }
        case Forget::Kind::Everything:
            for (const bool user : {false, true}) shadows.active(user).clear_all();
            shadows.machine().flush_all();
            return;
    }
}

}  // namespace vmm::soft
