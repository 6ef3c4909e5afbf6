# SPDX-License-Identifier: MIT
"""The machines that a kernel can be booted on, behind one interface."""

from __future__ import annotations


class CannotRun(Exception):
    """Something that grading needs does not work here: why, and the mend."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(f"{why}\n  mend: {mend}")
        self.why = why
        self.mend = mend
