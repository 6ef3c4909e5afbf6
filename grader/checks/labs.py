# SPDX-License-Identifier: MIT
"""What a lab.json promises is there, and nothing is there that it does not know.

- Every task's file stands in the tree and, where there are solutions, in ``solutions-private`` at
  the same path; its header is there; its handout and its tests' ``read`` are anchors of the
  handout.
- Every named test exists, and every test that exists is named: a typed one (``TYPED_TEST``) for
  each of its suite's types, as ``unit:Suite/Type.Case``.
- Where there are solutions, each question for a number has its right one in ``solutions-private``.
- Points add up (grader/course/lab.py sees to that when it reads the file).
- Every mutant says in a file ``SEEN`` what a student with its mistake is told
  (grader/judge/seen.py).
- ``solutions-private`` holds those files, answers to a lab's questions, ``mutants/``,
  ``variants/``, ``survivors/`` and ``hidden/``, and nothing else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from grader import CannotRun, LabError
from grader.checks import PRIVATE, Finding
from grader.course import questions
from grader.course.lab import NUMBER, Lab, Task, hidden_folder, load, positions

KINDS = {"_explore_test.cc": "explore", "_race_test.cc": "race"}
"""Of a unit folder's files by the ends of their names; all others hold unit tests."""
EXTRA_FOLDERS = ("mutants", "variants", "survivors", "hidden")

_CASE = re.compile(r"^[ \t]*(TEST\w*|TYPED_TEST\w*)\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.MULTILINE)
_TYPED = re.compile(r"^((?:unit|explore|race):\w+)/(\w+)\.")
_ANCHOR = re.compile(r"\{#([\w-]+)\}|\\(?:anchor|page|section|subsection)\s+([\w-]+)")
_FAULT = re.compile(r"^(?P<path>.*?):(?P<line>\d+)(?::\d+)?: (?P<text>.*)$")


def check(root: Path) -> Iterator[Finding]:
    """Everything that a lab promises and that is not so."""
    labs = []
    for path in sorted((root / "labs").glob("*/lab.json")):
        try:
            labs.append(load(path.parent))
        except LabError as problem:
            yield from _faults(root, path, str(problem))
    for lab in labs:
        yield from _check_lab(root, lab)
    yield from _strangers(root, labs)
    yield from _unseen(root)


def unit_tests(folder: Path) -> Iterator[tuple[str, Path, int, str]]:
    """Name, file, line and macro of every GoogleTest case in a lab's ``unit`` folder."""
    for path in sorted((folder / "unit").glob("*.cc")):
        kind = next((kind for end, kind in KINDS.items() if path.name.endswith(end)), "unit")
        text = path.read_text(encoding="utf-8", errors="replace")
        for found in _CASE.finditer(text):
            line = text.count("\n", 0, found.start(1)) + 1
            yield f"{kind}:{found[2]}.{found[3]}", path, line, found[1]


def boot_tests(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Name, file and line of every test function in a lab's ``boot`` folder."""
    for path in sorted((folder / "boot").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"boot:{path.name}::{node.name}", path, node.lineno


def _check_lab(root: Path, lab: Lab) -> Iterator[Finding]:
    file = lab.folder / "lab.json"
    name = file.relative_to(root).as_posix()
    lines = positions(file.read_text(encoding="utf-8"))
    anchors = _anchors(lab.folder / "handout.md")
    existing: dict[str, tuple[Path, int]] = {}
    types = _types(lab)
    places = [lab.folder, hidden_folder(lab.id, root)]
    for test, path, line, macro in (one for place in places for one in _typed(unit_tests(place), types)):
        where = path.relative_to(root).as_posix()
        if macro not in ("TEST", "TEST_F", "TYPED_TEST"):
            yield Finding(where, line, f"{macro} makes cases that a lab.json cannot name")
        if test in existing:
            yield Finding(where, line, f"{test} appears twice")
        existing[test] = path, line
    try:
        existing |= {test: (path, line) for place in places for test, path, line in boot_tests(place)}
    except SyntaxError as problem:
        where = Path(problem.filename or lab.folder / "boot").name
        yield Finding(name, 1, f"boot/{where} is not Python: {problem.msg}")
    named: set[str] = set()
    for i, task in enumerate(lab.tasks):
        for finding in _check_task(root, task, anchors):
            yield Finding(name, lines[("tasks", i)], finding)
        public = [test for test in task.tests if not test.hidden]
        for test in task.tests:
            line = lines[("tasks", i, "tests", public.index(test))] if test in public else lines[("tasks", i)]
            named.add(test.name)
            if test.name not in existing:
                yield Finding(name, line, f"there is no test {test.name}{_meant(test.name, existing)}")
            if test.read.lstrip("#") not in anchors:
                yield Finding(name, line, f"handout.md has no anchor {test.read}")
    if lab.questions and (root / PRIVATE).is_dir() and any(one.kind == NUMBER for one in lab.questions.ask):
        try:
            if questions.right_numbers(lab, root) is None:
                yield Finding(name, lines[("questions",)], f"its right numbers are not in {PRIVATE}/labs/{lab.folder.name}/"
                                                           f"{lab.questions.file}")
        except CannotRun as problem:
            yield Finding(name, lines[("questions",)], str(problem).partition("\n")[0])
    for test in sorted(existing.keys() - named):
        path, line = existing[test]
        where = path.relative_to(root).as_posix()
        yield Finding(where, line, f"{test} belongs to no task of {name}")


def _types(lab: Lab) -> dict[str, list[str]]:
    """The types of each typed suite, as the lab.json names them: no source file says them in
    words."""
    types: dict[str, list[str]] = {}
    for test in lab.tests:
        if found := _TYPED.match(test.name):
            seen = types.setdefault(found[1], [])
            if found[2] not in seen:
                seen.append(found[2])
    return types


def _typed(
    tests: Iterator[tuple[str, Path, int, str]], types: dict[str, list[str]]
) -> Iterator[tuple[str, Path, int, str]]:
    """The same tests, a typed one once for each of its suite's types."""
    for test, path, line, macro in tests:
        suite, _, case = test.partition(".")
        for one in types.get(suite, []) if macro == "TYPED_TEST" else []:
            yield f"{suite}/{one}.{case}", path, line, macro
        if macro != "TYPED_TEST" or suite not in types:
            yield test, path, line, macro


def _check_task(root: Path, task: Task, anchors: set[str]) -> Iterator[str]:
    sides = [task.file, task.header]
    if (root / PRIVATE).is_dir():
        sides.append(f"{PRIVATE}/{task.file}")
    for path in sides:
        if not (root / path).is_file():
            yield f"{task.id}: there is no file {path}"
    if task.handout.lstrip("#") not in anchors:
        yield f"{task.id}: handout.md has no anchor {task.handout}"


def _strangers(root: Path, labs: list[Lab]) -> Iterator[Finding]:
    known = {task.file for lab in labs for task in lab.tasks}
    known |= {
        (lab.folder / lab.questions.file).relative_to(root).as_posix() for lab in labs if lab.questions
    }
    private = root / PRIVATE
    for path in sorted(private.rglob("*")):
        inner = path.relative_to(private)
        if path.is_dir() or inner.parts[0] in EXTRA_FOLDERS or inner.as_posix() in known:
            continue
        yield Finding(
            path.relative_to(root).as_posix(), 1,
            f"is no task's file; only those, {', '.join(f'{one}/' for one in EXTRA_FOLDERS[:-1])} and "
            f"{EXTRA_FOLDERS[-1]}/ belong in {PRIVATE}",
        )  # fmt: skip


def _unseen(root: Path) -> Iterator[Finding]:
    for path in sorted((root / PRIVATE / "mutants").glob("*/*/")):
        if not (path / "SEEN").is_file():
            yield Finding(path.relative_to(root).as_posix(), 1, "has no file SEEN: what is a student with this mistake told?")


def _anchors(handout: Path) -> set[str]:
    if not handout.is_file():
        return set()
    text = handout.read_text(encoding="utf-8", errors="replace")
    return {one for found in _ANCHOR.finditer(text) for one in found.groups() if one}


def _meant(name: str, existing: dict[str, tuple[Path, int]]) -> str:
    local = name.partition(":")[2]
    for other in existing:
        if other.partition(":")[2] == local:
            return f"; there is {other}"
    return ""


def _faults(root: Path, path: Path, text: str) -> Iterator[Finding]:
    for line in text.splitlines():
        found = _FAULT.match(line)
        yield Finding(
            path.relative_to(root).as_posix(),
            int(found["line"]) if found else 1,
            found["text"] if found else line,
        )
