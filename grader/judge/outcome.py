# SPDX-License-Identifier: MIT
"""What came of one test under one set of answers, before any points are given."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from grader.build.answers import content
from grader.confine.words import clean
from grader.course.lab import ROOT, load_all

SKIPPED = "skipped"
"""another test of the same answers failed before, and that was enough"""
PASSED = "passed"
FAILED = "failed"
CRASHED = "crashed"
TIMEOUT = "timeout"
NOT_RUN = "not run"
"""Earlier tests of the task have hung, and it is assumed that this one would."""
NOT_WRITTEN = "not written"
BLOCKED = "blocked"
NOT_BUILT = "does not build"
REFUSED = "refused"
"""The gate does not let the answer in: it holds what no task needs and what could forge a
verdict."""
FORGED = "forged"
"""What was said of the test is not so, and an honest process would not have said it."""
NOT_JUDGED = "not judged"
"""The machine that grades is to blame: neither right nor wrong."""

REPLAYED = (FAILED, CRASHED)
"""Outcomes after which a test is run again with the same nonce. Who hangs may hang again, and that
costs most."""

SHOWN_LINES = 24
SHOWN_COLUMNS = 240

TODO = re.compile(r"^.*?\bTODO ([a-z0-9]+\.[a-z0-9_]+): ([\w./+@ -]+):(\d+) is not written yet", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """One test's verdict and what there is to see, in clean words."""

    kind: str
    detail: str = ""
    """seen and wanted, or why there is no verdict; for `not judged` the last line is the mend"""
    seconds: float = 0.0
    nonce: str = ""
    transcript: Path | None = None
    machine: str = ""
    """where it was booted; empty for what runs on no machine"""
    unstable: bool = False
    """it failed, and passed when replayed: it stays failed, and staff see it"""
    lost: bool = False
    """the test's process was ended from outside: nothing is known"""
    evaluated: tuple[int, int] | None = None
    """of a case on the host whose body ended: at how many places an expectation was evaluated, and
    how often in all"""
    stub: str = ""
    """for `not written` and `blocked`: the task whose stub was reached, and where it stands"""

    def __post_init__(self) -> None:
        for name in ("detail", "stub"):
            object.__setattr__(self, name, clean(getattr(self, name)))

    @property
    def passed(self) -> bool:
        return self.kind == PASSED

    @property
    def judged(self) -> bool:
        return self.kind != NOT_JUDGED

    def replayed(self, second: Outcome) -> Outcome:
        """This outcome once the test was run again with the same nonce."""
        return replace(self, unstable=second.passed)


def stub_reached(text: str, task: str) -> Outcome | None:
    """The outcome of a run that ended in a task's stub, seen from a test of `task`. What a program
    prints is believed only if the file that it names has that stub."""
    found = next((one for one in TODO.finditer(text) if _is_stub(one[1], one[2])), None)
    if not found:
        return None
    owner, where = found[1], f"{found[2]}:{found[3]}"
    if owner == task:
        return Outcome(NOT_WRITTEN, f"{owner} is not written yet: {where}", stub=f"{owner} {where}")
    return Outcome(BLOCKED, f"blocked by {owner}, which is not written yet: {where}",
                   stub=f"{owner} {where}")


def _is_stub(owner: str, file: str) -> bool:
    """Whether a file, named from the root of the tree or of the disk, holds the task's stub, and is
    called as that task's file: any file may hold the words."""
    if Path(file).name != _file_names().get(owner):
        return False
    texts = (content(root / file) for root in (ROOT, Path("/")))
    return any(f'todo("{owner}")'.encode() in text for text in texts if text is not None)


@cache
def _file_names() -> dict[str, str]:
    """By task: how its file is called."""
    return {task.id: Path(task.file).name for lab in load_all() for task in lab.tasks}


def shortened(text: str, lines: int = SHOWN_LINES, columns: int = SHOWN_COLUMNS) -> str:
    """The clean text's beginning and end, where it is too long to show."""
    all_lines = [line if len(line) <= columns else line[: columns - 1] + "…"
                 for line in clean(text).strip("\n").split("\n")]
    if len(all_lines) <= lines:
        return "\n".join(all_lines)
    head, tail = lines * 2 // 3, lines // 3
    cut = len(all_lines) - head - tail
    return "\n".join([*all_lines[:head], f"[... {cut} line{'s are' if cut > 1 else ' is'} left out ...]", *all_lines[-tail:]])
