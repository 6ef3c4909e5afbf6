# SPDX-License-Identifier: MIT
"""Trouble with the disk, in words with a mend."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from grader import CannotRun

_WORDS = ("No space left on device", "Disk quota exceeded", "Read-only file system")
LEAST_FREE_BYTES = 1 << 20
_BUILD_MIB = 500
_ANSWER_BYTES = 64 << 20


def disk_trouble(error: OSError, where: Path) -> CannotRun:
    """An error of the disk as a message with its mend."""
    return CannotRun(f"cannot write in {error.filename or where}: {error.strerror}\n"
                     "  mend: nest keeps what it builds in the tree's folder build/; make room there, "
                     "or work in a copy of the tree on a disk that can be written")


def disk_words(text: str, folder: Path) -> str:
    """What is wrong with the disk by a failed tool's output, which worked in ``folder``, with the
    mend; else empty.

    A tool that maps its output into memory dies on a full disk without a word.
    """
    line = next((line.strip() for line in text.splitlines() if any(words in line for words in _WORDS)), "")
    with contextlib.suppress(OSError):
        status = os.statvfs(folder)
        if not line and status.f_bavail * status.f_frsize < LEAST_FREE_BYTES:
            line = "no space left"
    return line and (f"{folder}: {line}\n  mend: make room there (a whole build takes {_BUILD_MIB} MiB), or work in a "
                     "copy of the tree on another disk")


def has_room(folder: Path) -> bool:
    """Whether what an answer is made into can be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as tried:
            os.posix_fallocate(tried.fileno(), 0, _ANSWER_BYTES)
    except OSError:
        return False
    return True
