# SPDX-License-Identifier: MIT
"""What a student with one mutant's mistake is told, and how much it costs.

A mutant's folder holds a file `SEEN` of one line:

    slip: words one check, one constant, one error code: loses at most a quarter of its task's
    points heart: words wrong by design (racy, a constant result): keeps at most half other: words
    neither

`words` is a phrase that the report of the first failing test says: in what it checks, in what was
seen, or in its hint. Case and white space do not count; of several phrases with ` | ` between them
one is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun
from grader.judge.results import TaskResult, TestResult

FILE = "SEEN"
SLIP, HEART, OTHER = "slip", "heart", "other"
MOST_LOST = {SLIP: 0.25}
MOST_KEPT = {HEART: 0.5}


@dataclass(frozen=True)
class Seen:
    """A file SEEN."""

    kind: str
    """slip, heart or other"""
    phrases: tuple[str, ...]

    def stands_in(self, text: str) -> bool:
        """Whether one of the phrases stands in a report."""
        return any(_folded(phrase) in _folded(text) for phrase in self.phrases)

    def out_of_proportion(self, lost: float, total: float, *, whole: bool) -> str:
        """What is wrong with the points that the mutant loses; empty if nothing. Where not all
        tests were judged, `lost` may still grow: then only what is certain is said."""
        most = MOST_LOST.get(self.kind)
        if most is not None and lost > most * total:
            return f"a slip loses {lost:g} of {total:g} points, more than a quarter"
        most = MOST_KEPT.get(self.kind)
        if most is not None and whole and total - lost > most * total:
            return f"an answer that is wrong at heart keeps {total - lost:g} of {total:g} points, more than half"
        return ""

    def is_open(self, lost: float, total: float, left: float, *, whole: bool) -> bool:
        """Whether tests of `left` points more may change what out_of_proportion says. `whole`: then
        all will have been judged."""
        return left > 0 and bool(self.out_of_proportion(lost, total, whole=whole)) != bool(
            self.out_of_proportion(lost + left, total, whole=whole))


def read(folder: Path) -> Seen | None:
    """What stands in a mutant's folder, or None if there is no SEEN. Raises CannotRun for one that
    says nothing."""
    path = folder / FILE
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    kind, colon, words = lines[0].partition(":") if lines else ("", "", "")
    phrases = tuple(phrase.strip() for phrase in words.split(" | ") if phrase.strip())
    if len(lines) != 1 or not colon or kind not in (SLIP, HEART, OTHER) or not phrases:
        raise CannotRun(f"{path}: wants one line, `{SLIP}: words`, `{HEART}: words` or `{OTHER}: words`; "
                        f"`words` is what the student should be told")
    return Seen(kind, phrases)


def first_failing(cell: TaskResult) -> TestResult | None:
    """The first test that failed, as lab.json orders them; those of the host before those that are
    booted, since those are run first."""
    failing = [one for one in cell.tests if not one.outcome.passed and one.judged and not one.test.hidden]
    return min(failing, key=lambda one: one.test.kind == "boot", default=None)


def told(one: TestResult) -> str:
    """What the report of a failed test says."""
    rows = (("checks", one.test.checks), ("seen", one.detail), ("hint", one.test.hint))
    return "\n".join(f"{key:<7} {line}" if i == 0 else f"{'':<7} {line}"
                     for key, text in rows if text for i, line in enumerate(text.splitlines()))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
