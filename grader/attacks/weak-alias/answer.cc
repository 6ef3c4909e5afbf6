// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
extern "C" char* mine(const char*) {
    forge();
    return nullptr;
}
extern "C" [[gnu::alias("mine")]] char* getenv(const char*);
