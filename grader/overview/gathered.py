# SPDX-License-Identifier: MIT
"""What the page shows of each submission, read from the database one at a time: the whole results
of a large class do not fit into memory beside each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from grader.batch.store import BEGUN, Row, Store
from grader.confine.words import clean
from grader.judge import outcome
from grader.judge.scoring import DOES_NOT_COUNT

LONGEST = 1500
"""Characters of a failure's words; the log has all of them."""

MARKS = {
    outcome.PASSED: "·", outcome.FAILED: "x", outcome.CRASHED: "!", outcome.TIMEOUT: "t", outcome.NOT_RUN: "h",
    outcome.NOT_WRITTEN: "-", outcome.BLOCKED: "b", outcome.NOT_BUILT: "c", outcome.REFUSED: "r", outcome.FORGED: "f", DOES_NOT_COUNT: "0",
    outcome.NOT_JUDGED: "?",
}
"""How a cell of the map shows an outcome: colour alone tells not everybody."""
WHOLE_TASK = (outcome.NOT_WRITTEN, outcome.NOT_BUILT, outcome.REFUSED)
"""Outcomes that all tests of a task share: they are told once."""


@dataclass(frozen=True)
class TestInfo:
    """A test of the lab, as the class has met it."""

    __test__ = False
    name: str
    task: str
    points: float
    checks: str
    hidden: bool
    apart: bool


@dataclass(frozen=True)
class Failure:
    """Something to read about one submission, with where its evidence is."""

    title: str
    kind: str
    words: str
    log: str
    """a relative URL, or empty"""
    tests: tuple[int, ...]
    """the tests that it is about, by number"""
    unstable: bool = False


@dataclass
class Entry:
    """One submission."""

    student: str
    name: str
    group: str
    members: tuple[str, ...]
    handed_in: str
    late: bool
    digest: str
    files: dict[str, str]
    findings: tuple[str, ...]
    for_staff: tuple[str, ...] = ()
    state: str = ""
    why: str = ""
    score: float | None = None
    pending: float = 0
    not_judged: float = 0
    attempts: int = 0
    seconds: float = 0
    evidence: str = ""
    """the URL of the folder with everything that was kept"""
    kinds: list[str] = field(default_factory=list)
    """by test: its outcome; empty where it was not run"""
    times: list[float] = field(default_factory=list)
    unstable: set[int] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    tasks: dict[str, tuple[float, float, str]] = field(default_factory=dict)
    """by task: points, most points, state"""
    compiler: str = ""
    machine: str = ""
    tree: str = ""

    @property
    def key(self) -> str:
        """Names, for a line."""
        return self.student + (f" {self.name}" if self.name else "")


@dataclass
class Class:
    """All that the page is made of."""

    lab: str
    title: str = ""
    max_score: float = 0
    entries: list[Entry] = field(default_factory=list)
    tests: list[TestInfo] = field(default_factory=list)
    tasks: dict[str, str] = field(default_factory=dict)
    """titles, by task"""

    @property
    def graded(self) -> list[Entry]:
        """Those of which a result is there."""
        return [one for one in self.entries if one.kinds]


def gather(store: Store, page: Path) -> Class:
    """Reads the database. `page`: where the page will stand, which the links start from."""
    found = Class(store.meta("lab"))
    numbers: dict[str, int] = {}
    for row in store.rows():
        found.entries.append(_entry(found, numbers, store, row, page))
    for entry in found.entries:  # a later submission may have brought tests that an earlier one has not
        entry.kinds += [""] * (len(found.tests) - len(entry.kinds)) if entry.kinds else []
        entry.times += [0.0] * (len(entry.kinds) - len(entry.times))
    return found


def _entry(found: Class, numbers: dict[str, int], store: Store, row: Row, page: Path) -> Entry:
    entry = Entry(_line(row.student), _line(row.name), _line(row.group), tuple(map(_line, row.members)), _line(row.handed_in),
                  row.late, row.digest, row.files, tuple(map(_line, row.findings)))
    attempt = row.attempt
    if attempt is None:
        entry.state = BEGUN if row.digest else ""
        entry.why = "not judged yet" if row.digest else "nothing was handed in that could be judged"
        return entry
    entry.state, entry.why, entry.attempts, entry.seconds = attempt.state, clean(attempt.why), attempt.number, attempt.seconds
    entry.compiler, entry.machine, entry.tree = map(_line, (attempt.compiler, attempt.machine, attempt.tree))
    folder = store.evidence(row.digest, attempt.number)
    entry.evidence = _url(folder, page) + "/" if folder.is_dir() else ""
    if attempt.result is not None:
        _take(found, numbers, entry, attempt.result, folder, page)
    return entry


def _take(found: Class, numbers: dict[str, int], entry: Entry, data: dict[str, Any], folder: Path, page: Path) -> None:
    more = data["extra_data"]
    found.title, found.max_score = _line(more["title"]), max(found.max_score, data["max_score"])
    entry.score, entry.pending, entry.not_judged = data["score"], more["pending"], more["not_judged"]
    entry.for_staff = tuple(map(_line, (*more["for_staff"], *more["let_passed"])))
    for task in more["tasks"]:
        found.tasks.setdefault(task["id"], _line(task["title"]))
        entry.tasks[task["id"]] = (task["score"], task["max_score"], task["state"])
    told: dict[tuple[str, str], list[int]] = {}
    for test in data["tests"]:
        number = _number(found, numbers, test)
        entry.kinds += [""] * (number + 1 - len(entry.kinds))
        entry.times += [0.0] * (number + 1 - len(entry.times))
        seen = test["extra_data"]
        entry.kinds[number], entry.times[number] = seen["outcome"], seen["seconds"]
        if seen["unstable"]:
            entry.unstable.add(number)
        if seen["outcome"] == outcome.PASSED and not seen["unstable"]:
            continue
        if seen["outcome"] in WHOLE_TASK:
            told.setdefault((seen["task"], seen["detail"]), []).append(number)
        else:
            entry.failures.append(Failure(_line(test["name"]), seen["outcome"], _words(seen["detail"]),
                                          _log(seen["transcript"], folder, page), (number,), seen["unstable"]))
    for (task, detail), tests in told.items():
        entry.failures.append(Failure(task, entry.kinds[tests[0]], _words(detail), "", tuple(tests)))
    entry.failures.sort(key=lambda one: one.tests)


def _number(found: Class, numbers: dict[str, int], test: dict[str, Any]) -> int:
    if test["name"] not in numbers:
        numbers[test["name"]] = len(found.tests)
        found.tests.append(TestInfo(_line(test["name"]), test["extra_data"]["task"], test["max_score"],
                                    _line(test["extra_data"]["checks"]), test["visibility"] == "hidden",
                                    "apart" in test["tags"]))
    return numbers[test["name"]]


def _words(text: str) -> str:
    text = clean(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "\n[... the log has the rest]"


def _line(text: str) -> str:
    return clean(text).replace("\n", " ")


def _log(transcript: str, folder: Path, page: Path) -> str:
    """The URL of a test's transcript, if it is among the attempt's evidence: no other file is
    linked."""
    parts = PurePosixPath(transcript).parts
    if folder.name not in parts or ".." in parts:
        return ""
    path = folder.joinpath(*parts[parts.index(folder.name) + 1:])
    return _url(path, page) if path.exists() else ""


def _url(path: Path, page: Path) -> str:
    return quote(os.path.relpath(path.resolve(), page.resolve().parent))


def by_score(entries: list[Entry]) -> Iterator[Entry]:
    """The best first; then by student."""
    return iter(sorted(entries, key=lambda one: (-(one.score or 0), one.student)))
