// SPDX-License-Identifier: MIT
#include <array>
#include <cstddef>
#include <utility>
#include <variant>

#include "vmm/exits/exits.hh"

namespace vmm {
namespace {

using Reason = decltype(Exit::reason);
using Handler = Handled (*)(Vcpu&, const Exit&);

template <std::size_t index>
Handled call(Vcpu& vcpu, const Exit& exit) {
    return exits::handle(vcpu, exit, *std::get_if<index>(&exit.reason));
}

template <std::size_t... indices>
constexpr std::array<Handler, sizeof...(indices)> make_table(std::index_sequence<indices...>) {
    return {call<indices>...};
}

constexpr auto table = make_table(std::make_index_sequence<std::variant_size_v<Reason>>{});

}  // namespace

Handled handle_exit(Vcpu& vcpu, const Exit& exit) {
    return table[exit.reason.index()](vcpu, exit);
}

}  // namespace vmm
