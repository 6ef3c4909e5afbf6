// SPDX-License-Identifier: MIT
#include <cstddef>
#include <variant>

#include "vmm/exits/exits.hh"

namespace vmm {
namespace {

/// Calls the handler of the reason, whose place in the variant is `index` or a later one. All of it
/// ends up in handle_exit, without a table of functions, which would stand in a page of its own.
template <std::size_t index>
[[gnu::always_inline]] inline Handled call(Vcpu& vcpu, const Exit& exit) {
    constexpr std::size_t last = std::variant_size_v<decltype(Exit::reason)> - 1;
    if constexpr (index < last)
        if (exit.reason.index() != index) return call<index + 1>(vcpu, exit);
    return exits::handle(vcpu, exit, *std::get_if<index>(&exit.reason));
}

}  // namespace

[[gnu::hot]] Handled handle_exit(Vcpu& vcpu, const Exit& exit) {
    return call<0>(vcpu, exit);
}

}  // namespace vmm
