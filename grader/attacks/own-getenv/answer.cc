// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry

extern "C" char* getenv(const char*) {
    forge();
    return nullptr;
}
