# SPDX-License-Identifier: MIT
"""What a person sees of a class's run: how far it is, and what stands at its end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TextIO

from grader.batch.store import GRADED, Attempt, Row, Store
from grader.build.workshop import Progress
from grader.intake.uploads import NOT_SUBMITTED

RATE_OF = 40
"""The rate is that of the last so many."""


class Watch:
    """Told of each content whose attempt has ended."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._ended: list[float] = [time.monotonic()]
        self._students: dict[str, list[str]] = {}
        for one in store.rows():
            self._students.setdefault(one.digest, []).append(one.student)

    def __call__(self, digest: str, done: int, of: int) -> None:
        self._ended = [*self._ended[-RATE_OF:], time.monotonic()]
        pace = (self._ended[-1] - self._ended[0]) / (len(self._ended) - 1)
        left = f"{done}/{of}, {60 / pace if pace else 0:.0f} a minute, {duration(pace * (of - done))} left"
        attempt = self._store.attempts(digest)[-1]
        students = self._students.get(digest, [])
        if sys.stderr.isatty():
            self._progress(f"graded {left}: {', '.join(students[:3])}")
        else:
            more = f" and {len(students) - 1} with equal files" if len(students) > 1 else ""
            print(f"{students[0] if students else digest}{more}: {in_words(attempt)}, {attempt.seconds:.1f} s ({left})",
                  flush=True)


def duration(seconds: float) -> str:
    """A length of time, in the largest unit that says enough."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_words(attempt: Attempt | None) -> str:
    """What came of an attempt, in a few words."""
    if attempt is None:
        return "not judged yet"
    if attempt.score is None:
        return attempt.state
    more = f", {attempt.not_judged:g} not judged" if attempt.not_judged else ""
    return f"{attempt.score:g} of {attempt.max_score:g}{more}"


def summary(store: Store, nobodys: list[str], seconds: float, out: TextIO) -> int:
    """Prints what stands in the database; how many submissions are not judged through our fault."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out, highlight=False, soft_wrap=not out.isatty())
    table = Table("student", "points", "late", "what a person should look at", box=None, pad_edge=False)
    rows = Counter[str]()
    for one in store.rows():
        rows[_kind(one)] += 1
        words = [*one.findings, *_for_staff(one)]
        table.add_row(Text(one.student), Text(in_words(one.attempt) if one.digest else NOT_SUBMITTED),
                      "late" * one.late, Text("; ".join(words[:3]) + f"; and {len(words) - 3} more" * (len(words) > 3)))
    console.print(table)
    for line in nobodys:
        console.print(Text(f"finding: {line}"))
    count = ", ".join(f"{number} {kind}" for kind, number in rows.items())
    console.print(Text(f"{sum(rows.values())} submissions: {count or 'none'}; {duration(seconds)}; {store.folder}"))
    ours = rows["not judged, through our fault"]
    if ours:
        console.print(Text(f"mend: see why with `nest replay STUDENT --results {store.folder}`, then grade-all again with "
                           "--regrade-failed"))
    return ours


def _kind(row: Row) -> str:
    if not row.digest:
        return NOT_SUBMITTED
    if row.attempt is None:
        return "not judged yet"
    return GRADED if row.attempt.state == GRADED else "not judged, through our fault"


def _for_staff(row: Row) -> list[str]:
    if row.attempt is None:
        return []
    if row.attempt.result is None:
        return [row.attempt.why.strip().splitlines()[-1]] if row.attempt.why.strip() else []
    return list(row.attempt.result["extra_data"]["for_staff"])
