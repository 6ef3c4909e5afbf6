# SPDX-License-Identifier: MIT
"""Lines of prose have at most 100 columns, so that they can be read beside the code that they speak of.

Tables, code and drawings are as wide as they must be; what a student writes into a questions.md, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grader.checks import PRIVATE, Finding

COLUMNS = 100
PLACES = ("README.md", "docs/*.md", "handouts/*.md", "labs/*/*.md", f"{PRIVATE}/labs/*/*.md")
QUESTIONS = "questions.md"
"""Ours are its quotes, a student's all else."""
FENCE, TABLE, QUOTE = "```", "|", ">"
DRAWING, DRAWING_END = "\\dot", "\\enddot"


def check(root: Path) -> Iterator[Finding]:
    """Every line of prose that is too long."""
    for path in sorted(one for place in PLACES for one in root.glob(place)):
        fenced = drawn = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            text = line.lstrip()
            fenced ^= text.startswith(FENCE)
            drawn |= DRAWING in line
            free = fenced or drawn or text.startswith(TABLE) or (
                path.name == QUESTIONS and not text.startswith(QUOTE))
            drawn &= DRAWING_END not in line
            if len(line) > COLUMNS and not free:
                yield Finding(path.relative_to(root).as_posix(), number,
                              f"a line of prose has {len(line)} columns; wanted: at most {COLUMNS}")
