# SPDX-License-Identifier: MIT
"""What one student, or one group, has handed in for one lab."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from grader.confine.words import clean

SHOWN_FINDINGS = 20


@dataclass(frozen=True)
class Who:
    """Whose it is, as the course's platform says. Nothing in a student's own files can change
    it."""

    id: str
    """tells the students of a class apart: the platform's id where it has one"""
    name: str = ""
    group: str = ""
    members: tuple[str, ...] = ()
    """the ids of all who handed it in together; empty: the one"""
    handed_in: str = ""
    """when, in ISO 8601; empty if the platform did not say"""
    late: bool = False
    """the platform called it late"""


@dataclass(frozen=True)
class Submission:
    """The files of a lab's tasks that were found, and what a person should know of the rest."""

    who: Who
    source: str
    """the name of the upload in the folder of uploads"""
    form: str
    """folder, zip, tar, git, or flat: files beside each other, named by the platform"""
    files: dict[str, bytes] = field(default_factory=dict)
    """by path in the tree. The grader's gate has not seen them yet"""
    findings: tuple[str, ...] = ()
    """what was left out, ambiguous or missing, in words for staff"""

    @property
    def digest(self) -> str:
        """The same for submissions of the same files."""
        hashes = [(name, hashlib.sha256(data).hexdigest()) for name, data in sorted(self.files.items())]
        return hashlib.sha256(repr(hashes).encode()).hexdigest()[:24]

    def write(self, folder: Path) -> None:
        """Writes the files below a folder, at their paths in the tree."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


class Findings:
    """Collects words for staff. An upload of ten thousand bad names makes no ten thousand lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, text: str) -> None:
        if (line := clean(text).replace("\n", " ")) not in self._lines:
            self._lines.append(line)

    def all(self) -> tuple[str, ...]:
        more = len(self._lines) - SHOWN_FINDINGS
        return (*self._lines[:SHOWN_FINDINGS], *([f"and {more} more like these"] if more > 0 else []))
