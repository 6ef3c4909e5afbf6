# SPDX-License-Identifier: MIT
"""What a class's results say when they are counted."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass

from grader.judge import outcome
from grader.overview.gathered import Class, Entry, TestInfo

BINS = 20
SHOWN = 15
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\b[0-9]+\b")


@dataclass(frozen=True)
class Bin:
    """One bar of the histogram."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class TestFigures:
    """One test over the class."""

    __test__ = False
    number: int
    test: TestInfo
    judged: int
    passed: int
    counts: dict[str, int]
    """by outcome that is no pass"""
    discrimination: float | None
    """the correlation of passing with the points of all other tests; None where all passed, or
    none"""
    median_seconds: float
    most_seconds: float
    unstable: int

    @property
    def rate(self) -> float:
        return self.passed / self.judged if self.judged else 0


@dataclass(frozen=True)
class TaskFigures:
    """One task over the class: how many have all points, some, none, and how many did not get to a
    test."""

    id: str
    title: str
    most: float
    whole: int
    some: int
    none: int
    states: dict[str, int]
    """by state that is not `graded`, such as `not written`"""
    median: float


@dataclass(frozen=True)
class Stumble:
    """The same failure, of several."""

    title: str
    kind: str
    words: str
    students: tuple[int, ...]
    """by place among the entries"""


def histogram(found: Class) -> list[Bin]:
    """Scores in bars of equal width; the last one holds the most points too."""
    scores = [one.score for one in found.graded if one.score is not None]
    if not scores or not found.max_score:
        return []
    bins = min(BINS, max(1, round(found.max_score)))
    width = found.max_score / bins
    counts = [0] * bins
    for score in scores:
        counts[min(bins - 1, int(score / width))] += 1
    return [Bin(index * width, (index + 1) * width, count) for index, count in enumerate(counts)]


def scores(found: Class) -> dict[str, float]:
    """Mean, median and quartiles; empty for an empty class."""
    values = sorted(one.score for one in found.graded if one.score is not None)
    if not values:
        return {}
    quarters = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"mean": statistics.fmean(values), "lower quartile": quarters[0], "median": quarters[1],
            "upper quartile": quarters[2]}


def tests(found: Class) -> list[TestFigures]:
    """Each test, in the lab's order."""
    made = []
    for number, test in enumerate(found.tests):
        there = [one for one in found.graded if one.kinds[number] and one.kinds[number] != outcome.NOT_JUDGED]
        counts: dict[str, int] = {}
        for one in found.graded:
            kind = one.kinds[number]
            if kind and kind != outcome.PASSED:
                counts[kind] = counts.get(kind, 0) + 1
        # A test that did not run took no time.
        times = [one.times[number] for one in there if one.times[number]] or [0.0]
        made.append(TestFigures(
            number, test, len(there), sum(one.kinds[number] == outcome.PASSED for one in there), counts,
            _discrimination(there, number, test.points), statistics.median(times), max(times),
            sum(number in one.unstable for one in found.graded)))
    return made


def _discrimination(there: list[Entry], number: int, points: float) -> float | None:
    """The point-biserial correlation of one test with the rest of the score."""
    passed = [one.kinds[number] == outcome.PASSED for one in there]
    if len(there) < 3 or len(set(passed)) < 2:
        return None
    rest = [(one.score or 0) - points * right for one, right in zip(there, passed)]
    if len(set(rest)) < 2:
        return None
    return statistics.correlation([float(one) for one in passed], rest)


def tasks(found: Class) -> list[TaskFigures]:
    """Each task, in the lab's order."""
    made = []
    for task, title in found.tasks.items():
        there = [one.tasks[task] for one in found.graded if task in one.tasks]
        most = max((one[1] for one in there), default=0)
        states: dict[str, int] = {}
        for _, _, state in there:
            if state != "graded":
                states[state] = states.get(state, 0) + 1
        tried = [score for score, _, state in there if state == "graded"]
        made.append(TaskFigures(
            task, title, most, sum(score >= most for score in tried), sum(0 < score < most for score in tried),
            sum(score == 0 < most for score in tried), states, statistics.median([score for score, _, _ in there] or [0])))
    return made


def stumbles(found: Class) -> list[Stumble]:
    """The failures that most of the class share: the same test, and the same words but for
    numbers."""
    alike: dict[tuple[str, str, str], list[int]] = {}
    words: dict[tuple[str, str, str], str] = {}
    for place, one in enumerate(found.entries):
        for failure in one.failures:
            key = (failure.title, failure.kind, _NUMBER.sub("N", failure.words[:400]))
            if place not in alike.setdefault(key, []):
                alike[key].append(place)
            words.setdefault(key, failure.words)
    most = sorted(alike.items(), key=lambda one: -len(one[1]))[:SHOWN]
    return [Stumble(key[0], key[1], words[key], tuple(places)) for key, places in most if len(places) > 1]
