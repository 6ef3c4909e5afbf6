# SPDX-License-Identifier: MIT
"""Judges items, one a line on standard input, and says `done NAME` for each on standard output.

The kit is opened once. Whatever goes wrong with one item is written down as its result.
"""

from __future__ import annotations

import functools
import os
import subprocess
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from grader import NestError
from grader.batch import work
from grader.batch.store import FAILED, GRADED, NOT_JUDGED
from grader.batch.work import Item
from grader.build.kit import Kit
from grader.build.workshop import Progress, workshop
from grader.confine import sandbox
from grader.course import lab as labs
from grader.course.lab import ROOT
from grader.judge import for_students, forms
from grader.judge.judging import Asked, grade_with, machines_of


class Silent(Progress):
    """For a worker, whose words nobody reads."""

    def __call__(self, text: str) -> None:
        pass


def serve(results: Path, lines: Iterable[str], out: TextIO, threads: int | None = None) -> None:
    """Judges until there are no more lines. Raises CannotRun where programs of others cannot be
    kept from harm."""
    sandbox.required(results)
    with workshop(Silent(), threads=threads) as kit:
        for line in lines:
            if line.strip():
                item = Item.of(line)
                work.leave(results, item, judged(kit, results, item))
                print(f"done {item.name}", file=out, flush=True)


def judged(kit: Kit, results: Path, item: Item) -> dict[str, Any]:
    """What came of an item, as columns of an attempt."""
    started = time.monotonic()
    try:
        lab = labs.find(item.lab)
        evidence = results / "evidence" / item.name
        evidence.mkdir(parents=True, exist_ok=True)
        found = grade_with(kit, Asked(
            lab, lab.tasks, machines_of(lab, item.machine or None), item.seed,
            handed_in=results / "submissions" / item.digest, transcripts=evidence, all_together=False), Silent())
        columns = {
            "state": NOT_JUDGED if found.not_judged or not all(one.judged for one in found.tests) else GRADED,
            "score": found.score, "max_score": found.max_score, "pending": found.pending, "not_judged": found.not_judged,
            "result": forms.validated(forms.as_dict(found)), "for_students": forms.validated(for_students.as_dict(found)),
            "machine": " ".join(one.machine for one in found.machines), "compiler": ", ".join(kit.compilers)}
    except NestError as problem:
        columns = {"state": FAILED, "why": str(problem)}
    except Exception:  # one submission must not end the night's run; staff get every word
        columns = {"state": FAILED, "why": traceback.format_exc()}
    return columns | {"seconds": round(time.monotonic() - started, 3), "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                      "tree": tree_commit(), "host": os.uname().nodename}


@functools.cache
def tree_commit() -> str:
    """The commit of this tree, with a + if files were changed since; empty where it is no
    repository."""
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
