// SPDX-License-Identifier: MIT
// Executes CLI, which ring 3 may not.
extern "C" void main() {
    asm volatile("cli");
}
