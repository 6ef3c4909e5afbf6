# SPDX-License-Identifier: MIT
# The kit: everything that a student's file does not change, built once, and kit.json, which tells
# the grader how to compile one task's file and how to link it with the rest.

# nest_answer(FILE VARIABLE): the reference answer to a task's file, or the tree's own where there
# is none.
function(nest_answer file variable)
  set(${variable} ${CMAKE_SOURCE_DIR}/${file} PARENT_SCOPE)
  if(EXISTS ${CMAKE_SOURCE_DIR}/solutions-private/${file})
    set(${variable} ${CMAKE_SOURCE_DIR}/solutions-private/${file} PARENT_SCOPE)
  endif()
endfunction()

# student_sources(FILE...): the tasks' files, relative to the root. The library `tasks` (the
# reference answers) is made of the same paths under solutions-private/, where that folder exists.
# Assembly is for the bare machine only.
function(student_sources)
  foreach(file IN LISTS ARGN)
    nest_answer(${file} source)
    if(file MATCHES "\\.S$")
      nest_sources(tasks FLAVOURS kernel SOURCES ${source})
    else()
      nest_sources(tasks SOURCES ${source})
    endif()
  endforeach()
endfunction()

# student_program_sources(FILE...): likewise, for tasks of a user program (nest_kit_program): for
# host tests they are as others, and in the kernel they are not.
function(student_program_sources)
  foreach(file IN LISTS ARGN)
    nest_answer(${file} source)
    nest_sources(tasks FLAVOURS ${NEST_HOST_FLAVOURS} SOURCES ${source})
  endforeach()
endfunction()

# lab_unit_tests(LAB FLAVOUR SOURCE...): compiles a lab's test files, without linking them: the
# grader does that with each student's answer. Each of them counts its expectations. A release has
# no folder of a later lab, and no tests of it. Hidden tests,
# solutions-private/hidden/LAB/unit/*_test.cc and, for ThreadSanitizer, *_race_test.cc, are staff's.
function(lab_unit_tests lab flavour)
  file(GLOB folder ${CMAKE_SOURCE_DIR}/labs/${lab}-*)
  if(NOT folder)
    return()
  endif()
  # Looked for anew when their list changes. CONFIGURE_DEPENDS would make Ninja look each time, and
  # no build would ever be up to date.
  set(hidden_list ${CMAKE_SOURCE_DIR}/solutions-private/hidden/${lab}/tests.json)
  if(EXISTS ${hidden_list})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${hidden_list})
  endif()
  file(GLOB hidden ${CMAKE_SOURCE_DIR}/solutions-private/hidden/${lab}/unit/*_test.cc)
  if(flavour STREQUAL "tsan")
    list(FILTER hidden INCLUDE REGEX "_race_test\\.cc$")
  else()
    list(FILTER hidden EXCLUDE REGEX "_race_test\\.cc$")
  endif()
  add_library(${lab}-tests.${flavour} OBJECT ${ARGN} ${hidden})
  target_compile_options(${lab}-tests.${flavour} PRIVATE ${NEST_TEST_FLAGS_${flavour}}
    -include ${CMAKE_SOURCE_DIR}/labs/unit_expectations.hh)
  set_property(GLOBAL APPEND PROPERTY NEST_LAB_TESTS ${lab}-tests.${flavour})
  if(CMAKE_CROSSCOMPILING)  # no grader runs on that machine, so ctest judges the reference answers
    nest_unit_test(${lab}-reference-${flavour} FLAVOUR ${flavour}
      SOURCES $<TARGET_OBJECTS:${lab}-tests.${flavour}>)
  endif()
endfunction()

# nest_kit_file(KEY TARGET): puts the target's file (a kernel's or a program's image) into kit.json
# under "files".
function(nest_kit_file key target)
  get_target_property(file ${target} NEST_IMAGE)
  if(NOT file)
    set(file $<TARGET_FILE:${target}>)
  endif()
  set_property(GLOBAL APPEND PROPERTY NEST_KIT_FILES
    "    \"${key}\": \"${file}\"")
  set_property(GLOBAL APPEND PROPERTY NEST_KIT_TARGETS ${target})
endfunction()

# nest_binutils(COMPILER VARIABLE): where the compiler's own ld, objcopy, objdump and nm are, as
# kit.json has it: what the grader makes of an answer's object between compiling and linking.
function(nest_binutils compiler variable)
  set(found "")
  foreach(tool IN ITEMS ld objcopy objdump nm)
    execute_process(COMMAND ${compiler} -print-prog-name=${tool} OUTPUT_VARIABLE name
      OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    find_program(path ${name} REQUIRED NO_CACHE)
    list(APPEND found "\"${tool}\": \"${path}\"")
    unset(path)
  endforeach()
  list(JOIN found ", " found)
  set(${variable} "{${found}}" PARENT_SCOPE)
endfunction()

# Writes kit.json into the build folder, and makes the target `kit`, which builds all that it names.
function(nest_write_kit)
  get_property(tests GLOBAL PROPERTY NEST_LAB_TESTS)
  get_property(files GLOBAL PROPERTY NEST_KIT_FILES)
  get_property(targets GLOBAL PROPERTY NEST_KIT_TARGETS)
  get_property(kernels GLOBAL PROPERTY NEST_KIT_KERNELS)
  get_property(programs GLOBAL PROPERTY NEST_KIT_PROGRAMS)
  set(objects "")
  foreach(target IN LISTS tests)
    list(APPEND objects
      "    \"${target}\": [\"$<JOIN:$<TARGET_OBJECTS:${target}>,\", \">\"]")
  endforeach()
  set(flavours "")
  foreach(flavour IN LISTS NEST_FLAVOURS ITEMS explore)
    set(compiler ${CMAKE_CXX_COMPILER})
    if(flavour STREQUAL "kernel")
      set(compiler ${NEST_KERNEL_CXX})
    endif()
    list(JOIN NEST_FLAGS_${flavour} "\", \"" flags)
    list(JOIN NEST_LINK_${flavour} "\", \"" link)
    set(libraries "")
    set(made_as ${flavour})
    if(flavour STREQUAL "explore")
      set(made_as tsan)
    endif()
    foreach(library IN ITEMS vmm kern tasks)
      list(APPEND libraries "\"${library}\": \"$<TARGET_FILE:${library}.${made_as}>\"")
    endforeach()
    # Not `tasks`: the grader compiles each answer itself, so that one that does not compile costs
    # its task alone.
    list(APPEND targets vmm.${made_as} kern.${made_as})
    if(flavour STREQUAL "explore")
      list(APPEND libraries "\"explore\": \"$<TARGET_FILE:explore>\"")
      list(APPEND targets explore)
    endif()
    list(JOIN libraries ", " libraries)
    list(JOIN NEST_ASSEMBLE_FLAGS "\", \"" assemble)
    list(APPEND flavours "    \"${flavour}\": {\"compiler\": \"${compiler}\",
      \"compile\": [\"${flags}\"], \"link\": [\"${link}\"],
      \"assemble\": [\"${assemble}\"],
      \"libraries\": {${libraries}}}")
  endforeach()
  list(JOIN flavours ",\n" flavours)
  list(JOIN objects ",\n" objects)
  list(JOIN files ",\n" files)
  list(JOIN kernels ",\n" kernels)
  list(JOIN programs ",\n" programs)
  nest_binutils(${NEST_KERNEL_CXX} kernel_binutils)
  nest_binutils(${CMAKE_CXX_COMPILER} host_binutils)
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/kit.json CONTENT "{
  \"binutils\": {\"kernel\": ${kernel_binutils},
    \"host\": ${host_binutils}},
  \"flavours\": {
${flavours}
  },
  \"kernels\": {
${kernels}
  },
  \"programs\": {
${programs}
  },
  \"test_objects\": {
${objects}
  },
  \"files\": {
${files}
  }
}
")
  add_custom_target(kit DEPENDS ${targets} ${tests})
endfunction()
