// SPDX-License-Identifier: MIT
#include "kern/lib/panic.hh"

#include "kern/arch/arch.hh"
#include "kern/lib/print.hh"

namespace kern {

void panic(std::string_view message, std::source_location where) {
    arch::disable_interrupts();
    print_without_lock();
    arch::die(message, where.file_name(), where.line());
}

}  // namespace kern
