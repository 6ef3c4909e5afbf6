# SPDX-License-Identifier: MIT
# Kernel images: the host kernel and guest kernels are the same objects, linked at different
# addresses. How to link one stands in kit.json too (key "kernels"), so that the grader does it
# without CMake. The interpreter that Debian packages serve; another may come first on PATH.
set(Python3_EXECUTABLE /usr/bin/python3)
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

set(NEST_KERNEL_SCRIPT ${CMAKE_SOURCE_DIR}/kern/arch/x86_64/kernel.ld)
# --gc-sections is left out on purpose: a debugger's user wants to call what nobody calls.
set(NEST_KERNEL_LINK_FLAGS -n -z max-page-size=4096 -z noexecstack -static -nostdlib
    --build-id=none)
set(NEST_HOST_OFFSET 0xffffffff80000000)
set(NEST_HOST_LMA 0x100000)
set(NEST_GUEST_OFFSET 0xffffffffc0000000)
set(NEST_GUEST_LMA 0x200000)

# nest_boot_object(NAME OFFSET): the object library NAME: boot.S for one offset.
function(nest_boot_object name offset)
  add_library(${name} OBJECT ${CMAKE_SOURCE_DIR}/kern/arch/x86_64/boot.S)
  target_compile_options(${name} PRIVATE -g -I${CMAKE_SOURCE_DIR} -DKERNEL_OFFSET=${offset})
  set_property(SOURCE ${CMAKE_SOURCE_DIR}/kern/arch/x86_64/boot.S TARGET_DIRECTORY ${name}
    APPEND PROPERTY OBJECT_DEPENDS ${CMAKE_SOURCE_DIR}/kern/arch/x86_64/boot_constants.h)
endfunction()
nest_boot_object(boot-host ${NEST_HOST_OFFSET})
nest_boot_object(boot-guest ${NEST_GUEST_OFFSET})

# nest_kernel(NAME host|guest SOURCES s... [LIBRARIES l...] [SCRIPT s] [LINK flag...]): the target
# NAME, the image NAME.elf in the current binary folder (property NEST_IMAGE): boot.S for host or
# guest, the sources compiled for the bare machine, and the libraries (default: kern), with symbols
# for backtraces. Sources may be none, if a library has kernel_main.
function(nest_kernel name place)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "SCRIPT" "SOURCES;LIBRARIES;LINK")
  if(NOT arg_SCRIPT)
    set(arg_SCRIPT ${NEST_KERNEL_SCRIPT})
  endif()
  if(NOT arg_LIBRARIES)
    set(arg_LIBRARIES kern)
  endif()
  string(TOUPPER ${place} upper)
  set(object_libraries boot-${place})
  if(arg_SOURCES)
    add_library(${name}-objects OBJECT ${arg_SOURCES})
    target_compile_options(${name}-objects PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:${NEST_FLAGS_kernel}>
      $<$<COMPILE_LANGUAGE:ASM>:${NEST_ASSEMBLE_FLAGS}>)
    nest_x86_64(${name}-objects)
    list(APPEND object_libraries ${name}-objects)
  endif()
  list(TRANSFORM object_libraries REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
  set(archives "")
  set(archive_targets "")
  foreach(library IN LISTS arg_LIBRARIES)
    list(APPEND archives $<TARGET_FILE:${library}.kernel>)
    list(APPEND archive_targets ${library}.kernel)
  endforeach()
  set(image ${CMAKE_CURRENT_BINARY_DIR}/${name}.elf)
  add_custom_command(OUTPUT ${image}
    COMMAND ${NEST_LD} ${NEST_KERNEL_LINK_FLAGS} -T ${arg_SCRIPT} --defsym=KERNEL_OFFSET=${NEST_${upper}_OFFSET}
      --defsym=KERNEL_LMA=${NEST_${upper}_LMA} ${arg_LINK} -o ${image} ${objects}
      --start-group ${archives} --end-group
    COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/grader/build/kernel_image.py ${image}
    DEPENDS ${objects} ${archive_targets} ${archives} ${arg_SCRIPT}
      ${CMAKE_SOURCE_DIR}/grader/build/kernel_image.py
    COMMAND_EXPAND_LISTS VERBATIM
    COMMENT "Linking kernel image ${name}.elf")
  add_custom_target(${name} ALL DEPENDS ${image})
  set_target_properties(${name} PROPERTIES NEST_IMAGE ${image}
    NEST_OBJECT_LIBRARIES "${object_libraries}" NEST_LIBRARIES "${arg_LIBRARIES}" NEST_SCRIPT ${arg_SCRIPT})
endfunction()

# nest_kit_kernel(NAME guests|programs|vmms|modules|soft|micro): the grader links the host kernel
# NAME (of nest_kernel) anew with each answer, and knows by the second word what its boot module and
# its evidence look like: VMs (vmm/main/plan.hh, vmm_evidence), user programs (kern/proc,
# proc_evidence), user programs that run guests (vmm/user, guest_evidence), any file at all
# (kern/checksum, checksum_evidence), one kernel of 32 bits in ring 3 (vmm/soft, soft_evidence), or
# the root task of a microkernel (kern/cap/main, micro_evidence).
#
# The recipe in kit.json: "linker" "flags" "objects" OBJECTS --start-group ARCHIVES --end-group -o
# ELF, then grader/build/kernel_image.py. ARCHIVES are the kernel flavour's libraries in the order
# of "archives". OBJECTS, the answers, stand in the place of the library `tasks`, which is not
# linked; a kernel without the hypervisor takes only those of kern.
function(nest_kit_kernel name runs)
  get_target_property(objects ${name} NEST_OBJECT_LIBRARIES)
  get_target_property(archives ${name} NEST_LIBRARIES)
  get_target_property(script ${name} NEST_SCRIPT)
  list(REMOVE_ITEM archives tasks)
  list(JOIN NEST_KERNEL_LINK_FLAGS "\", \"" flags)
  list(JOIN archives "\", \"" archives)
  set(lists "")
  foreach(target IN LISTS objects)
    list(APPEND lists "\"$<JOIN:$<TARGET_OBJECTS:${target}>,\", \">\"")
  endforeach()
  list(JOIN lists ", " lists)
  set_property(GLOBAL APPEND PROPERTY NEST_KIT_TARGETS ${objects})
  set_property(GLOBAL APPEND PROPERTY NEST_KIT_KERNELS "    \"${name}\": {
      \"runs\": \"${runs}\",
      \"linker\": \"${NEST_LD}\",
      \"flags\": [\"${flags}\", \"-T\", \"${script}\",
        \"--defsym=KERNEL_OFFSET=${NEST_HOST_OFFSET}\", \"--defsym=KERNEL_LMA=${NEST_HOST_LMA}\"],
      \"objects\": [${lists}],
      \"archives\": [\"${archives}\"]
    }")
endfunction()
