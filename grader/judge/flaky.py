# SPDX-License-Identifier: MIT
"""Finds verdicts that depend on luck: `nest verify --flaky N` judges the same answers again and
again.

Each time with other nonces. Builds come from the cache; verdicts are in none.
"""

from __future__ import annotations

from collections.abc import Iterator

from grader.build.kit import Kit
from grader.build.workshop import Progress
from grader.course.lab import Lab, Task
from grader.judge.judging import ALL
from grader.judge.matrix import Row, verify


def runs(lab: Lab, kit: Kit, seed: int, count: int, progress: Progress, keyword: str = "",
         machine: str = ALL) -> list[tuple[int, list[Row]]]:
    """The rows so many times, with the seed of each: the references, and what touches concurrency;
    with a keyword, the rows whose names contain it. Of mutants, all tests on the host are judged,
    and the booted ones if those pass."""

    def chosen(row: Row) -> bool:
        if keyword:
            return keyword in row.name
        return row.kind == "reference" or (row.kind != "skeleton" and any(
            is_concurrent(task) for task in lab.tasks if task.id in row.answers and _answers(row, task)))

    found = []
    for run in range(count):
        progress(f"run [{run + 1}/{count}]")
        found.append((seed + run, verify(lab, kit, seed + run, progress, machine=machine, chosen=chosen,
                                         all_on_host=True)))
    return found


def is_concurrent(task: Task) -> bool:
    """Whether a test of the task wants several CPUs, or several threads."""
    return any(test.kind not in ("unit", "boot") or test.cpus > 1 for test in task.tests)


def _answers(row: Row, task: Task) -> bool:
    """Whether the row has an answer of its own to the task, and not the reference."""
    return "solutions-private/" + task.file not in str(row.answers[task.id][task.file])


def differences(lab: Lab, found: list[tuple[int, list[Row]]]) -> Iterator[str]:
    """A line for each verdict that differs from one run to another, and for each mutant that is not
    always noticed."""
    verdicts: dict[tuple[str, str], dict[str, list[int]]] = {}
    for seed, rows in found:
        for row in rows:
            for task in lab.tasks:
                cell = row.cells.get(task.id)
                if cell is None:
                    continue
                for test in cell.tests:
                    # A test that was not tried, since another had failed, has no verdict.
                    word = test.outcome.kind if not test.judged else "passed" if test.outcome.passed else "failed"
                    verdicts.setdefault((f"{row.name}, {task.id}", test.test.name), {}).setdefault(word, []).append(seed)
                noticed = "noticed" if any(not test.outcome.passed for test in cell.tests) else "not noticed"
                if row.kind == "mutant":
                    verdicts.setdefault((f"{row.name}, {task.id}", "the mutant"), {}).setdefault(noticed, []).append(seed)
    for (where, what), seeds in verdicts.items():
        if len(seeds) > 1:
            counts = ", ".join(f"{word} {len(which)} times (seed {which[0]})" for word, which in seeds.items())
            yield f"{where}: {what}: {counts}"
