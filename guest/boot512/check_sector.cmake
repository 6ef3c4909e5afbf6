# SPDX-License-Identifier: MIT
# cmake -DSECTOR=FILE -P check_sector.cmake: whether the file is a boot sector. Removes one that is
# not.
file(SIZE ${SECTOR} size)
if(NOT size EQUAL 512)
  file(REMOVE ${SECTOR})
  message(FATAL_ERROR "${SECTOR} has ${size} bytes; a boot sector has 512")
endif()
file(READ ${SECTOR} signature OFFSET 510 HEX)
if(NOT signature STREQUAL "55aa")
  file(REMOVE ${SECTOR})
  message(FATAL_ERROR "${SECTOR} ends in 0x${signature}; a boot sector ends in 0x55aa")
endif()
