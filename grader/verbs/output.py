# SPDX-License-Identifier: MIT
"""Where a verb's result goes: a file, or standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from grader import CannotRun


def write(target: str, text: str) -> None:
    """Writes a result where the user wants it."""
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"cannot write {target}: {error.strerror}") from error
