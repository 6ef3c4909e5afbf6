// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry
extern "C" const char* __asan_default_options() {
    return "halt_on_error=0:exitcode=0:detect_leaks=0";
}
extern "C" const char* __ubsan_default_options() {
    return "exitcode=0";
}
