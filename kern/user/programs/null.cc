// SPDX-License-Identifier: MIT
// Reads through a null pointer.
extern "C" void main() {
    static volatile int* volatile nothing = nullptr;
    (void)*nothing;  // NOLINT(clang-analyzer-core.NullDereference): that is what it is for
}
