// SPDX-License-Identifier: MIT
#include "kern/mm/ptab.hh"

namespace kern {

std::expected<void, Error> Ptab::insert_mapping([[maybe_unused]] Uva virt,
                                                [[maybe_unused]] Hpa phys,
                                                [[maybe_unused]] Attributes attr) {
    return {};
}

}  // namespace kern
