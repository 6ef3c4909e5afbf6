# SPDX-License-Identifier: MIT
"""`nest grade`: judges the answers to one lab.

Blame isolation: a task is judged with its own answer beside the references of all other tasks, so that
one bug costs one task. Where there are no references, as in a release, the tree's own files serve.
Once no stub is left, all of the tree's own files are booted together too, which is reported, not scored.
"""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path

import click

from grader import lab as labs_module
from grader import outcome
from grader.engine import Case, Engine, Settings, new_transcripts
from grader.errors import CannotRun, UsageError
from grader.kit import Answers, content, disk_trouble, own_answers, reference_answers
from grader.lab import ROOT, Lab, Task
from grader.outcome import Outcome
from grader.results import Results, Together, score_task
from grader.workshop import Progress, workshop

TOGETHER = "together"
REFERENCE = "reference"


@click.command(short_help="Judge the answers to a lab and show the score.")
@click.argument("lab")
@click.option("--reference", is_flag=True, help="Judge solutions-private/ in place of the tree's own files.")
@click.option("--task", metavar="TASK", help="Judge this task alone.")
@click.option("-k", "keyword", metavar="EXPR", default="", help="Only tests whose names match, as in pytest.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Repeat a run with the same nonces.")
@click.option("--json", "json_file", metavar="FILE", help="Write the result as JSON; - is standard output.")
@click.option("--junit", "junit_file", metavar="FILE", help="Write the result as JUnit XML; - likewise.")
def command(lab: str, reference: bool, task: str | None, keyword: str, seed: int | None,
            json_file: str | None, junit_file: str | None) -> int:
    """Judge the answers to LAB (its id, its name or its folder) and show the score.

    Ends with 0 if all automatic points are reached and 1 if points are missing.
    """
    if json_file == "-" and junit_file == "-":
        raise UsageError("only one of --json and --junit can go to standard output")
    results = grade(labs_module.find(lab), reference=reference, task=task, keyword=keyword, seed=seed)
    for target, how in ((json_file, "to_json"), (junit_file, "to_junit")):
        if target:
            from grader import results as forms

            write(target, getattr(forms, how)(results))
    from grader.report import show

    show(results, sys.stderr if "-" in (json_file, junit_file) else sys.stdout)
    return results.status


def write(target: str, text: str) -> None:
    """Writes a result where the user wants it."""
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"cannot write {target}: {error.strerror}") from error


def grade(lab: Lab, *, reference: bool = False, task: str | None = None, keyword: str = "",
          seed: int | None = None, progress: Progress | None = None) -> Results:
    """Judges one lab's answers."""
    started = time.monotonic()
    progress = progress or Progress()
    tasks = [lab.task(task)] if task else list(lab.tasks)
    seed = secrets.randbits(48) if seed is None else seed
    all_labs = labs_module.load_all()
    references = reference_answers(all_labs)
    own = own_answers(all_labs)
    if reference:
        if references is None:
            raise CannotRun("there are no reference answers in this tree: solutions-private/ lacks files"
                            "\n  mend: leave out --reference to judge the tree's own files")
        plan = {one.id: references for one in tasks}
    else:
        plan = {one.id: (references or own).replaced(one.file, own[one.file]) for one in tasks}
    cases = planned(tasks, plan)
    if not (reference or task or keyword) and references is not None and not unwritten(tasks, own):
        # Booted, since that is where they meet; a unit case is about one of them. What other labs ask
        # for is not asked here.
        mine = references
        for one in tasks:
            mine = mine.replaced(one.file, own[one.file])
        cases += [Case(test, mine, TOGETHER) for one in tasks for test in one.tests if test.kind == "boot"]
    with workshop(progress) as kit:
        try:
            transcripts = new_transcripts(ROOT, lab.id)
        except OSError as error:
            raise disk_trouble(error, ROOT / "build" / "transcripts") from error
        engine = Engine(lab, kit, Settings(seed, transcripts))
        if not keyword:
            engine.build(cases)
        found = judge(engine, cases, keyword, progress)
    elsewhere = "own" if references is None else "reference"
    flag = " --reference" if reference else ""
    judged = []
    for one in tasks:
        label = label_of(one)
        outcomes = {name: result for (where, name), result in found.items() if where == label}
        alone = f"./nest grade {lab.id}{flag} -k '{{}}' --seed {seed}"
        scored = score_task(one, outcomes, elsewhere=elsewhere, alone=alone)
        if scored:
            judged.append(scored)
    return Results(lab, REFERENCE if reference else "own", seed, engine.settings.machine,
                   sum(len(one.tests) for one in judged) < len(lab.tests), tuple(judged),
                   together(found), str(transcripts.relative_to(ROOT)), time.monotonic() - started)


def unwritten(tasks: list[Task], own: Answers) -> list[Task]:
    """The tasks whose stub still stands: a run of all files together would end there."""
    return [task for task in tasks
            if f'todo("{task.id}")' in (content(own[task.file]) or b"").decode("utf-8", "replace")]


def label_of(task: Task) -> str:
    """The name under which a task's tests run with the task's own answers."""
    return task.id.partition(".")[2]


def planned(tasks: list[Task], answers: dict[str, Answers]) -> list[Case]:
    """The cases that judge each task with its set of answers."""
    return [Case(test, answers[task.id], label_of(task)) for task in tasks for test in task.tests]


def judge(engine: Engine, cases: list[Case], keyword: str,
          progress: Progress) -> dict[tuple[str, str], Outcome]:
    """Runs the cases; outcomes by label and test name."""
    from grader.plugin import Session

    done = 0

    def seen(case: Case, result: Outcome) -> None:
        nonlocal done
        done += 1
        progress(f"judging [{done}/{session.selected}] {case.test.name}")

    session = Session(engine, cases, seen, keyword)
    progress("judging")
    session.run()
    if not session.selected:
        raise UsageError(f"no test matches -k '{keyword}'; the tests are:\n  "
                         + "\n  ".join(dict.fromkeys(case.test.name for case in cases)))
    return session.results


def together(found: dict[tuple[str, str], Outcome]) -> Together | None:
    """What came of the student's own files all together."""
    mine = {name: result for (label, name), result in found.items() if label == TOGETHER}
    if not mine:
        return None
    failed = tuple((name, _in_a_line(result)) for name, result in mine.items() if not result.passed)
    return Together(len(mine) - len(failed), len(mine), failed)


def _in_a_line(result: Outcome) -> str:
    """Why a test failed; where nothing was built, what the tool said first."""
    lines = result.detail.split("\n")
    return " ".join(line.strip() for line in lines[:3 if result.kind == outcome.NOT_BUILT else 1]) or result.kind
