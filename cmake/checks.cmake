# SPDX-License-Identifier: MIT
# Checks of the tree itself: the arrows between the rooms, and what each lab.json promises.
add_custom_target(checks ALL
  COMMAND Python3::Interpreter -m grader.checks
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
  COMMENT "Checking the arrows between rooms and what the labs promise" VERBATIM)
# Not the target Python3::Interpreter: in a build for another machine it would be run like one of
# its programs.
add_test(NAME tree_checks COMMAND ${Python3_EXECUTABLE} -m grader.checks
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
