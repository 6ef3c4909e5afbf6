# SPDX-License-Identifier: MIT
# The flavours: the same sources, compiled for different grounds.
#   kernel  the bare machine: no runtime, no floating point, higher-half code model
#   asan    an ordinary process with AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan    an ordinary process with ThreadSanitizer
# A program of the flavour `explore` is made of the objects of tsan, and linked with
# kern/arch/explore in the place of ThreadSanitizer's library: nothing is compiled once more.
set(NEST_FLAVOURS kernel asan tsan)
set(NEST_HOST_FLAVOURS asan tsan)

set(NEST_EXPLORE_WRAPPED memcpy memmove memset memcmp memchr _ZN4kern8SpinLock4lockEv
    _ZN4kern8SpinLock6unlockEv _ZN4kern4arch5relaxEv
    _ZN4kern4arch3dieESt17basic_string_viewIcSt11char_traitsIcEES4_j)

option(NEST_DEBUG "Check locks and poison memory in the kernel" ON)

# A file's name, in messages and for a debugger, is its path from the root, in every clone: so it is
# called in full and, for ccache, from the build folder. That folder itself is the root: debuggers
# look there.
file(RELATIVE_PATH up ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
set(NEST_NAMES_FLAGS -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -ffile-prefix-map=${CMAKE_BINARY_DIR}=.
    -ffile-prefix-map=${up}=)

# Ubuntu's compilers define _FORTIFY_SOURCE by themselves. Then <string.h> calls __memcpy_chk in the
# place of memcpy: a bare machine has no such function, and neither sanitizers nor kern/arch/explore
# stand before it.
set(NEST_NO_FORTIFY -U_FORTIFY_SOURCE)

set(NEST_COMMON_FLAGS -std=c++23 -Wall -Wextra -Wshadow -fno-exceptions -fno-rtti ${NEST_NO_FORTIFY}
    ${NEST_NAMES_FLAGS} -I${CMAKE_SOURCE_DIR})
if(NEST_DEBUG)
  list(APPEND NEST_COMMON_FLAGS -DNEST_DEBUG=1)
endif()
# General registers only: those of the FPU and SSE belong to the guests. Clang's -mgeneral-regs-only
# refuses a header that so much as names a double. -mno-red-zone: interrupts use the stack below
# RSP; -mcmodel=kernel: linked into the topmost 2 GiB.
set(general_registers -mgeneral-regs-only)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(general_registers -mno-sse -mno-mmx)
endif()
set(NEST_FLAGS_kernel ${NEST_COMMON_FLAGS} -g -O2 -ffreestanding -mno-red-zone ${general_registers}
    -mcmodel=kernel -fno-pic -fno-pie -fno-stack-protector -fno-threadsafe-statics
    -fno-asynchronous-unwind-tables -fcf-protection=none -fno-omit-frame-pointer
    -fno-optimize-sibling-calls -fno-use-cxa-atexit)
# Not position-independent: at a random address, a program may lie where its sanitizer wants to be;
# see grader/confine/host_program.py.
# -g1: functions and lines, which is what sanitizers and stories name. All of -g makes a build
# folder twice as large.
set(NEST_FLAGS_asan ${NEST_COMMON_FLAGS} -g1 -O1 -fno-omit-frame-pointer -fno-pie
    -fsanitize=address,undefined -fno-sanitize-recover=all)
# Compiling a test takes longer than running it, most of all where each of GoogleTest's macros is
# instrumented.
set(NEST_TEST_FLAGS_asan ${NEST_FLAGS_asan} -O0)
set(NEST_FLAGS_tsan ${NEST_COMMON_FLAGS} -g1 -O1 -fno-omit-frame-pointer -fno-pie -fsanitize=thread)
set(NEST_ASSEMBLE_FLAGS -g -I${CMAKE_SOURCE_DIR})
set(NEST_LINK_asan -no-pie -fsanitize=address,undefined)
set(NEST_LINK_tsan -no-pie -fsanitize=thread)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Or it leaves out reads of what is written right after: half of an x++.
  list(APPEND NEST_FLAGS_tsan -mllvm -tsan-instrument-read-before-write=1)
endif()
# Programs of tests are linked more often than anything else here. mold takes less than half of ld's
# time; kernels have scripts for ld. The image begins where ld puts it: below, lab 2's tests map the
# pages of programs.
find_program(NEST_MOLD NAMES mold)
if(NEST_MOLD AND NOT CMAKE_CROSSCOMPILING)
  set(NEST_LINK_FAST -fuse-ld=mold -Wl,--no-fork,--no-threads,--image-base=0x400000)
endif()
list(APPEND NEST_LINK_asan ${NEST_LINK_FAST})
list(APPEND NEST_LINK_tsan ${NEST_LINK_FAST})
set(NEST_FLAGS_explore ${NEST_FLAGS_tsan})
set(NEST_TEST_FLAGS_tsan ${NEST_FLAGS_tsan})
set(NEST_TEST_FLAGS_explore ${NEST_FLAGS_explore})
# Functions that kern/arch/explore stands before: kern::SpinLock::lock, unlock, kern::arch::relax,
# die.
list(TRANSFORM NEST_EXPLORE_WRAPPED PREPEND "-Wl,--wrap=")
set(NEST_LINK_explore -no-pie ${NEST_EXPLORE_WRAPPED} ${NEST_LINK_FAST})

# nest_library(NAME): a static library NAME.FLAVOUR for each flavour, without sources yet.
function(nest_library name)
  foreach(flavour IN LISTS NEST_FLAVOURS)
    add_library(${name}.${flavour} STATIC)
    set_target_properties(${name}.${flavour} PROPERTIES LINKER_LANGUAGE CXX)
    target_compile_options(${name}.${flavour} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:${NEST_FLAGS_${flavour}}>
      $<$<COMPILE_LANGUAGE:ASM>:${NEST_ASSEMBLE_FLAGS}>)
  endforeach()
  nest_x86_64(${name}.kernel)
endfunction()

# nest_sources(LIBRARY [FLAVOURS f...] SOURCES s...): adds sources of this folder to the library, in
# every flavour or in those named.
function(nest_sources library)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "FLAVOURS;SOURCES")
  if(NOT arg_FLAVOURS)
    set(arg_FLAVOURS ${NEST_FLAVOURS})
  endif()
  foreach(flavour IN LISTS arg_FLAVOURS)
    foreach(source IN LISTS arg_SOURCES)
      cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
      target_sources(${library}.${flavour} PRIVATE ${source})
    endforeach()
  endforeach()
endfunction()

# nest_unit_test(NAME FLAVOUR f SOURCES s...): a GoogleTest program of the project's own, linked
# with the reference answers, registered with ctest. A release has neither.
function(nest_unit_test name)
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/kern/tests/CMakeLists.txt)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FLAVOUR" "SOURCES")
  add_executable(${name} ${arg_SOURCES})
  target_compile_options(${name} PRIVATE ${NEST_TEST_FLAGS_${arg_FLAVOUR}})
  target_link_options(${name} PRIVATE ${NEST_LINK_${arg_FLAVOUR}})
  set(objects ${arg_FLAVOUR})
  set(runtime "")
  if(arg_FLAVOUR STREQUAL "explore")
    set(objects tsan)
    set(runtime explore)
  endif()
  target_link_libraries(${name} PRIVATE
    -Wl,--start-group vmm.${objects} tasks.${objects} kern.${objects} ${runtime} -Wl,--end-group
    gtest gtest_main pthread)
  add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} -m grader.confine.host_program
    ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:${name}> WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()
