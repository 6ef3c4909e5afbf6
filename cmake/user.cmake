# SPDX-License-Identifier: MIT
# User programs: what the kernel with the process layer runs in ring 3.

# -mno-red-zone is left out on purpose: no interrupt uses a user program's stack.
set(NEST_FLAGS_user -std=c++23 -g -O1 -Wall -Wextra -Wshadow -fno-exceptions -fno-rtti -ffreestanding
    -fno-pic -fno-pie -fno-stack-protector -fno-threadsafe-statics -fno-asynchronous-unwind-tables
    -fcf-protection=none -fno-omit-frame-pointer -fno-use-cxa-atexit ${NEST_NO_FORTIFY}
    ${NEST_NAMES_FLAGS} -I${CMAKE_SOURCE_DIR})
set(NEST_USER_SCRIPT ${CMAKE_SOURCE_DIR}/kern/user/user.ld)
set(NEST_USER_LINK_FLAGS -z max-page-size=4096 -z noexecstack -static -nostdlib --build-id=none
    -T ${NEST_USER_SCRIPT} -u _start)

function(nest_user_compile_options target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:${NEST_FLAGS_user}>
    $<$<COMPILE_LANGUAGE:ASM>:${NEST_ASSEMBLE_FLAGS}>)
  nest_x86_64(${target})
endfunction()

# nest_user_library(SOURCE...): the library that every user program is linked with, start code
# included.
function(nest_user_library)
  add_library(user STATIC ${ARGN})
  nest_user_compile_options(user)
endfunction()

# nest_user_program(NAME SOURCE...): the program NAME.elf, linked by kern/user/user.ld with the
# library `user`, which has `_start`; in the kit it is the file user/NAME.elf.
function(nest_user_program name)
  add_library(user-${name}-objects OBJECT ${ARGN})
  nest_user_compile_options(user-${name}-objects)
  nest_link_user_program(${name} user-${name}-objects)
  nest_kit_file(user/${name}.elf user-${name})
endfunction()

# nest_kit_program(NAME KERNELS k... TASKS file... SOURCES s...): the program NAME.elf, of which
# some files are tasks (paths from the root, as in lab.json and student_program_sources). The grader
# links it anew with each answer for boots of the kernels named; the target user-NAME is linked with
# the reference answers, for the project's own tests.
#
# The recipe in kit.json, key "programs", "user/NAME.elf": each task's answer is compiled by
# "compiler" "compile", then "linker" "flags" "objects" ANSWERS "archives" -o ELF.
function(nest_kit_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "KERNELS;TASKS;SOURCES")
  add_library(user-${name}-objects OBJECT ${arg_SOURCES})
  nest_user_compile_options(user-${name}-objects)
  set(answers "")
  foreach(file IN LISTS arg_TASKS)
    nest_answer(${file} answer)
    list(APPEND answers ${answer})
  endforeach()
  add_library(user-${name}-answers OBJECT ${answers})
  nest_user_compile_options(user-${name}-answers)
  nest_link_user_program(${name} user-${name}-objects user-${name}-answers)
  list(JOIN arg_KERNELS "\", \"" kernels)
  list(JOIN arg_TASKS "\", \"" tasks)
  list(JOIN NEST_FLAGS_user "\", \"" compile)
  list(JOIN NEST_USER_LINK_FLAGS "\", \"" flags)
  set_property(GLOBAL APPEND PROPERTY NEST_KIT_TARGETS user-${name}-objects user)
  set_property(GLOBAL APPEND PROPERTY NEST_KIT_PROGRAMS "    \"user/${name}.elf\": {
      \"kernels\": [\"${kernels}\"],
      \"tasks\": [\"${tasks}\"],
      \"compiler\": \"${NEST_KERNEL_CXX}\",
      \"compile\": [\"${compile}\"],
      \"linker\": \"${NEST_LD}\",
      \"flags\": [\"${flags}\"],
      \"objects\": [\"$<JOIN:$<TARGET_OBJECTS:user-${name}-objects>,\", \">\"],
      \"archives\": [\"$<TARGET_FILE:user>\"]
    }")
endfunction()

# nest_link_user_program(NAME OBJECT_LIBRARY...): the target user-NAME, whose NEST_IMAGE is
# NAME.elf.
function(nest_link_user_program name)
  list(TRANSFORM ARGN REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
  set(image ${CMAKE_CURRENT_BINARY_DIR}/${name}.elf)
  add_custom_command(OUTPUT ${image}
    COMMAND ${NEST_LD} ${NEST_USER_LINK_FLAGS} -o ${image} ${objects} $<TARGET_FILE:user>
    DEPENDS ${objects} user $<TARGET_FILE:user> ${NEST_USER_SCRIPT}
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Linking user program ${name}.elf")
  add_custom_target(user-${name} ALL DEPENDS ${image})
  set_property(TARGET user-${name} PROPERTY NEST_IMAGE ${image})
endfunction()
