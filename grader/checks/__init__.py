# SPDX-License-Identifier: MIT
"""Checks of the tree itself: what compiles but must not be.

``python3 -m grader.checks`` runs them all; so do CMake's target ``checks`` and ``nest test``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = "solutions-private"


@dataclass(frozen=True, order=True)
class Finding:
    """One broken rule."""

    path: str
    """from the root of the tree"""
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def run_all(root: Path = ROOT) -> list[Finding]:
    """The findings of every check, in order of path and line."""
    from grader.checks import arrows, doubled, labs, prose

    return sorted({*arrows.check(root), *doubled.check(root), *labs.check(root), *prose.check(root)})
