# SPDX-License-Identifier: MIT
"""What came of a lab's mutants, in lines, and what of it is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from grader.course.lab import Lab
from grader.mutate.campaign import EQUIVALENT, KILLED, STILLBORN, SURVIVED, Mutant
from grader.mutate.survivors import Listed

LEAST = 0.95
"""of a task's mutants are noticed"""


def table(lab: Lab, mutants: list[Mutant], listed: Listed) -> Iterator[str]:
    """A line for each task."""
    yield f"{lab.id} {lab.title}"
    for task in lab.tasks:
        mine = [one for one in mutants if one.task == task]
        if not mine:
            continue
        killed, counted = _score(mine, listed)
        by = {verdict: sum(one.verdict == verdict for one in mine) for verdict in (SURVIVED, EQUIVALENT, STILLBORN)}
        yield (f"{task.id:<28} {killed:>4}/{counted:<4} noticed, {by[SURVIVED]} survived, {counted - killed} of them not listed; "
               f"not counted: {by[EQUIVALENT]} with the reference's code, {by[STILLBORN]} that do not build")


def faults(lab: Lab, mutants: list[Mutant], listed: Listed, *, whole: bool) -> Iterator[str]:
    """What is wrong: a survivor that nobody has explained, too many of them, and, where all mutants
    of its file were judged, an explanation of what does not survive."""
    root = lab.folder.parents[1]
    for one in mutants:
        if one.verdict == SURVIVED and one.key not in listed:
            file, was, new = one.key
            place = (root / "solutions-private" / file).relative_to(root)
            yield (f"{place}:{one.edit.line(one.text)}: no test notices this: {one.edit.what}\n"
                   f"    - {was}\n    + {new}\n"
                   f"    {one.path.relative_to(root)}")
    for task in lab.tasks:
        killed, counted = _score([one for one in mutants if one.task == task], listed)
        if counted and killed < LEAST * counted:
            yield f"{task.id}: {killed} of {counted} mutants are noticed, less than {LEAST:.0%}"
    alive = {one.key for one in mutants if one.verdict == SURVIVED}
    others = {task.file for task in lab.tasks} - {one.task.file for one in mutants}
    for key in listed.survivors:
        if whole and key not in alive and key[0] not in others:
            yield f"{listed.path.relative_to(root)}: does not survive, or is no mutant: {' / '.join(key)}"


def _score(mutants: list[Mutant], listed: Listed) -> tuple[int, int]:
    """How many were noticed, of how many that count: those that are listed as right do not."""
    killed = sum(one.verdict == KILLED for one in mutants)
    return killed, killed + sum(one.verdict == SURVIVED and one.key not in listed for one in mutants)
