# SPDX-License-Identifier: MIT
"""The results of a class, made of verdicts by hand: points, words and the database are made by the
grader's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grader.batch import store as database
from grader.batch.store import Store
from grader.course import lab as labs_module
from grader.course.lab import Lab, Test
from grader.course.questions import ENTERED, MISSING, PENDING, QuestionResult
from grader.intake.submission import Submission, Who
from grader.judge import for_students, forms, outcome
from grader.judge.outcome import Outcome
from grader.judge.results import MachineResult, Results
from grader.judge.scoring import score_task

PASSED = Outcome(outcome.PASSED, seconds=0.25, nonce="00ff")
BEGUN = "2026-11-27T18:00:00+01:00"
NASTY = '=HYPERLINK("x") </script><img src=x onerror=alert(1)> `rm` ](javascript:1) | \x1b[31m\n# heading\u202e'
"""What a student may call themselves, or make a program print."""

Verdict = Callable[[Test], Outcome]


def results_of(lab: Lab, verdict: Verdict, questions: tuple[str, ...] = ()) -> Results:
    """A lab's result; `questions`: their states."""
    tasks = tuple(score_task(task, {test.name: verdict(test) for test in task.tests}, elsewhere="reference",
                             counts=lab.counted(task), alone=f"./nest grade {lab.id} -k '{{}}' --seed 7")
                  for task in lab.tasks)
    whole = tuple(task for task in tasks if task is not None)
    asked = zip(lab.questions.ask if lab.questions else (), questions)
    return Results(lab, "own", 7, False, whole, (MachineResult(lab.usual_machine, whole, ()),), None,
                   "build/transcripts/x", 12.5,
                   tuple(QuestionResult(one, state, one.points if state == ENTERED else 0) for one, state in asked))


def some(kinds: Mapping[str, str | Outcome]) -> Verdict:
    """Every test passes but those whose names have one of these words."""
    def verdict(test: Test) -> Outcome:
        for word, kind in kinds.items():
            if word in test.name or word == test.task:
                return kind if isinstance(kind, Outcome) else Outcome(kind, f"{kind}: seen 1, wanted 2", 0.5, "00ff")
        return PASSED

    return verdict


def students_form(results: Results) -> dict[str, Any]:
    return forms.validated(for_students.as_dict(results))


@contextmanager
def opened(folder: Path, lab: str = "lab1") -> Iterator[Store]:
    folder.mkdir(parents=True, exist_ok=True)
    with database.opened(folder, lab=lab) as store:
        yield store


def hand_in(store: Store, student: str, result: Results | None, *, state: str = "", why: str = "", **who: Any) -> None:
    """One submission and what came of it."""
    text = f"// {student}\n".encode("utf-8", "surrogatepass")
    one = Submission(Who(student, **who), f"{student}.zip", "zip", {"kern/elf/elf_decode.cc": text} if state != "none" else {})
    store.take_submission(one)
    if state == "none":
        return
    number = store.begin(one.digest, 7, BEGUN)
    state = state or (database.NOT_JUDGED if result and result.not_judged else database.GRADED)
    more: dict[str, Any] = {"why": why, "host": "grader-1"}
    if result is not None:
        more |= {"score": result.score, "max_score": result.max_score, "pending": result.pending,
                 "not_judged": result.not_judged, "result": forms.validated(forms.as_dict(result)),
                 "for_students": students_form(result)}
    store.end(one.digest, number, state, ended=BEGUN, seconds=12.5, **more)


def lab1() -> Lab:
    return labs_module.find("lab1")


def small_class(folder: Path) -> None:
    """Four who are graded, one of them with nasty words; one not judged in part, two failures of
    ours, one absent."""
    lab = lab1()
    every = results_of(lab, some({}))
    with opened(folder) as store:
        hand_in(store, "1001", every, name="Ada Byron")
        hand_in(store, "1002", results_of(lab, some({"lab1.elf_decode": outcome.NOT_WRITTEN})), name="=1+2")
        hand_in(store, "1003", results_of(lab, some({"boot:": Outcome(outcome.CRASHED, NASTY)})), name=NASTY)
        hand_in(store, "1004", results_of(lab, some({"boot:": Outcome(outcome.NOT_JUDGED, "no machine\nmend: get one")})),
                name="Not Judged")
        hand_in(store, "1005", None, state=database.FAILED, why="the disk is full", name="Failed")
        hand_in(store, "1006", None, state=database.LOST, why="the run was ended", name="Lost")
        hand_in(store, "1007", None, state="none", name="Absent")
        hand_in(store, "g1", results_of(lab, some({"lab1.enter_user": outcome.TIMEOUT})), name="Group 1",
                members=("2001", "2002"))


__all__ = ["BEGUN", "MISSING", "NASTY", "PENDING", "hand_in", "lab1", "opened", "results_of", "small_class", "some",
           "students_form"]
