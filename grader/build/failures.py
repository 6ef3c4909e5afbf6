# SPDX-License-Identifier: MIT
"""What becomes of an answer that cannot be built."""

from __future__ import annotations

from grader import NestError
from grader.confine.words import clean


class BuildFailure(NestError):
    """An answer that cannot be built; the text is the compiler's, the linker's or the gate's."""

    def __init__(self, text: str, *, file: str | None, stage: str) -> None:
        super().__init__(clean(text))
        self.file = file
        """the task file that does not compile or is refused; None if the link fails"""
        self.stage = stage
        """`does not compile`, `does not link` or `is refused`"""
