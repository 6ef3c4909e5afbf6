# SPDX-License-Identifier: MIT
"""Runs a command under those of Docker's default seccomp rules that matter here: ``personality``
only with the values that change nothing of the address space, and no namespaces and mounts, so no
bubblewrap.

``python3 -m grader.tests.docker_rules COMMAND...``; also a pytest-free tool for people. x86-64
only.
"""

from __future__ import annotations

import errno
import os
import sys

from grader.confine.seccomp import (
    ALLOW, ANY_OF, ARGUMENT_0, CLONE, CLONE3, EQUAL, LOAD, NAMESPACES, NUMBER, Rule, obey, refuse)

ALLOWED_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
PERSONALITY = 135
FORBIDDEN = {"mount": 165, "pivot_root": 155, "unshare": 272, "setns": 308}


def rules() -> list[Rule]:
    """What the command has to obey."""
    found = [(LOAD, 0, 0, NUMBER)]
    for number in FORBIDDEN.values():
        found += [(EQUAL, 0, 1, number), refuse()]
    found += [(EQUAL, 0, 1, CLONE3), refuse(errno.ENOSYS)]
    found += [(EQUAL, 0, 4, CLONE), (LOAD, 0, 0, ARGUMENT_0), (ANY_OF, 0, 1, NAMESPACES), refuse(), ALLOW]
    found += [(EQUAL, 1, 0, PERSONALITY), ALLOW, (LOAD, 0, 0, ARGUMENT_0)]
    for value in ALLOWED_PERSONALITIES:
        found += [(EQUAL, 0, 1, value), ALLOW]
    return [*found, refuse()]


if __name__ == "__main__":
    obey(rules())
    os.execvp(sys.argv[1], sys.argv[1:])
