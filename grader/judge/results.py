# SPDX-License-Identifier: MIT
"""From outcomes to points, and the one result that every output (grader/judge/report.py, grader/judge/forms.py) is made
from.

Rules: a test gives all its points or none; a test of 0 points belongs to the last one before it that has
some, which then gives its points only if both pass; a negative test counts only if its task's first
positive test passed; a test that failed and passed when replayed stays failed and is marked unstable.

A test that could not be judged here, since this system is to blame, neither wins nor loses its points: they
are in no score, and named apart. What depends on it is not judged either, unless it has failed by itself.

A booted test passes if it passes on every machine on which it ran. Each machine has a table of its own too,
without the tests that cannot run there. Tasks for the vendor that does not count are judged alike, and
reported apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Mapping, Sequence

from grader import CANNOT_RUN, DONE, POINTS_MISSING
from grader.course.lab import Lab, Task, Test
from grader.course.questions import PENDING, QuestionResult
from grader.judge import outcome
from grader.judge.outcome import Outcome

DOES_NOT_COUNT = "does not count"


@dataclass(frozen=True)
class TestResult:
    """One test with its points."""

    test: Test
    outcome: Outcome
    score: int
    kind: str
    """the outcome's kind, or `does not count` for a negative test that passed for nothing"""
    detail: str
    alone: str
    """the command that runs it alone"""

    @property
    def passed(self) -> bool:
        return self.kind == outcome.PASSED

    @property
    def judged(self) -> bool:
        return self.kind != outcome.NOT_JUDGED


@dataclass(frozen=True)
class TaskResult:
    """One task's tests and what is said once about all of them."""

    task: Task
    tests: tuple[TestResult, ...]
    state: str
    note: str
    elsewhere: str
    counts: bool = True
    """its points are the lab's; else they are reported apart"""

    @property
    def score(self) -> int:
        return sum(test.score for test in self.tests)

    @property
    def max_score(self) -> int:
        return sum(test.test.points for test in self.tests)

    @property
    def not_judged(self) -> int:
        """The points, of max_score, of which nothing is known."""
        return sum(test.test.points for test in self.tests if not test.judged)


@dataclass(frozen=True)
class LeftOut:
    """A test that cannot run on a machine."""

    test: Test
    why: str


@dataclass(frozen=True)
class MachineResult:
    """One machine's table: what ran on the host, and what was booted on it."""

    machine: str
    tasks: tuple[TaskResult, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def score(self) -> int:
        return sum(task.score for task in self.tasks if task.counts)

    @property
    def max_score(self) -> int:
        return sum(task.max_score for task in self.tasks if task.counts)


@dataclass(frozen=True)
class Together:
    """The student's own files all together: reported, not scored."""

    passed: int
    total: int
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Results:
    """One grading."""

    lab: Lab
    answers: str
    seed: int
    partial: bool
    tasks: tuple[TaskResult, ...]
    """over all machines"""
    machines: tuple[MachineResult, ...]
    together: Together | None
    transcripts: str
    seconds: float
    questions: tuple[QuestionResult, ...] = ()
    notes: tuple[str, ...] = ()
    """what happened on the way that changed no verdict"""

    @property
    def score(self) -> float:
        """What was reached so far, by tests and by what a person entered."""
        return sum(task.score for task in self.tasks if task.counts) + sum(one.score for one in self.questions)

    @property
    def max_score(self) -> int:
        return (sum(task.max_score for task in self.tasks if task.counts)
                + sum(one.question.points for one in self.questions))

    @property
    def pending(self) -> int:
        """The points of answers that nobody has read yet."""
        return sum(one.question.points for one in self.questions if one.state == PENDING)

    @property
    def not_judged(self) -> int:
        """The points of tests of which nothing is known, since this system is to blame; they are in max_score."""
        return sum(task.not_judged for task in self.tasks if task.counts)

    @property
    def complete(self) -> bool:
        """Whether every test passed, and so every point that a test gives is reached, those apart included."""
        return all(test.passed for test in self.tests)

    @property
    def apart(self) -> tuple[TaskResult, ...]:
        """The tasks for the vendor that does not count."""
        return tuple(task for task in self.tasks if not task.counts)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The tests that could run on none of the machines."""
        if not self.machines:
            return ()
        first, *others = self.machines
        return tuple(one for one in first.left_out
                     if all(one.test in [two.test for two in other.left_out] for other in others))

    def on_machines(self, test: Test) -> dict[str, str]:
        """How a booted test ended, by machine."""
        return {here.machine: one.kind for here in self.machines if test.kind == "boot"
                for task in here.tasks for one in task.tests if one.test == test}

    @property
    def tests(self) -> tuple[TestResult, ...]:
        return tuple(test for task in self.tasks for test in task.tests)

    @property
    def status(self) -> int:
        """The command's exit status: a score of which something is unknown is none yet."""
        if not all(test.judged for test in self.tests):
            return CANNOT_RUN
        return DONE if self.complete else POINTS_MISSING


def over_machines(outcomes: Sequence[Outcome]) -> Outcome:
    """One test's outcome over the machines on which it ran: the first failure, if there is one; else the
    first that was not judged."""
    failed = [one for one in outcomes if not one.passed and one.judged]
    unknown = [one for one in outcomes if not one.judged]
    first = (failed or unknown or outcomes)[0]
    return replace(first, unstable=any(one.unstable for one in outcomes))


def score_task(task: Task, found: Mapping[str, Outcome], *, elsewhere: str, alone: str, counts: bool = True,
               usual: str = "") -> TaskResult | None:
    """The task's result from its tests' outcomes by name; tests without an outcome were not selected.

    `alone` is the command that runs one test, with `{}` in the place of its name; `usual` the machine that it
    takes by itself.
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
    lost = {task.bearer(one.test).name for one in results if not one.passed}
    results = [replace(one, score=0) if one.test.name in lost else one for one in results]
    results = [_with_those_that_belong(task, one, results) for one in results]
    state, note = _state(task, [one.outcome for one in results])
    return TaskResult(task, tuple(results), state, note, elsewhere, counts)


def _with_those_that_belong(task: Task, one: TestResult, results: Sequence[TestResult]) -> TestResult:
    """A test that passed is not judged if one that its points depend on is not judged, and none of them failed."""
    others = [other for other in results if task.bearer(other.test) is one.test and not other.passed]
    if not one.passed or not others or any(other.judged for other in others):
        return one
    return replace(one, kind=outcome.NOT_JUDGED, detail=others[0].detail)


def _state(task: Task, outcomes: Iterable[Outcome]) -> tuple[str, str]:
    outcomes = list(outcomes)
    for one in outcomes:
        if one.kind == outcome.NOT_BUILT:
            return one.stub, one.detail
    stubs = [one for one in outcomes if one.kind == outcome.NOT_WRITTEN]
    if stubs and not any(one.passed for one in outcomes):
        return "not written", stubs[0].detail
    return "graded", ""


def read(results: Results, test: Test) -> str:
    """Where to read about the rule that a test checks."""
    return f"labs/{results.lab.folder.name}/handout.md#{test.read.lstrip('#')}"


def transcript(found: Outcome) -> str:
    """Where a test's transcript is, from the root if it is inside."""
    from grader.course.lab import ROOT

    if found.transcript is None:
        return ""
    path = found.transcript
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def failure_text(results: Results, one: TestResult) -> str:
    """Everything that helps to mend one failure, in lines."""
    test, found = one.test, one.outcome
    bearer = results.lab.task(test.task).bearer(test)
    belongs = "" if bearer is test else f", with {bearer.local}"
    rows = [("task", f"{test.task}, {bearer.points} point{'s' * (bearer.points != 1)}{belongs}"),
            ("checks", test.checks), ("machine", _where(results.on_machines(test))), ("seen", one.detail),
            ("hint", test.hint),
            ("read", read(results, test)), ("alone", one.alone),
            ("seed", f"{results.seed}" + (f", nonce {found.nonce}" if found.nonce else "")),
            ("log", transcript(found))]
    if found.unstable:
        rows.insert(4, ("unstable", "it passed when it was replayed with the same nonce: the answer depends "
                                    "on luck, for example on which CPU is first"))
    lines = []
    for key, text in rows:
        if text:
            first, *rest = text.split("\n")
            lines.append(f"  {key:<9}{first}".rstrip())
            lines += [f"           {line}".rstrip() for line in rest]
    return "\n".join(lines)


def _where(kinds: Mapping[str, str]) -> str:
    """On which machines a test failed, where it ran on several."""
    failed = [name for name, kind in kinds.items() if kind != outcome.PASSED]
    passed = [name for name in kinds if name not in failed]
    return ", ".join(failed) + (f"; it passes on {', '.join(passed)}" if passed else "") if len(kinds) > 1 else ""
