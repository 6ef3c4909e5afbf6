# SPDX-License-Identifier: MIT
"""The lines and branches of a lab's references that no test on the host reaches, by gcov."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun
from grader.build.answers import reference_answers
from grader.build import unjudged
from grader.build.compiling import ASSEMBLY
from grader.build.kit import Kit
from grader.confine import host_program
from grader.course import lab as labs_module
from grader.course.lab import Lab, Task
from grader.judge.engine import FLAVOURS
from grader.mutate.survivors import Listed

RUN_SECONDS = 600


@dataclass(frozen=True)
class Unreached:
    """A line of a reference, or branches of it, that nothing reaches."""

    file: str
    number: int
    line: str
    what: str


def unreached(lab: Lab, kit: Kit, seed: int) -> Iterator[Unreached]:
    """Everything of the lab's references in C++ that neither a unit nor a race case reaches."""
    references = reference_answers(labs_module.load_all(kit.root), kit.root)
    if references is None:
        raise CannotRun("there are no reference answers in this tree, so there is nothing to cover")
    for task in lab.tasks:
        if task.file.endswith(ASSEMBLY):
            continue
        lines: dict[int, list[list[int]]] = {}
        for kind, flavour in FLAVOURS.items():
            cases = [test.local for test in task.tests if test.kind == kind]
            if cases:
                folder = kit.root / "build" / "mutate" / "coverage" / f"{task.id}.{flavour}"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                _run(unjudged.counting(kit, lab, references, task.file, flavour, folder), cases, seed)
                _add(lines, _counts(folder, references[task.file].name))
        yield from _gaps(task, lines, references[task.file].read_text(encoding="utf-8").splitlines())


def faults(lab: Lab, found: list[Unreached], listed: Listed) -> Iterator[str]:
    """What is not reached and not explained, and what is explained and reached."""
    for one in found:
        if (one.file, one.line) not in listed.unreached:
            yield f"solutions-private/{one.file}:{one.number}: {one.what}\n    {one.line}"
    seen = {(one.file, one.line) for one in found}
    for file, line in listed.unreached:
        if (file, line) not in seen:
            yield f"{listed.path.name}: is reached, or is no line: {file}: {line}"


def _run(program: Path, cases: list[str], seed: int) -> None:
    # Our own tests with our own answers: outside the sandbox, since the counts are written beside
    # the object.
    done = subprocess.run([*host_program.without_randomization(), str(program), f"--gtest_filter={':'.join(cases)}"],
                          env={**os.environ, **host_program.SANITIZERS, "NEST_SEED": str(seed)}, capture_output=True, text=True,
                          errors="replace", timeout=RUN_SECONDS, check=False)
    if done.returncode != 0:
        raise CannotRun(f"{program}: the reference fails:\n{(done.stdout + done.stderr)[-2000:]}")


def _counts(folder: Path, name: str) -> dict[int, list[list[int]]]:
    """By line: how often it, and then each of its branches, was reached; once for each instance of
    a template."""
    done = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", "answer.gcda"], cwd=folder,
                          capture_output=True, text=True, check=False)
    lines: dict[int, list[list[int]]] = {}
    if done.returncode != 0 or not done.stdout:
        raise CannotRun(f"gcov says nothing of {folder}/answer.gcda: {done.stderr}")
    for file in json.loads(done.stdout)["files"]:
        for line in file["lines"] if Path(file["file"]).name == name else []:
            counts = [line["count"], *(branch["count"] for branch in line.get("branches", []))]
            lines.setdefault(line["line_number"], []).append(counts)
    return lines


def _add(to: dict[int, list[list[int]]], more: dict[int, list[list[int]]]) -> None:
    for number, instances in more.items():
        to.setdefault(number, []).extend(instances)


def _gaps(task: Task, lines: dict[int, list[list[int]]], text: list[str]) -> Iterator[Unreached]:
    for number, instances in sorted(lines.items()):
        # Instances of a template, and programs, of the same shape are added up; of another shape,
        # looked at alone.
        shapes: dict[int, list[int]] = {}
        for counts in instances:
            before = shapes.get(len(counts), [0] * len(counts))
            shapes[len(counts)] = [one + two for one, two in zip(before, counts)]
        line = " ".join(text[number - 1].split())
        if not any(counts[0] for counts in shapes.values()):
            yield Unreached(task.file, number, line, "no test reaches this line")
            continue
        missing = max((sum(not count for count in counts[1:]) for counts in shapes.values() if counts[0]), default=0)
        total = max(len(counts) - 1 for counts in shapes.values())
        if missing:
            yield Unreached(task.file, number, line, f"no test takes {missing} of the {total} branches of this line")
