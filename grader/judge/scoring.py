# SPDX-License-Identifier: MIT
"""From outcomes to points.

Rules: a test gives all its points or none; a test of 0 points belongs to the last one before it
that has some, which then gives its points only if both pass; a negative test counts only if its
task's first positive test passed; a test that failed and passed when replayed stays failed and is
marked unstable.

A booted test passes if it passes on every machine on which it ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from grader.course.lab import Task
from grader.judge import outcome
from grader.judge.outcome import Outcome
from grader.judge.results import TaskResult, TestResult

DOES_NOT_COUNT = "does not count"


def over_machines(outcomes: Sequence[Outcome]) -> Outcome:
    """One test's outcome over the machines on which it ran: the first failure, if there is one;
    else the first that was not judged."""
    failed = [one for one in outcomes if not one.passed and one.judged]
    unknown = [one for one in outcomes if not one.judged]
    first = (failed or unknown or outcomes)[0]
    return replace(first, unstable=any(one.unstable for one in outcomes))


def score_task(task: Task, found: Mapping[str, Outcome], *, elsewhere: str, alone: str, counts: bool = True,
               usual: str = "") -> TaskResult | None:
    """The task's result from its tests' outcomes by name; tests without an outcome were not
    selected.

    `alone` is the command that runs one test, with `{}` in the place of its name; `usual` the
    machine that it takes by itself.
    """
    judged = [test for test in task.tests if test.name in found]
    if not judged:
        return None
    gate = task.first_positive
    gate_found = found.get(gate.name) if gate is not None else None
    results = []
    for test in judged:
        one = found[test.name]
        kind, detail = one.kind, one.detail
        if test.negative and gate_found is not None and not gate_found.passed and one.passed and gate is not None:
            kind = DOES_NOT_COUNT if gate_found.judged else outcome.NOT_JUDGED
            detail = f"refusing is right here, but it counts only once {gate.name} passes"
            if not gate_found.judged:
                detail += f", which could not be judged:\n{gate_found.detail}"
        results.append(TestResult(test, one, test.points if kind == outcome.PASSED else 0, kind, detail,
                                  alone.format(test.local) + (
                                      f" --machine {one.machine}" if one.machine not in ("", usual) else "")))
    lost = {task.bearer(one.test).name for one in results if not one.passed and not _is_extra(task, one)}
    results = [replace(one, score=0) if one.test.name in lost else one for one in results]
    results = [_with_those_that_belong(task, one, results) for one in results]
    state, note = _state(task, [one.outcome for one in results])
    return TaskResult(task, tuple(results), state, note, elsewhere, counts)


def _with_those_that_belong(task: Task, one: TestResult, results: Sequence[TestResult]) -> TestResult:
    """A test that passed is not judged if one that its points depend on is not judged, and none of
    them failed."""
    others = [other for other in results if task.bearer(other.test) is one.test and not other.passed
              and not _is_extra(task, other)]
    if not one.passed or not others or any(other.judged for other in others):
        return one
    return replace(one, kind=outcome.NOT_JUDGED, detail=others[0].detail)


def _is_extra(task: Task, one: TestResult) -> bool:
    """Whether no points hang on a test that was not judged: a race's of 0 points, since what it
    looks for is found by explored cases on every host."""
    return one.test.kind == "race" and task.bearer(one.test) is not one.test and not one.judged


def _state(task: Task, outcomes: Iterable[Outcome]) -> tuple[str, str]:
    outcomes = list(outcomes)
    for one in outcomes:
        if one.kind in (outcome.NOT_BUILT, outcome.REFUSED):
            return one.stub, one.detail
    stubs = [one for one in outcomes if one.kind == outcome.NOT_WRITTEN]
    if stubs and not any(one.passed for one in outcomes):
        return "not written", stubs[0].detail
    return "graded", ""
