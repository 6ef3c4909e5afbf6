# SPDX-License-Identifier: MIT
"""Runs a command under those of Docker's default seccomp rules that matter here: ``personality`` only with
the values that change nothing of the address space, and no namespaces and mounts, so no bubblewrap.

``python3 -m grader.tests.docker_rules COMMAND...``; also a pytest-free tool for people. x86-64 only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

ALLOWED_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
PERSONALITY, CLONE, CLONE3 = 135, 56, 435
FORBIDDEN = {"mount": 165, "pivot_root": 155, "unshare": 272, "setns": 308}
NAMESPACE_FLAGS = 0x7E020000

_LOAD, _EQUAL, _SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_ARGUMENT_0 = 16  # the low half; little-endian
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER_MODE = 22, 38, 2


def _rules() -> list[tuple[int, int, int, int]]:
    """Classic BPF: code, jump if true, jump if false, value."""
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    rules = [(_LOAD, 0, 0, 0)]
    for number in FORBIDDEN.values():
        rules += [(_EQUAL, 0, 1, number), refuse]
    rules += [(_EQUAL, 0, 1, CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    rules += [(_EQUAL, 0, 4, CLONE), (_LOAD, 0, 0, _ARGUMENT_0), (_SET, 0, 1, NAMESPACE_FLAGS), refuse, allow]
    rules += [(_EQUAL, 1, 0, PERSONALITY), allow, (_LOAD, 0, 0, _ARGUMENT_0)]
    for value in ALLOWED_PERSONALITIES:
        rules += [(_EQUAL, 0, 1, value), allow]
    return [*rules, refuse]


def obey() -> None:
    """Puts this process and all that it starts under the rules."""
    rules = _rules()
    code = b"".join(struct.pack("<HBBI", *rule) for rule in rules)
    buffer = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(rules), ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER_MODE, program, 0, 0)):
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    obey()
    os.execvp(sys.argv[1], sys.argv[1:])
