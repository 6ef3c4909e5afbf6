# SPDX-License-Identifier: MIT
# Checks of the tree itself: the arrows between the rooms, and what each lab.json promises.
add_custom_target(checks ALL
  COMMAND Python3::Interpreter -m grader.checks
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
  COMMENT "Checking the arrows between rooms and what the labs promise" VERBATIM)
add_test(NAME tree_checks COMMAND Python3::Interpreter -m grader.checks
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
