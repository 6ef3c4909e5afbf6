// SPDX-License-Identifier: MIT
#include "kern/arch/fpu.hh"
#include "kern/arch/user.hh"

// The fake machine has no ring 3: programs do not run on it, but what the kernel does for them
// does.
namespace kern::arch {

void share_kernel_half(std::byte*) {}
void use_address_space(Hpa) {}
void use_kernel_address_space() {}
void forget_translation(Uva) {}

std::size_t fpu_state_size() {
    return 512;  // FXSAVE's
}
void save_fpu(std::byte*) {}
void load_fpu(const std::byte*) {}

int console_read() {
    return -1;
}

}  // namespace kern::arch
