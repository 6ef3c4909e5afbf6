// SPDX-License-Identifier: MIT
// Returns from main: the start code then executes UD2.
extern "C" void main() {}
