# SPDX-License-Identifier: MIT
"""Judges the answers to one lab.

Blame isolation: a task is judged with its own answer beside the references of all other tasks, so
that one bug costs one task. A release has references as objects, of the labs before the current
one; where there is none, the tree's own file serves, and the result says so. Once everything passes
alone, all of the tree's own files are booted together too, which is reported, not scored.
"""

from __future__ import annotations

import difflib
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Sequence

from grader import CannotRun, UsageError
from grader import machines
from grader.build.answers import Answers, content, is_compiled, own_answers, stub
from grader.build.disk import disk_trouble
from grader.build.kit import Kit
from grader.build.workshop import Progress, workshop
from grader.course import lab as labs_module
from grader.course import questions
from grader.course.lab import ROOT, Lab, Task
from grader.judge import outcome
from grader.judge.engine import Case, Engine, Settings, cases_of, new_transcripts, why_not
from grader.judge.outcome import Outcome
from grader.judge.results import LeftOut, MachineResult, Results, TaskResult, Together
from grader.judge.scoring import over_machines, score_task

TOGETHER = "together"
REFERENCE = "reference"
HANDED_IN = "handed in"
ALL = "all"
"""every machine that the lab names"""
SHOWN_NAMES = 5
"""of tests, where a keyword matches none"""


@dataclass(frozen=True)
class Asked:
    """What is to be judged of one lab, and how."""

    lab: Lab
    tasks: tuple[Task, ...]
    on: tuple[str, ...]
    """the machines of booted tests"""
    seed: int
    reference: bool = False
    """the references in place of the student's files"""
    handed_in: Path | None = None
    """the folder with a submission's files, at their paths in the tree; else the tree's own are
    judged"""
    keyword: str = ""
    entered: Mapping[str, Any] = field(default_factory=dict)
    """points that a person gave, by question"""
    let_pass: tuple[str, ...] = ()
    transcripts: Path | None = None
    """where they go; else into the build folder"""
    all_together: bool = True
    """the student's own files are booted together as well, once each passes alone"""


def grade(lab: Lab, *, reference: bool = False, task: str | None = None, keyword: str = "",
          machine: str | None = None, awards: Path | None = None, seed: int | None = None,
          let_pass: Sequence[str] = (), handed_in: Path | None = None, progress: Progress | None = None,
          fresh: bool = False) -> Results:
    """Judges one lab's answers. `let_pass`: tasks whose answers are judged even if the gate refuses
    them. `handed_in`: see Asked. `fresh`: with nothing kept from before."""
    progress = progress or Progress()
    asked = Asked(lab, (lab.task(task),) if task else lab.tasks, machines_of(lab, machine),
                  secrets.randbits(48) if seed is None else seed, reference, handed_in, keyword,
                  questions.read_awards(awards, lab) if awards else {}, tuple(let_pass))
    if not any(cases_of(one, Answers(()), "", asked.on) for one in asked.tasks):
        raise UsageError(f"none of these tests can run on {', '.join(asked.on)}; {lab.id}'s machines are: "
                         f"{', '.join(lab.machines)}")
    with workshop(progress, fresh=fresh) as kit:
        return grade_with(kit, asked, progress)


def grade_with(kit: Kit, asked: Asked, progress: Progress) -> Results:
    """Judges with a kit that is open already: once, or for many submissions in turn."""
    started = time.monotonic()
    lab, tasks, on, seed, reference, keyword = asked.lab, asked.tasks, asked.on, asked.seed, asked.reference, asked.keyword
    all_labs = labs_module.load_all()
    kit.begin(asked.handed_in, frozenset(lab.task(one).file for one in asked.let_pass))
    own = own_answers(all_labs)
    if asked.handed_in:
        own = Answers.of({task.file: asked.handed_in / task.file for task in lab.tasks}).over(own)
    references, without = kit.references(all_labs)
    if reference and (lacking := [one.id for one in tasks if one.file not in references]):
        raise CannotRun(f"this tree has no reference answer to {', '.join(lacking)}"
                        + (f": {without}" if without else "")
                        + "\n  mend: leave out --reference to judge your own files")
    beside, stood_in = with_stubs(kit, references.over(own))
    plan = {one.id: beside if reference else beside.replaced(one.file, own[one.file]) for one in tasks}
    cases = [case for one in tasks for case in cases_of(one, plan[one.id], label_of(one), on)]
    lacking = [one.id for one in every_task(all_labs) if one.file not in references]
    taken_up = [one for one in tasks if not (lab.is_challenge(one) and unwritten([one], own))]
    if asked.all_together and not (reference or len(tasks) < len(lab.tasks) or keyword or lacking or unwritten(taken_up, own)):
        # Booted, since that is where they meet; a unit case is about one of them. What other labs
        # ask for is not asked here.
        mine = beside
        for one in taken_up:
            mine = mine.replaced(one.file, own[one.file])
        cases += [case for one in taken_up for case in cases_of(one, mine, TOGETHER, on, late=True) if case.machine]
    try:
        transcripts = asked.transcripts or new_transcripts(ROOT, lab.id)
    except OSError as error:
        raise disk_trouble(error, ROOT / "build" / "transcripts") from error
    engine = Engine(lab, kit, Settings(seed, transcripts))
    if not keyword:
        engine.build([case for case in cases if not case.late])
    found = judge(engine, cases, keyword, progress)
    notes = [*engine.notes, *without_references(lab, [] if reference else lacking, without), *stood_in]
    flag = " --reference" if reference else ""

    def judged(where: Sequence[str]) -> tuple[TaskResult, ...]:
        return tuple(one for one in (score_task(
            task, outcomes(found, label_of(task), where),
            elsewhere="own" if [one for one in lacking if one != task.id] else "reference", counts=lab.counted(task),
            alone=f"./nest grade {lab.id}{flag} -k '{{}}' --seed {seed}", usual=lab.usual_machine)
            for task in tasks) if one is not None)

    by_machine = tuple(MachineResult(one, judged([one]), left_out(tasks, one)) for one in on)
    read: tuple[questions.QuestionResult, ...] = ()
    if lab.questions and not (len(tasks) < len(lab.tasks) or keyword):
        if not reference and (refusal := questions.refusal(lab, asked.handed_in or ROOT)):
            notes.append(refusal)
        right = questions.right_numbers(lab)
        found_there = questions.answers_of(lab, reference=reference, root=asked.handed_in or ROOT)
        read = questions.results(lab, found_there, asked.entered, right, reference=reference)
    scored = judged(on)
    could = {case.test.name for case in cases}
    partial = len(tasks) < len(lab.tasks) or sum(len(one.tests) for one in scored) < len(could)
    shown = transcripts.relative_to(ROOT) if transcripts.is_relative_to(ROOT) else transcripts
    return Results(lab, REFERENCE if reference else HANDED_IN if asked.handed_in else "own", seed, partial, scored,
                   by_machine, together(found), str(shown), time.monotonic() - started, read,
                   tuple(notes), tuple(sorted(kit.let_passed.values())),
                   (*engine.for_staff, *(line for name in sorted(kit.for_staff) for line in kit.for_staff[name])))


def with_stubs(kit: Kit, beside: Answers) -> tuple[Answers, list[str]]:
    """What stands beside each task, with a release's stubs in the place of the student's own files
    that cannot be linked; and what a student should know of that. Where a reference is at hand, it
    stands there already."""
    could = [(file, found) for file, _ in beside.files if (found := stub(file, kit.root))]
    broken = [(file, found, fault) for file, found in could
              if not is_compiled(beside[file], kit.root) and (fault := kit.fault(file, beside[file]))]
    for file, found, _ in broken:
        beside = beside.replaced(file, found)
    return beside, [f"{file} {fault.stage}: its empty stub stands beside the other tasks" for file, _, fault in broken]


def every_task(all_labs: Sequence[Lab]) -> list[Task]:
    """The tasks of all labs."""
    return [task for lab in all_labs for task in lab.tasks]


def without_references(lab: Lab, lacking: Sequence[str], why: str) -> list[str]:
    """What a student should know of blame isolation in a tree where references are lacking, if
    anything."""
    if why:
        return [f"one mistake may cost points in several tasks here, since your own files stand beside each task: {why}"]
    others = [one for one in lacking if one.partition(".")[0] in (lab.id, *lab.builds_on)]
    if len(others) < 2:
        return []
    labs = ", ".join(dict.fromkeys(one.partition(".")[0] for one in others))
    return [f"your own files of {labs} stand beside each task, since this tree has no references for them: one mistake "
            "may cost points in several tasks here. The graders' machine has all references"]


def machines_of(lab: Lab, asked: str | None) -> tuple[str, ...]:
    """The machines on which a lab's booted tests are to run. Raises UsageError."""
    if asked is None:
        return (lab.usual_machine,)
    if asked == ALL:
        return lab.machines
    if asked not in machines.names():
        raise UsageError(f"there is no machine '{asked}'; the machines are: {', '.join(machines.names())}, or "
                         f"{ALL}: those of {lab.id}, which are {', '.join(lab.machines)}")
    return (asked,)


def outcomes(found: Mapping[tuple[str, str, str], Outcome], label: str, on: Sequence[str]) -> dict[str, Outcome]:
    """By test: what came of it under the label's answers, over some of the machines."""
    by_test: dict[str, list[Outcome]] = {}
    for machine in ("", *on):
        for (where, there, name), result in found.items():
            if where == label and there == machine:
                by_test.setdefault(name, []).append(result)
    return {name: over_machines(several) for name, several in by_test.items()}


def left_out(tasks: Sequence[Task], machine: str) -> tuple[LeftOut, ...]:
    """The tests that cannot run on a machine, and why."""
    return tuple(LeftOut(test, why) for task in tasks for test in task.tests
                 if (why := why_not(task, test, machine)))


def unwritten(tasks: list[Task], own: Answers) -> list[Task]:
    """The tasks whose stub still stands, or of which there is no file that may be read: a run of
    all files together would end there."""
    return [task for task in tasks if (text := content(own[task.file])) is None or f'todo("{task.id}")'.encode() in text]


def label_of(task: Task) -> str:
    """The name under which a task's tests run with the task's own answers."""
    return task.id.partition(".")[2]


def judge(engine: Engine, cases: list[Case], keyword: str,
          progress: Progress) -> dict[tuple[str, str, str], Outcome]:
    """Runs the cases; outcomes by label, machine and test name."""
    from grader.judge.plugin import Session

    done = 0

    def seen(case: Case, result: Outcome) -> None:
        nonlocal done
        done += 1
        progress(f"judging [{done}/{session.selected}] {case.test.name}")

    session = Session(engine, cases, seen, keyword)
    progress("judging")
    session.run()
    if not session.selected:
        names = list(dict.fromkeys(case.test.name for case in cases))
        raise UsageError(f"no test matches -k '{keyword}'; of {len(names)} tests these are named most like it:\n  "
                         + "\n  ".join(nearest(keyword, names)))
    return session.results


def nearest(keyword: str, names: Sequence[str]) -> list[str]:
    """A few of the tests, those first whose names are most like the keyword."""
    def letters(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    def likeness(name: str) -> float:
        return difflib.SequenceMatcher(None, letters(keyword), letters(name.partition(":")[2])).ratio()

    return sorted(names, key=likeness, reverse=True)[:SHOWN_NAMES]


def together(found: Mapping[tuple[str, str, str], Outcome]) -> Together | None:
    """What came of the student's own files all together; None if that was not tried."""
    on = dict.fromkeys(machine for _, machine, _ in found)
    mine = outcomes(found, TOGETHER, list(on))
    if not mine:
        return None
    failed = tuple((name, _in_a_line(result)) for name, result in mine.items() if not result.passed)
    return Together(len(mine) - len(failed), len(mine), failed)


def _in_a_line(result: Outcome) -> str:
    """Why a test failed; where nothing was built, what the tool said first."""
    lines = result.detail.split("\n")
    return " ".join(line.strip() for line in lines[:3 if result.kind in (outcome.NOT_BUILT, outcome.REFUSED) else 1]) or result.kind
