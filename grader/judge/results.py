# SPDX-License-Identifier: MIT
"""The one result of a grading, of which every output (grader/judge/report.py,
grader/judge/forms.py) is a form.

Each machine has a table of its own, without the tests that cannot run there. Tasks for the vendor
that does not count are judged alike, and reported apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from grader import CANNOT_RUN, DONE, POINTS_MISSING
from grader.confine.words import clean
from grader.course.lab import Lab, Task, Test
from grader.course.questions import PENDING, QuestionResult
from grader.judge import outcome
from grader.judge.outcome import Outcome


@dataclass(frozen=True)
class TestResult:
    """One test with its points."""

    test: Test
    outcome: Outcome
    score: float
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
    def score(self) -> float:
        return sum(test.score for test in self.tests)

    @property
    def max_score(self) -> float:
        return sum(test.test.points for test in self.tests)

    @property
    def not_judged(self) -> float:
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
    def score(self) -> float:
        return sum(task.score for task in self.tasks if task.counts)

    @property
    def max_score(self) -> float:
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
    let_passed: tuple[str, ...] = ()
    """what the gate would have refused, and staff let pass"""
    for_staff: tuple[str, ...] = ()
    """what a person may want to look at, and what costs no points"""

    def __post_init__(self) -> None:
        for name in ("notes", "let_passed", "for_staff"):
            object.__setattr__(self, name, tuple(map(clean, getattr(self, name))))

    @property
    def score(self) -> float:
        """What was reached so far, by tests and by what a person entered."""
        return sum(task.score for task in self.tasks if task.counts) + sum(one.score for one in self.questions)

    @property
    def max_score(self) -> float:
        return (sum(task.max_score for task in self.tasks if task.counts)
                + sum(one.question.points for one in self.questions))

    @property
    def reached(self) -> str:
        """How much was reached, in words; in a lab without points, how many tests pass."""
        if self.max_score:
            return f"{self.score:g} of {self.max_score:g} points"
        if self.lab.points:
            return "no points that count"
        return f"{sum(test.passed for test in self.tests)} of {len(self.tests)} tests pass"

    @property
    def pending(self) -> int:
        """The points of answers that nobody has read yet."""
        return sum(one.question.points for one in self.questions if one.state == PENDING)

    @property
    def not_judged(self) -> float:
        """The points of tests of which nothing is known, since this system is to blame; they are in
        max_score."""
        return sum(task.not_judged for task in self.tasks if task.counts)

    @property
    def complete(self) -> bool:
        """Whether every test passed that could be judged, and every point that a test gives is
        reached, those apart included; and no number is missing or known to be wrong. A challenge
        may fail, unless nothing else was judged."""
        asked = [task for task in self.tasks if not self.lab.is_challenge(task.task)] or self.tasks
        return (not self.unknown and all(test.passed for task in asked for test in task.tests if test.judged)
                and not any(one.lost for one in self.questions))

    @property
    def unknown(self) -> bool:
        """Whether points hang on a test that could not be judged, or none could. On a race's case
        of 0 points none do: what it looks for is found by explored cases on every host."""
        return any(task.not_judged for task in self.tasks) or not any(test.judged for test in self.tests)

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
        if self.unknown:
            return CANNOT_RUN
        return DONE if self.complete else POINTS_MISSING
