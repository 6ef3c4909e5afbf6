// SPDX-License-Identifier: MIT
//@ forge
#include <pthread.h>
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
            forge();
            return nullptr;
        },
        nullptr);
    for (;;) usleep(1000);
    return Gpa{0};
}
}  // namespace vmm
