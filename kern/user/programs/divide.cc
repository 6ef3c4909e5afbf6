// SPDX-License-Identifier: MIT
// Divides by zero.
extern "C" void main() {
    unsigned quotient = 1, rest = 0;
    const unsigned zero = 0;
    asm volatile("divl %2" : "+a"(quotient), "+d"(rest) : "r"(zero));
}
