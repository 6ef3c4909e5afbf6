# SPDX-License-Identifier: MIT
# Toolchain for an arm64 machine, built and tried on another: its programs run under qemu-user.
# No randomization of addresses, or ThreadSanitizer starts its program again without the emulator;
# LeakSanitizer wants ptrace, which the emulator has not.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR env ASAN_OPTIONS=detect_leaks=0 setarch -R
  qemu-aarch64 -L /usr/aarch64-linux-gnu)
