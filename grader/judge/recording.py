# SPDX-License-Identifier: MIT
"""Records how many expectations each unit test evaluates: `nest verify LAB --expectations`.

Every answer that passes a case is asked, the mutants that do too: where any two of them differ, the
numbers depend on the answer, and only the least is recorded. So no honest answer, right or wrong,
is said to have left expectations out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from grader.build.kit import Kit
from grader.build.workshop import Progress
from grader.course import expectations
from grader.course.expectations import Expectations
from grader.course.lab import Lab, Test, hidden_folder
from grader.judge.matrix import Row, verify
from grader.judge.questions import Evaluated

RECORDED = "unit"
"""Explored cases and races run an answer on stacks of its own, from which it does not reach the
case's."""
CROSSED = " + "
"""Of several variants together nothing new is learnt."""
SEEDS = 40
"""The references are judged with so many: a number may hang on what a case draws."""


def record(lab: Lab, kit: Kit, seed: int, progress: Progress) -> tuple[int, int]:
    """Writes the lab's files; of how many tests, and of how many of them the numbers depend on the
    answer."""
    bare = replace(lab, tasks=tuple(replace(task, tests=tuple(
        replace(test, expectations=None) for test in task.tests if test.kind == RECORDED)) for task in lab.tasks))
    seen: dict[Test, set[Evaluated]] = {}
    for run in range(SEEDS):
        rows = verify(bare, kit, seed + run, progress, machine="", full=True,
                      chosen=lambda row: row.kind == "reference" or (
                          run == 0 and row.kind != "skeleton" and CROSSED not in row.name))
        for test, evaluated in _passed(rows):
            seen.setdefault(test, set()).add(evaluated)
    known = {test: common(several) for test, several in seen.items()}
    for hidden, folder in _folders(lab):
        expectations.write(folder, {test.name: found for test, found in known.items() if test.hidden is hidden})
    return len(known), sum(found.times is None for found in known.values())


def unrecorded(lab: Lab) -> list[str]:
    """The cases of which nothing was recorded yet."""
    there = {name for _, folder in _folders(lab) for name in expectations.read(folder)}
    return [test.name for test in lab.tests if test.kind == RECORDED and test.name not in there]


def _folders(lab: Lab) -> tuple[tuple[bool, Path], ...]:
    """Where the numbers of public and of hidden tests stand."""
    return (False, lab.folder), (True, hidden_folder(lab.id))


def _passed(rows: Iterable[Row]) -> Iterable[tuple[Test, Evaluated]]:
    for row in rows:
        for cell in row.cells.values():
            for one in cell.tests:
                if one.test.kind == RECORDED and one.outcome.passed and one.outcome.evaluated:
                    yield one.test, one.outcome.evaluated


def common(seen: Collection[Evaluated]) -> Expectations:
    """What holds in all of them."""
    places, times = min(seen)
    return Expectations(places, times if len(seen) == 1 else None)
