// SPDX-License-Identifier: MIT
// Jumps to its stack, where a RET stands.
extern "C" void main() {
    volatile unsigned char code[16]{0xc3};
    const volatile void* place = &code;
    reinterpret_cast<void (*)()>(const_cast<void*>(place))();
}
