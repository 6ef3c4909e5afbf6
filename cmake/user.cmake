# SPDX-License-Identifier: MIT
# User programs: what the kernel with the process layer runs in ring 3.

# -mno-red-zone is left out on purpose: no interrupt uses a user program's stack.
set(NEST_FLAGS_user -std=c++23 -g -O1 -Wall -Wextra -Wshadow -fno-exceptions -fno-rtti -ffreestanding
    -fno-pic -fno-pie -fno-stack-protector -fno-threadsafe-statics -fno-asynchronous-unwind-tables
    -fcf-protection=none -fno-omit-frame-pointer -fno-use-cxa-atexit
    -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/= -I${CMAKE_SOURCE_DIR})
set(NEST_USER_SCRIPT ${CMAKE_SOURCE_DIR}/kern/user/user.ld)

function(nest_user_compile_options target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:${NEST_FLAGS_user} -Werror>
    $<$<COMPILE_LANGUAGE:ASM>:${NEST_ASSEMBLE_FLAGS}>)
endfunction()

# nest_user_library(SOURCE...): the library that every user program is linked with, start code included.
function(nest_user_library)
  add_library(user STATIC ${ARGN})
  nest_user_compile_options(user)
endfunction()

# nest_user_program(NAME SOURCE...): the program NAME.elf, linked by kern/user/user.ld with the library
# `user`, which has `_start`; in the kit it is the file user/NAME.elf.
function(nest_user_program name)
  add_library(user-${name}-objects OBJECT ${ARGN})
  nest_user_compile_options(user-${name}-objects)
  set(image ${CMAKE_CURRENT_BINARY_DIR}/${name}.elf)
  add_custom_command(OUTPUT ${image}
    COMMAND ${NEST_LD} -z max-page-size=4096 -z noexecstack -static -nostdlib --build-id=none
      -T ${NEST_USER_SCRIPT} -u _start -o ${image} $<TARGET_OBJECTS:user-${name}-objects>
      $<TARGET_FILE:user>
    DEPENDS $<TARGET_OBJECTS:user-${name}-objects> user $<TARGET_FILE:user> ${NEST_USER_SCRIPT}
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Linking user program ${name}.elf")
  add_custom_target(user-${name} ALL DEPENDS ${image})
  set_property(TARGET user-${name} PROPERTY NEST_IMAGE ${image})
  nest_kit_file(user/${name}.elf user-${name})
endfunction()
