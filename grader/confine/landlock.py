# SPDX-License-Identifier: MIT
"""Landlock: this process and all that it starts see, from now on, only files below certain paths.
Linux 5.13 and later. [linux, Documentation/userspace-api/landlock.rst]"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every processor
_ASK_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights to files, from this version on."""
_NETWORK, _SCOPES = 3, 3
"""Binding and connecting TCP, from version 4; abstract sockets and signals to others, from version
6."""


def version() -> int:
    """Which one the kernel has; 0: none."""
    return max(0, _libc().syscall(_CREATE_RULESET, None, 0, _ASK_VERSION))


def obey(readable: Iterable[str], writable: Iterable[str]) -> None:
    """From here on nothing is read, written or executed but below these paths; those that do not
    exist are left out. Raises OSError."""
    found = version()
    rights = _RIGHTS[max(known for known in _RIGHTS if known <= found)]
    words = [rights] + [_NETWORK] * (found >= 4) + [_SCOPES] * (found >= 6)
    attribute = struct.pack(f"<{len(words)}Q", *words)
    rules = _checked(_libc().syscall(_CREATE_RULESET, attribute, len(attribute), 0))
    try:
        for paths, wanted in ((readable, READ), (writable, rights)):
            for path in paths:
                _allow(rules, path, wanted & rights)
        _checked(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc().syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        _checked(_libc().syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("<Qi", rights, fd), 0))
    finally:
        os.close(fd)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock does not work")
    return result
