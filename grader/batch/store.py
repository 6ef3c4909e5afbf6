# SPDX-License-Identifier: MIT
"""The database of a class's grading: RESULTS/results.db, in SQLite. One process writes it.

A row of `submission` is what a student handed in; a row of `attempt` one try to judge files of that
content, so that equal submissions are judged once. What is written is there for good: each change
is one transaction.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader import CannotRun, UsageError
from grader.intake.submission import Submission

FILE = "results.db"
FORM = 1
"""of the tables; a newer nest refuses what it does not know"""

BEGUN = "begun"
GRADED = "graded"
"""every test was judged"""
NOT_JUDGED = "not judged"
"""some tests could not be judged on that system; what could is in the result"""
FAILED = "failed"
"""no result: the grader itself, or its machine, failed. Never the student's fault"""
LOST = "lost"
"""the run was ended while this was under way"""
OURS = (NOT_JUDGED, FAILED, LOST)
"""Attempts whose failure is ours."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE submission (
    student TEXT PRIMARY KEY, name TEXT NOT NULL, grp TEXT NOT NULL, members TEXT NOT NULL, source TEXT NOT NULL,
    form TEXT NOT NULL, handed_in TEXT NOT NULL, late INTEGER NOT NULL, digest TEXT NOT NULL, files TEXT NOT NULL,
    findings TEXT NOT NULL, present INTEGER NOT NULL);
CREATE TABLE attempt (
    digest TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, seed INTEGER NOT NULL, begun TEXT NOT NULL,
    ended TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0, score REAL, max_score REAL, pending REAL,
    not_judged REAL, why TEXT NOT NULL DEFAULT '', result TEXT, for_students TEXT, tree TEXT NOT NULL DEFAULT '',
    machine TEXT NOT NULL DEFAULT '', compiler TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (digest, number));
"""


@dataclass(frozen=True)
class Attempt:
    """One try to judge files of one content."""

    digest: str
    number: int
    state: str
    seed: int
    begun: str
    ended: str
    seconds: float
    score: float | None
    max_score: float | None
    pending: float | None
    not_judged: float | None
    why: str
    """why there is no result, if there is none"""
    result: dict[str, Any] | None
    """the whole result, for staff: the form of grader/judge/forms.py"""
    for_students: dict[str, Any] | None
    """the same, as students may have it"""
    tree: str
    """the commit of the tree that judged"""
    machine: str
    compiler: str
    host: str


@dataclass(frozen=True)
class Row:
    """A submission with the attempt that counts: the last one with a result, else the last one."""

    student: str
    name: str
    group: str
    members: tuple[str, ...]
    source: str
    form: str
    handed_in: str
    late: bool
    digest: str
    """empty where nothing was handed in that could be judged"""
    files: dict[str, str]
    """SHA-256 by path in the tree"""
    findings: tuple[str, ...]
    attempt: Attempt | None


class Store:
    """An open database. Use :func:`opened`."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection

    def meta(self, key: str) -> str:
        """What the run as a whole keeps under this key; empty if nothing. `lab` is always there,
        and `machine`."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else ""

    def set_meta(self, key: str, value: str) -> None:
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def take_submissions(self, found: list[Submission]) -> None:
        """What stands in the folder of uploads now. Who was there before and is not any more stays,
        and is marked."""
        with self._db:
            self._db.execute("UPDATE submission SET present = 0")
            for one in found:
                self._put(one)

    def take_submission(self, one: Submission) -> None:
        """One more, or one anew."""
        with self._db:
            self._put(one)

    def _put(self, one: Submission) -> None:
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(one.files.items())}
        self._db.execute(
            "INSERT OR REPLACE INTO submission VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            (one.who.id, one.who.name, one.who.group, json.dumps(one.who.members), one.source, one.form,
             one.who.handed_in, one.who.late, one.digest if one.files else "", json.dumps(hashes),
             json.dumps(one.findings, ensure_ascii=False)))

    def begin(self, digest: str, seed: int, now: str) -> int:
        """Notes that files of this content are being judged; the number of the attempt."""
        with self._db:
            last = self._db.execute("SELECT max(number) FROM attempt WHERE digest = ?", (digest,)).fetchone()[0]
            number = (last or 0) + 1
            self._db.execute("INSERT INTO attempt (digest, number, state, seed, begun) VALUES (?, ?, ?, ?, ?)",
                             (digest, number, BEGUN, seed, now))
        return number

    def know(self, digest: str, number: int, seed: int) -> None:
        """Makes sure that there is such an attempt: a shard begins one without asking."""
        with self._db:
            self._db.execute("INSERT OR IGNORE INTO attempt (digest, number, state, seed, begun) VALUES (?, ?, ?, ?, '')",
                             (digest, number, BEGUN, seed))

    def end(self, digest: str, number: int, state: str, **more: Any) -> bool:
        """Notes what came of an attempt, once: what comes a second time changes nothing. Whether it
        was the first."""
        columns = {"state": state, **more}
        for name in ("result", "for_students"):
            if columns.get(name) is not None:
                columns[name] = json.dumps(columns[name], ensure_ascii=False)
        words = ", ".join(f"{name} = ?" for name in columns)
        with self._db:
            done = self._db.execute(
                f"UPDATE attempt SET {words} WHERE digest = ? AND number = ? AND state IN (?, ?)",
                (*columns.values(), digest, number, BEGUN, LOST))
        return done.rowcount == 1

    def lose_begun(self) -> None:
        """Marks what was under way when an earlier run ended. Half of a transcript is no
        evidence."""
        for digest, number in self._db.execute("SELECT digest, number FROM attempt WHERE state = ?", (BEGUN,)).fetchall():
            shutil.rmtree(self.evidence(digest, number), ignore_errors=True)
        with self._db:
            self._db.execute("UPDATE attempt SET state = ?, why = 'the run was ended' WHERE state = ?", (LOST, BEGUN))

    def attempts(self, digest: str) -> list[Attempt]:
        """All attempts at files of this content, the oldest first."""
        found = self._db.execute("SELECT * FROM attempt WHERE digest = ? ORDER BY number", (digest,))
        return [_attempt(one) for one in found]

    def states(self) -> dict[str, list[str]]:
        """By content: the states of its attempts, the oldest first."""
        states: dict[str, list[str]] = {}
        for digest, state in self._db.execute("SELECT digest, state FROM attempt ORDER BY digest, number"):
            states.setdefault(digest, []).append(state)
        return states

    def rows(self) -> Iterator[Row]:
        """All submissions that stand in the folder of uploads, by student. One at a time, since a
        class is large."""
        for one in self._db.execute("SELECT * FROM submission WHERE present ORDER BY student").fetchall():
            yield self._row(one)

    def row(self, student: str) -> Row:
        """One student's. Raises UsageError."""
        one = self._db.execute("SELECT * FROM submission WHERE student = ?", (student,)).fetchone()
        if one is None:
            known = [name for name, in self._db.execute("SELECT student FROM submission ORDER BY student LIMIT 6")]
            raise UsageError(f"{self.folder} has no student '{student}'; it has {', '.join(known[:5])}"
                             + ", and more" * (len(known) > 5))
        return self._row(one)

    def _row(self, one: sqlite3.Row) -> Row:
        tried = self._db.execute(
            "SELECT * FROM attempt WHERE digest = ? ORDER BY state = ? DESC, result IS NOT NULL DESC, number DESC LIMIT 1",
            (one["digest"], GRADED)).fetchone()
        return Row(one["student"], one["name"], one["grp"], tuple(json.loads(one["members"])), one["source"], one["form"],
                   one["handed_in"], bool(one["late"]), one["digest"], json.loads(one["files"]),
                   tuple(json.loads(one["findings"])), _attempt(tried) if tried else None)

    def evidence(self, digest: str, number: int) -> Path:
        """The folder with the transcripts of an attempt."""
        return self.folder / "evidence" / f"{digest}-{number}"

    def handed_in(self, digest: str) -> Path:
        """The folder with the files of one content, at their paths in the tree."""
        return self.folder / "submissions" / digest


@contextmanager
def opened(folder: Path, *, lab: str = "") -> Iterator[Store]:
    """The database in a folder of results. It is made only if `lab` says for which lab.

    Raises UsageError where there is none, or one of another lab, and CannotRun where it cannot be
    read.
    """
    path = folder / FILE
    if not lab and not path.is_file():
        raise UsageError(f"{folder} holds no results\n  mend: name the folder that `nest grade-all --out` wrote")
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            store = Store(folder, connection)
            _begin(store, connection, lab)
            yield store
    except sqlite3.DatabaseError as error:
        raise CannotRun(f"{path}: {error}\n  mend: if the disk is full, make room; if the file is damaged, put it aside "
                        "and grade again") from error


def _begin(store: Store, connection: sqlite3.Connection, lab: str) -> None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        if not lab:
            raise UsageError(f"{store.folder} holds no results")
        with connection:
            connection.executescript(f"BEGIN;{_TABLES}")
            connection.executemany("INSERT INTO meta VALUES (?, ?)",
                                   [("form", str(FORM)), ("lab", lab)])
    if store.meta("form") != str(FORM):
        raise UsageError(f"{store.folder / FILE} is of form {store.meta('form')}, and this nest knows form {FORM}")
    if lab and store.meta("lab") != lab:
        raise UsageError(f"{store.folder} holds the results of {store.meta('lab')}, not of {lab}\n"
                         "  mend: another folder with --out")


def _attempt(one: sqlite3.Row) -> Attempt:
    columns = dict(one)
    for name in ("result", "for_students"):
        columns[name] = json.loads(columns[name]) if columns[name] else None
    return Attempt(**columns)
