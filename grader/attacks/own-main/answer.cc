// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
int main() {
    forge();
    return 0;
}
