# SPDX-License-Identifier: MIT
"""Labs as data: lab.json decoded, checked against its schema and against itself.

Errors name the file, the line and the key, since a person has to find them in a long file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator

from grader import LabError, UsageError
from grader.course import expectations
from grader.course.expectations import Expectations

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).resolve().parent / "schemas"
VENDORS = ("intel", "amd")
KERNEL = "nestling"
"""The kernel of a lab that names none: the hypervisor."""
WORDS, NUMBER = "words", "number"
"""The kinds of questions."""


@dataclass(frozen=True)
class Test:
    """One test of a task: a GoogleTest case or a function over a boot."""

    __test__ = False  # for pytest, which would take it for one of its own
    name: str
    task: str
    points: float
    """in eighths, which add up exactly"""
    negative: bool
    checks: str
    hint: str
    read: str
    cpus: int = 1
    """how many CPUs a boot test needs"""
    hidden: bool = False
    """staff's: no release has it, and students learn its name only"""
    expectations: Expectations | None = None
    """of a case on the host: what is evaluated under every answer that passes, if that is known"""

    @property
    def kind(self) -> str:
        """unit (AddressSanitizer program), explore (kern/arch/explore), race (ThreadSanitizer
        program) or boot."""
        return self.name.partition(":")[0]

    @property
    def local(self) -> str:
        """The name without its kind: `Suite.Case`, or `test_file.py::test_name`."""
        return self.name.partition(":")[2]

    @property
    def module(self) -> str:
        """The file of a boot test."""
        return self.local.partition("::")[0]


@dataclass(frozen=True)
class Task:
    """One function that the student writes, in one file."""

    id: str
    title: str
    file: str
    header: str
    points: int
    handout: str
    tests: tuple[Test, ...]
    vendor: str | None = None
    """whose CPUs it is for: `intel`, `amd`, or None for both"""
    privileged: tuple[str, ...] = ()
    """in assembly: the privileged instructions that the task is about, which the gate lets pass"""

    @property
    def first_positive(self) -> Test | None:
        """The test without which the negative ones do not count."""
        return next((test for test in self.tests if not test.negative), None)

    def bearer(self, test: Test) -> Test:
        """The test that bears this one's points: itself, or the last before it that has points."""
        upto = self.tests[:self.tests.index(test) + 1]
        return next((one for one in reversed(upto) if one.points), test)


@dataclass(frozen=True)
class Question:
    """One question. Its answer is words, which a person reads, or a number, which the grader
    compares."""

    id: str
    title: str
    points: int
    read: str
    kind: str = WORDS
    tolerance: int = 0
    """of a number: how far from the right one it may be"""


@dataclass(frozen=True)
class Questions:
    """A lab's questions, all answered in one file of its folder."""

    file: str
    ask: tuple[Question, ...]


@dataclass(frozen=True)
class Lab:
    """One lab, as its lab.json describes it."""

    id: str
    name: str
    title: str
    points: int
    builds_on: tuple[str, ...]
    machines: tuple[str, ...]
    """where its boot tests run"""
    kernel: str
    """the kernel that its boot tests, `nest run` and `nest debug` boot, by its name in the kit"""
    tasks: tuple[Task, ...]
    folder: Path
    counts: str | None = None
    """where tasks are for one vendor: whose tasks count"""
    questions: Questions | None = None
    mutants_on: tuple[str, ...] = ()
    """the machines on which `nest verify` judges mutants and variants"""
    draft: bool = False
    """it is being written: judged like every other, and in no release"""
    guest_plan: tuple[tuple[str, str], ...] = ()
    """keys of the guest's plan for `nest run` and `nest debug`"""
    guest_args: str = ""
    """the guest's command line there"""

    @property
    def usual_machine(self) -> str:
        """Where its boot tests run unless another machine is asked for: the first on which what
        counts can."""
        return next((one for one in self.machines if self.counts in (None, vendor_of(one))), self.machines[0])

    def counted(self, task: Task) -> bool:
        """Whether the task's points are the lab's, and not reported apart."""
        return task.vendor is None or task.vendor == self.counts

    def is_challenge(self, task: Task) -> bool:
        """Whether the task is for who wants to: it has no points, and the lab has some."""
        return self.points > 0 and task.points == 0

    @cached_property
    def tests(self) -> tuple[Test, ...]:
        """All tests of all tasks, in the order of the file."""
        return tuple(test for task in self.tasks for test in task.tests)

    def task(self, name: str) -> Task:
        """The task with this id, or with this last part of its id."""
        for task in self.tasks:
            if name in (task.id, task.id.partition(".")[2]):
                return task
        known = ", ".join(task.id for task in self.tasks)
        raise UsageError(f"{self.id} has no task '{name}'; its tasks are: {known}")


def vendor_of(machine: str) -> str:
    """Whose CPUs a machine has; empty if its name does not say so."""
    word = machine.partition("-")[0]
    return word if word in VENDORS else ""


def positions(text: str) -> dict[tuple[str | int, ...], int]:
    """The line of each value of a JSON text that is known to be well formed, by its path.

    A member's line is that of its key.
    """
    token = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
    tokens = [(m.group(), m.start()) for m in token.finditer(text)]
    starts = [0] + [m.end() for m in re.finditer("\n", text)]
    lines: dict[tuple[str | int, ...], int] = {}

    def line(offset: int) -> int:
        return bisect_right(starts, offset)

    def value(at: int, path: tuple[str | int, ...], where: int | None = None) -> int:
        word, offset = tokens[at]
        lines[path] = line(offset if where is None else where)
        if word not in "{[":
            return at + 1
        at += 1
        index = 0
        while tokens[at][0] not in "}]":
            if tokens[at][0] == ",":
                at += 1
            if word == "{":
                key, key_offset = tokens[at]
                at = value(at + 2, (*path, json.loads(key)), key_offset)
            else:
                at = value(at, (*path, index))
                index += 1
        return at + 1

    value(0, ())
    return lines


def _spell(path: tuple[str | int, ...]) -> str:
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else str(step)
    return out or "the file as a whole"


def decode(path: Path) -> dict[str, Any]:
    """Reads one lab.json and checks it against the schema and against itself.

    Raises LabError with one line for each fault: file, line, key, what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LabError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: not UTF-8 at byte {error.start}") from None
    seen_twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        seen_twice.extend(name for name in set(names) if names.count(name) > 1)
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise LabError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise LabError(f"{path}:1: nested too deeply") from None
    if seen_twice:
        raise LabError(f"{path}:1: the key '{seen_twice[0]}' appears twice in one object")
    good = ROOT / "build" / ".labs" / hashlib.sha256(
        repr((path.resolve().parent.name, text, (SCHEMAS / "lab.json").read_text(),
              Path(__file__).read_text())).encode()).hexdigest()
    if good.exists():  # this very text was checked before; the check costs 0.2 s
        return data
    lines = positions(text)
    faults = list(_schema_faults(data)) or list(_semantic_faults(data, path))
    if faults:
        raise LabError("\n".join(
            f"{path}:{lines.get(where, 1)}: {_spell(where)}: {what}" for where, what in faults))
    with contextlib.suppress(OSError):
        good.parent.mkdir(parents=True, exist_ok=True)
        good.touch()
    return data


def _schema_faults(data: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    from jsonschema import Draft202012Validator

    schema = json.loads((SCHEMAS / "lab.json").read_text())
    errors = sorted(Draft202012Validator(schema).iter_errors(data), key=lambda e: list(map(str, e.path)))
    for error in errors:
        where = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known = error.schema["properties"]
            for key in error.instance:
                if key not in known:
                    yield (*where, key), f"unknown key; known here: {', '.join(k for k in known if k[0] != '$')}"
        else:
            yield where, error.message


def _semantic_faults(data: dict[str, Any], path: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    folder = f"{data['id']}-{data['name']}"
    if path.resolve().parent.name != folder:
        yield ("name",), f"the folder of {data['id']} '{data['name']}' should be '{folder}'"
    counts = data.get("counts")
    total = sum(task["points"] for task in data["tasks"] if task.get("vendor", counts) == counts)
    asked = data.get("questions", {}).get("ask", [])
    total += sum(one["points"] for one in asked)
    if total != data["points"]:
        and_asked = " and the questions'" * bool(asked)
        what = "the tasks'" if counts is None else f"the counting tasks' ({counts})"
        yield ("points",), f"is {data['points']}, but {what}{and_asked} points add up to {total}"
    vendors = {task["vendor"] for task in data["tasks"] if "vendor" in task}
    if vendors and counts not in vendors:
        where = ("counts",) if counts else ()
        yield where, f"tasks are for {' and '.join(sorted(vendors))}: \"counts\" should say whose points count"
    if counts and not vendors:
        yield ("counts",), "is for labs with tasks that name a vendor, and none does"
    for vendor in sorted(vendors):
        if not any(vendor_of(machine) == vendor for machine in data["machines"]):
            yield ("machines",), f"has no machine with {vendor}'s CPUs, which tasks are for"
    for i, machine in enumerate(data.get("mutants_on", [])):
        if machine not in data["machines"]:
            yield ("mutants_on", i), f"'{machine}' is not one of the lab's machines"
    for i, one in enumerate(asked):
        if one["id"] in [other["id"] for other in asked[:i]]:
            yield ("questions", "ask", i, "id"), f"'{one['id']}' appears twice"
        if "tolerance" in one and one.get("kind") != NUMBER:
            yield ("questions", "ask", i, "tolerance"), 'is for questions of the kind "number"'
    ids: set[str] = set()
    files: set[str] = set()
    names: set[str] = set()
    for i, task in enumerate(data["tasks"]):
        at: tuple[str | int, ...] = ("tasks", i)
        if not task["id"].startswith(data["id"] + "."):
            yield (*at, "id"), f"should start with '{data['id']}.'"
        for key, seen in (("id", ids), ("file", files)):
            if task[key] in seen:
                yield (*at, key), f"'{task[key]}' appears twice"
            seen.add(task[key])
        if ".." in Path(task["file"]).parts:
            yield (*at, "file"), "leaves its room"
        total = sum(test["points"] for test in task["tests"])
        if total != task["points"]:
            yield (*at, "points"), f"is {task['points']}, but its tests' points add up to {total:g}"
        if task["file"].endswith(".S"):
            for j, test in enumerate(task["tests"]):
                if not test["name"].startswith("boot:"):
                    yield (*at, "tests", j, "name"), "assembly is for the bare machine: only boot tests can see it"
        if task["points"] and task["tests"][0]["points"] == 0:
            yield (*at, "tests", 0, "points"), "is 0, but there is no test before it that it could belong to"
        if all(test.get("negative", False) for test in task["tests"]):
            yield (*at, "tests"), "has no positive test, so its negative ones could never count"
        for j, test in enumerate(task["tests"]):
            if "cpus" in test and not test["name"].startswith("boot:"):
                yield (*at, "tests", j, "cpus"), "is for boot tests: the others run on no machine"
            if test["name"] in names:
                yield (*at, "tests", j, "name"), f"'{test['name']}' appears twice"
            names.add(test["name"])


def hidden_folder(lab: str, root: Path = ROOT) -> Path:
    """Where a lab's hidden tests stand: tests.json, and `unit/` and `boot/` as in the lab's own
    folder."""
    return root / "solutions-private" / "hidden" / lab


def _with_hidden(tests: tuple[Test, ...], task: str, hidden: list[dict[str, Any]], where: Path) -> tuple[Test, ...]:
    """The task's tests and the hidden ones, each behind the public test whose points it guards."""
    out = list(tests)
    for one in hidden:
        if one["task"] != task:
            continue
        if one["guards"] not in [test.name for test in tests if test.points]:
            raise LabError(f"{where}: {one['name']}: {task} has no test '{one['guards']}' with points")
        at = next(i for i, test in enumerate(out) if test.name == one["guards"]) + 1
        out.insert(at, Test(one["name"], task, 0, False, one["checks"], one.get("hint", ""), one["read"],
                            one.get("cpus", 1), hidden=True))
    return tuple(out)


def _hidden(lab: str, tasks: list[str], root: Path) -> list[dict[str, Any]]:
    """The entries of a lab's hidden tests. Raises LabError."""
    path = hidden_folder(lab, root) / "tests.json"
    if not path.is_file():
        return []
    from jsonschema import Draft202012Validator

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LabError(f"{path}: not JSON: {error}") from None
    schema = json.loads((SCHEMAS / "hidden.json").read_text())
    for error in Draft202012Validator(schema).iter_errors(data):
        raise LabError(f"{path}: {_spell(tuple(error.absolute_path))}: {error.message}")
    entries: list[dict[str, Any]] = data["tests"]
    for one in entries:
        if one["task"] not in tasks:
            raise LabError(f"{path}: {one['name']}: {lab} has no task '{one['task']}'")
    return entries


def load(folder: Path) -> Lab:
    """The lab of one folder, with staff's hidden tests where they are. Raises LabError."""
    data = decode(folder / "lab.json")
    root = folder.resolve().parents[1]
    hidden = _hidden(data["id"], [task["id"] for task in data["tasks"]], root)
    known = expectations.read(folder) | expectations.read(hidden_folder(data["id"], root))
    tasks = []
    for task in data["tasks"]:
        tests = tuple(
            Test(test["name"], task["id"], test["points"], test.get("negative", False),
                 test["checks"], test.get("hint", ""), test["read"], test.get("cpus", 1))
            for test in task["tests"])
        tests = _with_hidden(tests, task["id"], hidden, hidden_folder(data["id"], root) / "tests.json")
        tests = tuple(replace(test, expectations=known.get(test.name)) for test in tests)
        tasks.append(Task(task["id"], task["title"], task["file"], task["header"], task["points"],
                          task["handout"], tests, task.get("vendor"), tuple(task.get("privileged", ()))))
    questions = None
    if "questions" in data:
        questions = Questions(data["questions"]["file"], tuple(
            Question(one["id"], one["title"], one["points"], one.get("read", ""), one.get("kind", WORDS),
                     one.get("tolerance", 0))
            for one in data["questions"]["ask"]))
    return Lab(data["id"], data["name"], data["title"], data["points"], tuple(data["builds_on"]),
               tuple(data["machines"]), data.get("kernel", KERNEL), tuple(tasks), folder,
               data.get("counts"), questions, tuple(data.get("mutants_on", data["machines"])),
               data.get("draft", False), tuple(data.get("guest", {}).get("plan", {}).items()),
               data.get("guest", {}).get("args", ""))


def load_all(root: Path = ROOT) -> list[Lab]:
    """Every lab of the tree, ordered by id. Raises LabError at the first bad one."""
    return [load(path.parent) for path in sorted((root / "labs").glob("*/lab.json"))]


def find(name: str, root: Path = ROOT) -> Lab:
    """The lab with this id, name or folder. Raises UsageError with the list of labs."""
    name = name.rstrip("/").rpartition("/")[2]
    paths = sorted((root / "labs").glob("*/lab.json"))
    for path in paths:
        folder = path.parent.name
        identity, _, short = folder.partition("-")
        if name in (folder, identity, short):
            return load(path.parent)
    known = ", ".join(path.parent.name for path in paths) or "none"
    raise UsageError(f"there is no lab '{name}'; the labs are: {known}")
