# SPDX-License-Identifier: MIT
"""The kernel, built from the tree's own answers or from the references, to be run by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun, UsageError
from grader.build.answers import Answers, content, own_answers
from grader.build.workshop import Progress, workshop
from grader.course import release
from grader.course.lab import ROOT, Lab, Task, load_all
from grader.course.release import Release

GUEST = "gkernel.elf"
"""The kit's file that runs as the guest."""
PROGRAMS = "user/"
"""The kit's files that are user programs begin with it."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class LabKernel:
    """What was built."""

    kernel: Path
    files: dict[str, Path]
    """the kit's other files: guests, probes and user programs; those that hold tasks with these
    answers"""
    runs: str = "guests"
    """or `programs`, or `vmms`; `modules`: nothing, it looks at its boot module"""

    @property
    def guest(self) -> Path:
        """The guest kernel."""
        if GUEST not in self.files:
            raise CannotRun(f"the kit has no {GUEST}\nmend: remove build/ and try again")
        return self.files[GUEST]

    @property
    def programs(self) -> dict[str, Path]:
        """The user programs, by name."""
        return {
            key.removeprefix(PROGRAMS).removesuffix(".elf"): path
            for key, path in self.files.items() if key.startswith(PROGRAMS)
        }  # fmt: skip

    def program(self, name: str) -> Path:
        """One user program. Raises UsageError with the list of them."""
        if name not in self.programs:
            known = ", ".join(sorted(self.programs)) or "none"
            raise UsageError(f"there is no program '{name}'; the programs are: {known}")
        return self.programs[name]


def is_stub(task: Task, root: Path = ROOT) -> bool:
    """Whether the tree's own file of the task is not written yet."""
    text = content(root / task.file, root)
    return text is None or f'todo("{task.id}")' in text.decode()


def build(say: Say, lab: Lab, *, reference: bool = False, own: Task | None = None) -> LabKernel:
    """Builds the lab's kernel; raises CannotRun or BuildFailure.

    Tasks of the labs that it builds on, and of others that this kernel is linked with, if they are
    stubs still, are taken from the references, where there are any; with ``own`` this lab's other
    tasks too, so that the kernel comes as far as that task.
    """
    labs = load_all()
    answers = own_answers(labs)
    with workshop(Progress()) as kit:
        references, without = kit.references(labs)
        if reference:
            lacking = [task.id for task in lab.tasks if task.file not in references]
            if lacking:
                raise CannotRun(f"this tree has no reference answer to {', '.join(lacking)}"
                                + (f": {without}" if without else "") + "\n  mend: leave out --reference")
            answers = references.over(answers)
        else:
            below = [task for one in labs if one != lab for task in one.tasks
                     if one.id in lab.builds_on or kit.boots(lab.kernel, task.file)]
            beside = [task for task in lab.tasks if own is not None and task != own]
            there = [task for task in [*below, *beside] if task.file in references]
            answers = with_later(_caught_up(answers, references, there, say), references, release.read())
        image = _kept(kit.kernel(lab.kernel, answers).result(), f"{lab.kernel}.elf")
        programs = {name: _kept(kit.user_program(name, answers).result(), name)
                    for name in kit.programs(lab.kernel)}
        return LabKernel(image, kit.files | programs, kit.runs(lab.kernel))


def with_later(answers: Answers, references: Answers, made: Release | None) -> Answers:
    """The answers, with references to tasks of labs that the release does not have yet: nobody can
    write those."""
    later = made.later if made else ()
    return references.where(lambda file: file in later).over(answers)


def _kept(image: Path, name: str) -> Path:
    """The file at a place that a person can type, and that no trimmed cache takes away."""
    place = ROOT / "build" / "run" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    new = place.with_suffix(f".{os.getpid()}")
    shutil.copyfile(image, new)
    return new.replace(place)


def _caught_up(answers: Answers, references: Answers, tasks: list[Task], say: Say) -> Answers:
    taken = []
    for task in tasks:
        if is_stub(task):
            answers = answers.replaced(task.file, references[task.file])
            taken.append(task.id)
    if taken:
        say(f"not written yet, so the reference stands in: {', '.join(taken)}")
    return answers
