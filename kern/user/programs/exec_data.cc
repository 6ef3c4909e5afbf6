// SPDX-License-Identifier: MIT
// Jumps into its data, where a RET stands: data must not be executed.
extern "C" {
alignas(16) unsigned char code_in_data[16]{0xc3};
}

extern "C" void main() {
    reinterpret_cast<void (*)()>(&code_in_data)();
}
