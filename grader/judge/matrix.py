# SPDX-License-Identifier: MIT
"""Proves that a lab's tests tell right answers from wrong ones.

The answers are those of solutions-private/: the references; mutants/LAB/NAME/FILE, wrong answers
that a student would write; variants/LAB/NAME/FILE, right ones that are built differently. The
tree's own files are the skeleton. Each cell of the matrix is a task's points under one answer:

- the skeleton gets 0 in every task, whose state is "not written"; the references get all;
- a mutant loses in its own task; the other tasks are judged without it, by construction of blame
  isolation, and shown as `.`. One whose name says `constant` or `nothing` keeps at most 5 %; its
  file SEEN says what the student is told, and how much it may cost (grader/judge/seen.py);
- a variant gets all in every task, alone, with each variant of each other task, and with one of
  every task; with `full`, together with every choice of the other tasks' variants. One that answers
  several tasks is judged as a student's files are, each beside the references, and together.

Of a mutant that is not constant the first failing case on the host is run alone, since its report
is looked at; that others fail is believed (grader/judge/together.py). Explored cases and boots
follow where it is still open whether the mutant's cell is right; with several variants, explored
cases of their own tasks. A row that is not right, and of which failures were believed, is judged
once more, and nothing is believed. Nor is it with `full`.

The skeleton and the references are judged on every machine of the lab, mutants and variants on
those that lab.json names in "mutants_on", choices of variants on the first of these, and constant
mutants on the first that boots all their tests, but for `full`. A cell is over all machines of its
row: a mutant is noticed if one of them notices it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from grader import CannotRun
from grader.build import unjudged
from grader.build.answers import Answers, own_answers, reference_answers
from grader.build.compiling import ASSEMBLY
from grader.build.kit import Kit
from grader.build.workshop import Progress
from grader.course import lab as labs_module
from grader.course.lab import ROOT, Lab, Task, Test
from grader.judge.engine import Case, Engine, Settings, cases_of, new_transcripts, why_not
from grader.judge.judging import ALL, judge, outcomes
from grader.judge.outcome import NOT_WRITTEN, Outcome
from grader.judge.results import TaskResult
from grader.judge.scoring import score_task
from grader.judge.seen import FILE, OTHER, Seen, first_failing, read, told
from grader.judge.together import BESIDE_OTHERS

CONSTANT_WORDS = ("constant", "nothing")
CONSTANT_SHARE = 0.05
MOST_CROSSES = 64
ENOUGH_TO_PRECOMPILE = 4
"""Of so many mutants of one file, the headers are compiled once."""


@dataclass
class Row:
    """One set of answers and the tasks that are judged with it."""

    name: str
    kind: str
    """skeleton, reference, mutant or variant"""
    answers: dict[str, Answers]
    """by task id"""
    cells: dict[str, TaskResult] = field(default_factory=dict)
    on: tuple[str, ...] = ()
    """the machines"""
    crossed: bool = False
    """variants of several tasks, each of which has a row of its own"""
    full: bool = True
    """all its tests are judged; else only up to one that fails, which is enough to tell that it is
    wrong"""
    seen: Seen | None = None
    """what a mutant's file SEEN says"""
    all_on_host: bool = False
    """where not all tests are judged: all those on the host are, and the booted ones only if those
    pass"""
    one_report: bool = False
    """of the cases that fail on the host, one report is enough"""
    varied: frozenset[str] = frozenset()
    """of a choice of variants, of which not all tests are judged: their tasks' files"""
    cases: list[Case] = field(default_factory=list)
    """of all its tests that can run on these machines"""

    @property
    def is_constant(self) -> bool:
        """A mutant that always gives the same answer, of which too little must be left."""
        return self.kind == "mutant" and any(word in self.name for word in CONSTANT_WORDS)

    def wrong(self, task: Task) -> str:
        """What is wrong with the task's cell; empty if it is right or was not asked for."""
        cell = self.cells.get(task.id)
        if cell is None:
            return ""
        if not all(test.judged for test in cell.tests):
            return "this system could not judge it"
        passes = all(test.passed for test in cell.tests)  # tests may have no points, those of a whole lab too
        if self.kind == "skeleton":
            if cell.score:
                return "a stub gets points"
            if passes:
                return "a stub passes all tests"
            return "" if cell.state == NOT_WRITTEN else f"a stub should be '{NOT_WRITTEN}', not '{cell.state}'"
        if self.kind != "mutant":
            if cell.score != cell.max_score:
                return "a right answer loses points"
            return "" if passes else "a right answer fails a test"
        if passes:
            return "no test notices the mutant"
        if cell.state not in ("graded", NOT_WRITTEN):
            return f"the mutant {cell.state}, which proves nothing"
        if self.is_constant and cell.score > CONSTANT_SHARE * cell.max_score:
            return f"an answer that is always the same keeps more than {CONSTANT_SHARE:.0%}"
        if self.seen is None:
            return ""
        return self.unsaid(task) or self.seen.out_of_proportion(
            self.lost(task), self.points(task), whole=self.is_whole(task))

    def unsaid(self, task: Task) -> str:
        """What is wrong with the words of the mutant's first failing test; empty if nothing."""
        first = first_failing(self.cells[task.id])
        if self.seen is None or first is None or self.seen.stands_in(told(first)):
            return ""
        return f"{first.test.name} does not say '{' | '.join(self.seen.phrases)}'"

    def is_whole(self, task: Task) -> bool:
        """Whether every test of the task was judged that can run on these machines."""
        return len(self.cells[task.id].tests) == len(self.asked(task))

    def asked(self, task: Task) -> tuple[Test, ...]:
        """All tests of the task that can run on these machines."""
        return tuple(dict.fromkeys(case.test for case in self.cases if case.test.task == task.id))

    def points(self, task: Task) -> float:
        """The points of the task's tests that can run on these machines."""
        return sum(test.points for test in self.asked(task))

    @property
    def believes(self) -> bool:
        """Whether a case counts as failed that has not run alone. What has run alone is not given a
        second chance."""
        return any(test.outcome.detail == BESIDE_OTHERS for cell in self.cells.values() for test in cell.tests)

    def is_open(self, task: Task) -> bool:
        """Whether tests that were not judged yet decide if a mutant's cell is right."""
        cell = self.cells.get(task.id)
        first = None if cell is None else first_failing(cell)
        if cell is None or first is None:
            return True
        if not self.all_on_host:
            return False
        judged = {test.test for test in cell.tests}
        tests = self.asked(task)
        on_host = [test for test in tests if test not in judged and test.kind != "boot"]
        if any(tests.index(test) < tests.index(first.test) for test in on_host):
            return True  # what a student is told first
        return self.seen is not None and self.seen.is_open(
            self.lost(task), self.points(task), sum(test.points for test in on_host),
            whole=not any(test.kind == "boot" for test in tests))

    def lost(self, task: Task) -> float:
        """The points that the task has lost by the tests that were judged."""
        return self.cells[task.id].max_score - self.cells[task.id].score

    def share(self, task: Task) -> str:
        """What is left of the points, in words."""
        if not self.points(task):
            return "passes" if all(test.passed for test in self.cells[task.id].tests) else "fails"
        kept = f"{self.points(task) - self.lost(task):g}/{self.points(task):g}"
        return kept if self.is_whole(task) else f"<= {kept}" if self.all_on_host else "noticed"


def verify(lab: Lab, kit: Kit, seed: int, progress: Progress, keyword: str = "", machine: str = ALL, *,
           full: bool = False, all_on_host: bool = False,
           chosen: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    """Judges all rows of one lab; mutants up to the first test that notices them, or, with `full`,
    wholly, each test alone. Of a mutant whose share of points is checked, and with `all_on_host` of
    each, all tests on the host are judged."""
    rows = [row for row in plan(lab, full=full) if keyword in row.name and chosen(row)]
    engine = Engine(lab, kit, Settings(seed, new_transcripts(ROOT, f"{lab.id}-verify"), replay=False))
    for row in rows:
        row.on = tuple(one for one in row.on if machine in (one, ALL))
        if row.is_constant and not full:
            row.on = _one_that_boots_all(lab, row)
        row.full = full or row.kind != "mutant" or row.is_constant
        row.all_on_host = all_on_host or (row.seen is not None and row.seen.kind != OTHER)
        row.one_report = not full and row.kind == "mutant" and not row.is_constant
        if full:
            row.varied = frozenset()
        row.cases = cases_of_row(lab, row)

    def look(several: list[Row], which: Callable[[Row, Case], bool] = lambda row, case: True) -> None:
        cases = [case for row in several for case in row.cases if which(row, case)]
        if not cases:
            return
        mutants = [case for row in several if row.kind == "mutant" for case in row.cases if which(row, case)]
        with _headers_first(lab, kit, mutants):
            engine.build(cases)
            found: dict[str, dict[tuple[str, str, str], Outcome]] = {}
            for key, one in judge(engine, cases, "", progress).items():
                found.setdefault(key[0], {})[key] = one
        for row in several:
            by_test = outcomes(found.get(row.name, {}), row.name, row.on)
            for task in lab.tasks:
                cell = score_task(task, by_test, elsewhere="reference", alone="")
                if cell is not None:  # else its tests are for machines that were not asked for
                    row.cells[task.id] = cell

    look(rows, lambda row, case: row.full or all_on_host or case.test.kind == "unit")
    look([row for row in rows if not row.full and any(row.is_open(task) for task in lab.tasks if task.id in row.answers)])
    doubtful = [row for row in rows if row.believes and any(map(row.wrong, lab.tasks))]
    for row in doubtful:
        row.one_report = False
        row.cases = cases_of_row(lab, row)
    look(doubtful)
    return rows


def cases_of_row(lab: Lab, row: Row) -> list[Case]:
    """The cases that judge a row. Of several variants, explored cases of their own tasks are
    enough."""
    cases = []
    for task in lab.tasks:
        if task.id not in row.answers:
            continue
        beside = bool(row.varied) and task.file not in row.varied
        cases += [case for case in cases_of(
            task, row.answers[task.id], row.name, row.on, first_only=not row.full, all_on_host=row.all_on_host,
            one_report=row.one_report)
            if not (beside and row.crossed and case.test.kind in ("explore", "race"))]
    return cases


def _one_that_boots_all(lab: Lab, row: Row) -> tuple[str, ...]:
    """The first of a row's machines on which all tests of its tasks can run: what loses nearly all
    points there need not hang on others. All of its machines, if there is none."""
    tasks = [task for task in lab.tasks if task.id in row.answers]
    able = [one for one in row.on if not any(why_not(task, test, one) for task in tasks for test in task.tests)]
    return tuple(able[:1]) or row.on


@contextmanager
def _headers_first(lab: Lab, kit: Kit, of_mutants: list[Case]) -> Iterator[None]:
    """While it is entered, what mutants of one file include is compiled once for all of them."""
    mutants = {(case.test.task, case.answers, case.test.kind) for case in of_mutants}
    count = Counter((task, kind) for task, _, kind in mutants)
    with tempfile.TemporaryDirectory(prefix="headers-", dir=kit.cache.folder.parent) as folder:
        jobs = []
        for task in lab.tasks:
            if task.file.endswith(ASSEMBLY):
                continue
            text = (kit.root / "solutions-private" / task.file).read_text(encoding="utf-8")
            includes = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#include"))
            for kind, flavour in (("unit", "asan"), ("explore", "tsan")):
                if count[task.id, kind] >= ENOUGH_TO_PRECOMPILE:
                    jobs.append(kit.schedule.submit(
                        partial(unjudged.precompile, kit, task.file, flavour, includes, Path(folder))))
        try:
            for job in jobs:
                job.result()
            yield
        finally:
            kit.headers.clear()


def plan(lab: Lab, root: Path = ROOT, *, full: bool = False) -> list[Row]:
    """The rows of a lab's matrix; with `full`, every choice of variants."""
    labs = labs_module.load_all(root)
    references = reference_answers(labs, root)
    if references is None:
        raise CannotRun("there are no reference answers in this tree, so there is nothing to compare with")
    own = own_answers(labs, root)
    rows = [
        Row("skeleton", "skeleton", {task.id: references.replaced(task.file, own[task.file]) for task in lab.tasks},
            on=lab.machines),
        Row("reference", "reference", {task.id: references for task in lab.tasks}, on=lab.machines)]
    for name, paths in _alternatives(lab, root, "mutants", most=1):
        rows.append(Row(name, "mutant", {task.id: references.replaced(task.file, path)
                                         for task, path in paths.items()}, on=lab.mutants_on,
                        seen=read(root / "solutions-private/mutants" / lab.id / name.removeprefix("mutant "))))
    by_task: dict[str, list[tuple[str, Path]]] = {task.file: [] for task in lab.tasks}
    for name, paths in _alternatives(lab, root, "variants", most=len(lab.tasks)):
        if len(paths) == 1:
            for task, path in paths.items():
                by_task[task.file].append((name, path))
            continue
        together = references
        for task, path in paths.items():
            together = together.replaced(task.file, path)
        rows.append(Row(name, "variant", {task.id: references.replaced(task.file, path)
                                          for task, path in paths.items()}, on=lab.mutants_on))
        rows.append(Row(f"{name}, together", "variant", {task.id: together for task in lab.tasks}, on=lab.mutants_on))
    files = [file for file in by_task if by_task[file]]
    choices = itertools.product(*([None, *by_task[file]] for file in files))
    crossed = (one for one in choices if any(one) and (full or sum(map(bool, one)) in (1, 2, len(files))))
    for choice in itertools.islice(crossed, MOST_CROSSES):
        answers = references
        names = []
        for file, chosen in zip(files, choice):
            if chosen:
                answers = answers.replaced(file, chosen[1])
                names.append(chosen[0])
        on = lab.mutants_on if len(names) == 1 else lab.mutants_on[:1]
        rows.append(Row(" + ".join(names), "variant", {task.id: answers for task in lab.tasks}, on=on,
                        crossed=len(names) > 1, varied=frozenset(file for file, chosen in zip(files, choice) if chosen)))
    return rows


def _alternatives(lab: Lab, root: Path, kind: str, most: int) -> list[tuple[str, dict[Task, Path]]]:
    """The mutants or variants: the name, and by task the file; `most` tasks each."""
    found = []
    folder = root / "solutions-private" / kind / lab.id
    for place in sorted(path for path in folder.glob("*") if path.is_dir()):
        files = [path for path in sorted(place.rglob("*")) if path.is_file() and path.name not in ("WHY", FILE)]
        paths = {task: place / task.file for task in lab.tasks if (place / task.file) in files}
        if not 0 < len(paths) == len(files) <= most:
            what = "one file, at the path of a task" if most == 1 else "files at the paths of tasks, and no others,"
            raise CannotRun(f"{place.relative_to(root)} should hold {what} of {lab.id}")
        found.append((f"{kind[:-1]} {place.name}", paths))
    return found


def faults(lab: Lab, rows: list[Row]) -> list[str]:
    """A line or more for each wrong cell."""
    return [f"{row.name}, {task.id}: {row.wrong(task)}" + (
                f"\n{_told(row, task)}" if row.unsaid(task) else _lost(row.cells[task.id], row.kind))
            for row in rows for task in lab.tasks if row.wrong(task)]


def _told(row: Row, task: Task) -> str:
    """What a student with this mutant's mistake is told first."""
    first = first_failing(row.cells[task.id])
    return "" if first is None else f"    {first.test.name}\n" + "\n".join(
        f"    {line}" for line in told(first).splitlines())


def show_seen(lab: Lab, rows: list[Row]) -> None:
    """Prints of each mutant the points that it keeps and what the student is told first."""
    for row in rows:
        for task in lab.tasks:
            if row.kind == "mutant" and task.id in row.cells:
                says = f"{row.seen.kind}: {' | '.join(row.seen.phrases)}" if row.seen else "none"
                print(f"{row.name}, {task.id}: keeps {row.share(task)}; SEEN: {says}\n{_told(row, task)}\n")


def _lost(cell: TaskResult, kind: str) -> str:
    """Where points were lost or won that should not have been, with the first line of why."""
    out = ""
    for test in cell.tests:
        if not test.judged or (kind in ("reference", "variant") and not test.passed):
            lines = [line for line in test.detail.splitlines() if line.strip()]
            there = f" on {test.outcome.machine}" * bool(test.outcome.machine)
            out += f"\n    {test.test.name}: {test.kind}{there}: {' / '.join(lines[:3])}"
        if kind in ("skeleton", "mutant") and test.passed:
            out += f"\n    {test.test.name} passes"
    return out


def show(lab: Lab, rows: list[Row]) -> None:
    """Prints the matrix, and what is wrong in it."""
    heads = [task.id.partition(".")[2] for task in lab.tasks]
    width = max((len(row.name) for row in rows), default=0)
    print(f"{lab.id} {lab.title}")
    print(f"{'':<{width}}  " + "  ".join(f"{head:>12}" for head in heads) + "  noticed by")
    for row in rows:
        cells = []
        for task in lab.tasks:
            cell = row.cells.get(task.id)
            text = "."
            if cell is not None:
                text = row.share(task)
            cells.append(f"{text + ('!' if row.wrong(task) else ''):>12}")
        noticed = ""
        if row.kind == "mutant":
            names = [test.test.local for cell in row.cells.values() for test in cell.tests if not test.passed]
            noticed = (f"{row.seen.kind}: " if row.seen else "") + ", ".join(names[:2])
            noticed += f" and {len(names) - 2} more" * (len(names) > 2)
        print(f"{row.name:<{width}}  {'  '.join(cells)}  {noticed}".rstrip())
    for fault in faults(lab, rows):
        print(f"wrong: {fault}")


def as_dict(row: Row, lab: Lab) -> dict[str, object]:
    """A row as JSON has it."""
    return {"name": row.name, "kind": row.kind, "machines": list(row.on), "full": row.full, "cells": {
        task.id: {"score": row.cells[task.id].score, "max_score": row.cells[task.id].max_score,
                  "points": row.points(task), "whole": row.is_whole(task), "wrong": row.wrong(task),
                  "failed": [test.test.name for test in row.cells[task.id].tests if not test.passed]}
        for task in lab.tasks if task.id in row.cells}}
