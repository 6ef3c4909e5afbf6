# SPDX-License-Identifier: MIT
"""Shows a result to a person: with colours and a table on a terminal, plain in a pipe."""

from __future__ import annotations

import re
from typing import IO, Iterator

from grader.course.lab import Test
from grader.course.questions import MISSING, NO_NUMBER, PENDING
from grader.judge import outcome
from grader.judge.engine import why_not
from grader.judge.outcome import shortened
from grader.judge.failures import failure_text
from grader.judge.results import MachineResult, Results, TaskResult, TestResult

MANY = 12
"""More different failures than this of one task are only named: the first ones are where to
begin."""

NUMBER = re.compile(r"0x[0-9a-f]+")
"""What differs between two crashes in one line."""

PANIC = re.compile(r"^panic on CPU.*", re.MULTILINE)
"""Tests that share a boot share its end."""


def show(results: Results, out: IO[str]) -> None:
    """Prints failures, then the score table, then one line."""
    if out.isatty():
        _rich(results, out)
    else:
        for line in plain(results):
            print(line, file=out)


def plain(results: Results) -> Iterator[str]:
    """The result in lines of plain text."""
    for task in results.tasks:
        for title, text in failures(results, task):
            yield title
            yield from text.splitlines()
            yield ""
    rows = table(results)
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        middle = "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:-1], widths[1:-1]))
        yield f"{row[0]:<{widths[0]}}  {middle}  {row[-1]}".rstrip()
    yield from closing(results)


def failures(results: Results, task: TaskResult) -> Iterator[tuple[str, str]]:
    """A title and a text for each failure that is worth its room. A challenge that nobody has taken
    up is none."""
    if task.state == "not written" and results.lab.is_challenge(task.task) and len(results.tasks) > 1:
        return
    if task.state not in ("graded", "not written"):
        where = "" if task.state == "does not link" else f" {task.task.file}"
        lines = task.note.splitlines()[1:]
        if task.state == "does not link":
            lines.insert(0, f"is the function in {task.task.file}, with the namespace, the name and the arguments of its "
                            f"declaration in {task.task.header}?")
        yield f"TASK {task.task.id}{where} {task.state}{_lost(task)}", "\n".join(f"  {line}" for line in lines)
        return
    if task.state == "not written":
        yield f"TASK {task.note}{_lost(task)}", (
            f"  contract {task.task.header}\n"
            f"  read     labs/{results.lab.folder.name}/handout.md#{task.task.handout.lstrip('#')}")
        return
    alike: dict[tuple[str, ...], list[TestResult]] = {}
    for one in task.tests:
        if not one.passed:
            alike.setdefault(_cause(one), []).append(one)
    groups = list(alike.values())
    for first, *others in groups[:MANY]:
        text = failure_text(results, first)
        if not first.outcome.stub:
            for i, one in enumerate(others):
                text += f"\n  {'' if i else 'likewise':<9}{one.test.name}"
        yield f"{_word(first)} {first.test.name}", text
    if rest := [f"  {one.test.name}" for group in groups[MANY:] for one in group]:
        yield f"... and {len(rest)} more of {task.task.id}:", "\n".join(rest)


def _cause(one: TestResult) -> tuple[str, ...]:
    """The same for failures that look alike: of those, one is shown and the others are named."""
    panic = PANIC.search(one.detail)
    cause = one.outcome.stub or NUMBER.sub("", panic[0] if panic else one.detail)
    return one.kind, cause, str(one.outcome.unstable)


def _word(one: TestResult) -> str:
    return {outcome.FAILED: "FAILED", outcome.CRASHED: "CRASHED", outcome.TIMEOUT: "TIMED OUT",
            outcome.BLOCKED: "BLOCKED", outcome.NOT_WRITTEN: "NOT WRITTEN"}.get(one.kind, one.kind.upper())


def table(results: Results) -> list[tuple[str, ...]]:
    """The score table: a head, a row for each task and question, the sum. Where there are several
    machines, each has a column of its own."""
    several = results.machines if len(results.machines) > 1 else ()
    rows: list[tuple[str, ...]] = [("task", "points", *(here.machine for here in several), "tests", "")]
    for task in results.tasks:
        passed = sum(one.passed for one in task.tests)
        unstable = sum(one.outcome.unstable for one in task.tests)
        remark = "" if task.state == "graded" else task.state
        if any(one.kind == outcome.BLOCKED for one in task.tests):
            blockers = sorted({one.outcome.stub.split()[0] for one in task.tests
                               if one.kind == outcome.BLOCKED})
            remark = f"blocked by {', '.join(blockers)}"
        if task.not_judged:
            remark = f"{remark} {task.not_judged:g} not judged".strip()
        if unstable:
            remark = (remark + f" {unstable} unstable").strip()
        if not task.counts:
            remark = f"{task.task.vendor}: apart{'; ' * bool(remark)}{remark}"
        rows.append((f"{task.task.id}  {task.task.title}", _share(task.score, task.max_score),
                     *(_there(here, task) for here in several), f"{passed}/{len(task.tests)}", remark))
    for one in results.questions:
        points = f"{one.score:g}" if one.state != PENDING else "?"
        rows.append((f"{results.lab.id}.{one.question.id}  {shortened(one.question.title, 1, 56)}",
                     f"{points}/{one.question.points}", *("" for _ in several), "",
                     one.state + (f": {one.note}" if one.note and one.state != NO_NUMBER else "")))
    tests = [test for task in results.tasks if task.counts for test in task.tests]
    rows.append(("all", _share(results.score, results.max_score),
                 *(_share(here.score, here.max_score) if here.max_score or not results.lab.points else "apart" for here in several),
                 f"{sum(one.passed for one in tests)}/{len(tests)}",
                 ", ".join([f"{results.pending} pending"] * bool(results.pending)
                           + [f"{results.not_judged:g} not judged"] * bool(results.not_judged))))
    return rows


def _there(here: MachineResult, task: TaskResult) -> str:
    found = next((one for one in here.tasks if one.task == task.task), None)
    return _share(found.score, found.max_score) if found else "-"


def _share(score: float, max_score: float) -> str:
    return f"{score:g}/{max_score:g}" if max_score else "-"


def _lost(task: TaskResult) -> str:
    return f" (0 of {task.max_score:g} points)" if task.max_score else ""


def closing(results: Results) -> Iterator[str]:
    """What is said under the table."""
    if results.together is not None:
        both = results.together
        yield f"all your files together (not scored): {both.passed} of {both.total} booted tests pass"
        alike: dict[str, list[str]] = {}
        for name, why in both.failed:
            alike.setdefault(why, []).append(name)
        for why, (name, *others) in list(alike.items())[:5]:
            yield f"  only together: {name}{f' and {len(others)} more' if others else ''}: {why}"
    yield from _left_out(results)
    yield from (f"note: {note}" for note in results.notes)
    yield from (f"let pass by --let-pass: {line}" for text in results.let_passed for line in text.splitlines())
    for here in results.machines:
        if here.machine not in results.lab.machines:
            yield (f"{here.machine} is not one of {results.lab.id}'s machines ({', '.join(results.lab.machines)}): "
                   "what fails there may be its fault, not yours")
    if results.partial:
        yield f"only {len(results.tests)} of {len(results.lab.tests)} tests were selected"
    missing = [one.question.id for one in results.questions if one.state == MISSING]
    if missing and results.lab.questions:
        yield (f"no answer to {', '.join(missing)} in labs/{results.lab.folder.name}/{results.lab.questions.file}")
    yield from (f"no number for {one.question.id}: {one.note}" for one in results.questions if one.state == NO_NUMBER)
    if results.apart:
        score = sum(task.score for task in results.apart)
        yield (f"apart, for {results.apart[0].task.vendor}: {score:g} of "
               f"{sum(task.max_score for task in results.apart):g} points; {results.lab.counts} counts")
    whose = "the reference answers" if results.answers == "reference" else "your own files"
    pending = f", {results.pending} pending until graders have read the answers" if results.pending else ""
    if results.not_judged:
        pending += (f", {results.max_score - results.not_judged:g} of {results.max_score:g} points judged: what is "
                    "missing is this system's fault, and costs nothing")
    yield (f"{results.lab.id} {results.lab.title}: {results.reached} for {whose}"
           f"{pending}, {', '.join(here.machine for here in results.machines)}, seed {results.seed}, "
           f"{results.seconds:.1f} s")
    if not results.complete or (results.together and results.together.failed):
        yield f"transcripts: {results.transcripts}"


def _left_out(results: Results) -> Iterator[str]:
    """What could not run, by machine and reason."""
    for here in results.machines:
        by_reason: dict[str, list[Test]] = {}
        for one in here.left_out:
            if one in results.left_out or not results.lab.task(one.test.task).vendor:  # else it is another's row
                by_reason.setdefault(one.why, []).append(one.test)
        for why, tests in by_reason.items():
            points = sum(test.points for test in tests)
            others = [name for name in results.lab.machines if name != here.machine
                      and not any(why_not(results.lab.task(test.task), test, name) for test in tests)]
            mend = f"; ./nest grade {results.lab.id} --machine {others[0]} runs them" if others and not any(
                other.machine in others for other in results.machines) else ""
            yield (f"left out on {here.machine}: {len(tests)} test{'s' * (len(tests) != 1)}, "
                   f"{points:g} point{'s' * (points != 1)}, {why}{mend}")


def _rich(results: Results, out: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out, highlight=False)
    for task in results.tasks:
        for title, text in failures(results, task):
            console.print(Text(title, style="bold red"))
            for line in text.splitlines():
                label, rest = line[:11], line[11:]
                known = label.startswith("  ") and label.strip() and not label.startswith("   ")
                console.print(Text(label, style="cyan" if known else "") + Text(rest), soft_wrap=True)
            console.print()
    styles = ["green" if all(test.passed for test in task.tests) else "red" for task in results.tasks]
    styles += ["yellow" if one.state == PENDING else "" for one in results.questions]
    head, *rows, total = table(results)
    least = [max(map(len, " ".join(column).split()), default=0) for column in zip(head, *rows, total)]
    if sum(least) + 2 * (len(least) - 1) > console.width:  # a cell's words would be broken
        for row, style in zip([*rows, total], [*styles, ""]):
            console.print(Text(row[0], style=style), soft_wrap=True)
            console.print(Text("  " + ", ".join(f"{name} {cell}".strip() for name, cell in zip(head[1:], row[1:]) if cell)),
                          soft_wrap=True)
    else:
        shown = Table(box=None, pad_edge=False, show_footer=True)
        for i, (name, foot) in enumerate(zip(head, total)):
            shown.add_column(name, foot, min_width=least[i], justify="right" if 0 < i < len(head) - 1 else "left")
        for row, style in zip(rows, styles):
            shown.add_row(*(Text(cell) for cell in row), style=style)
        console.print(shown)
    for line in closing(results):
        console.print(Text(line))
