# SPDX-License-Identifier: MIT
# Two compilers: CMAKE_CXX_COMPILER makes what runs on this machine, NEST_KERNEL_CXX the kernel, the
# user programs and the guests, which are x86-64 code everywhere. On x86-64 they are the same.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(kernel_cxx ${CMAKE_CXX_COMPILER})
else()
  find_program(kernel_cxx x86_64-linux-gnu-g++ REQUIRED NO_CACHE)
endif()
set(NEST_KERNEL_CXX ${kernel_cxx} CACHE FILEPATH "Compiles and assembles x86-64 code")

# All of the tree's assembly is x86-64.
set(CMAKE_ASM_COMPILER ${NEST_KERNEL_CXX})
enable_language(ASM)

execute_process(COMMAND ${NEST_KERNEL_CXX} -print-prog-name=ld OUTPUT_VARIABLE kernel_ld
  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
find_program(NEST_LD ${kernel_ld} REQUIRED)

# All clones of this tree on a machine share one compiler cache: to it, the tree's files are named
# from where the compiler runs. It does not look at what they are to be named in objects
# (NEST_NAMES_FLAGS, in flavours.cmake): whoever changes that gives the namespace another number.
find_program(CCACHE ccache)
set(ccache "")
set(ccache_settings "")
if(CCACHE)
  set(ccache ${CCACHE})
  set(ccache_settings env CCACHE_NAMESPACE=nestling-1)
  if(NOT CMAKE_SOURCE_DIR MATCHES "[$]")  # of a dollar it would make a variable
    list(APPEND ccache_settings CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1)
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ccache_settings} ${CCACHE})
endif()
if(CMAKE_SOURCE_DIR MATCHES "['\"]")
  # By a relative path, since this property is put into a shell's line as it is. Of assembly too.
  file(RELATIVE_PATH launcher ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/cmake/relative_depfile.py)
  set_property(GLOBAL PROPERTY RULE_LAUNCH_COMPILE "/usr/bin/python3 ${launcher}")
endif()

# nest_x86_64(TARGET): the target's C++ is compiled by NEST_KERNEL_CXX. CMake has one compiler for a
# language: where this is another, the launcher takes its place and drops its name, which is $0
# here.
function(nest_x86_64 target)
  if(NOT NEST_KERNEL_CXX STREQUAL CMAKE_CXX_COMPILER)
    set_property(TARGET ${target} PROPERTY CXX_COMPILER_LAUNCHER
      ${ccache_settings} sh -c "exec ${ccache} ${NEST_KERNEL_CXX} \"$@\"")
  endif()
endfunction()

# A build for another machine has no GoogleTest among its packages: it makes its own.
if(CMAKE_CROSSCOMPILING)
  set(INSTALL_GTEST OFF)
  add_subdirectory(/usr/src/googletest/googletest googletest)
endif()
