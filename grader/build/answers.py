# SPDX-License-Identifier: MIT
"""Answers: for each task file of the tree, what is to be judged, or stands beside what is judged.

That is a source file, or, in a student's tree, a folder with the reference answer as objects: one
for each flavour, made by staff (see :mod:`grader.build.reference_objects`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.course import release
from grader.course.lab import ROOT, Lab
from grader.gate import Refused, reader


COMPILED = "references"
"""The folder of compiled references, from the root."""
STUBS = f"{COMPILED}/stubs"
"""The folder of the tasks' files as a release had them, from the root."""


@dataclass(frozen=True)
class Answers:
    """For each task file of the tree, the file that answers it."""

    files: tuple[tuple[str, Path], ...]

    @classmethod
    def of(cls, files: Mapping[str, Path]) -> Answers:
        return cls(tuple(sorted(files.items())))

    def replaced(self, file: str, by: Path) -> Answers:
        """These answers with another file for one task."""
        return Answers.of({**dict(self.files), file: by})

    def over(self, others: Answers) -> Answers:
        """These answers, and the others' where these have none."""
        return Answers.of({**dict(others.files), **dict(self.files)})

    def where(self, wanted: Callable[[str], bool]) -> Answers:
        """Those of the answers whose task file is wanted."""
        return Answers(tuple((file, path) for file, path in self.files if wanted(file)))

    def __getitem__(self, file: str) -> Path:
        return dict(self.files)[file]

    def __contains__(self, file: object) -> bool:
        return file in dict(self.files)


def own_answers(labs: list[Lab], root: Path = ROOT) -> Answers:
    """The tree's own student files, the stubs of labs that a release does not have yet among
    them."""
    files = [task.file for lab in labs for task in lab.tasks]
    if made := release.read(root):
        files += made.later
    return Answers.of({file: root / file for file in files})


def reference_answers(labs: list[Lab], root: Path = ROOT) -> Answers | None:
    """The references of all tasks, or None where a file of them is missing, as in a release."""
    files = {task.file: root / "solutions-private" / task.file for lab in labs for task in lab.tasks}
    return Answers.of(files) if all(path.is_file() for path in files.values()) else None


def stub(file: str, root: Path = ROOT) -> Path | None:
    """The file of a task as it was handed out, or None where no release left it."""
    path = root / STUBS / file
    return path if path.is_file() else None


def is_compiled(path: Path, root: Path = ROOT) -> bool:
    """Whether it is a folder of objects that staff have made. One in the place of a student's file
    is none."""
    return path.is_relative_to(root / COMPILED) and path.is_dir()


def content(path: Path, root: Path = ROOT) -> bytes | None:
    """A file's text as the gate reads it, those of a reference's objects by name, or None if it
    cannot be read or is refused."""
    try:
        if is_compiled(path, root):
            return b"".join(one.name.encode() + one.read_bytes() for one in sorted(path.iterdir()))
        return reader.read(path, root)
    except (OSError, Refused):
        return None
