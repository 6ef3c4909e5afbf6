# SPDX-License-Identifier: MIT
"""What differs between two results of the same files, and between two gradings of a class: what a
mended test or contract changes, before anybody is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from grader.batch.show import in_words
from grader.batch.store import Row, Store


@dataclass(frozen=True)
class Changed:
    """One student whose result is another one."""

    student: str
    before: str
    after: str
    lines: tuple[str, ...]
    """the verdicts that differ, or why the two cannot be compared"""


def differences(before: Mapping[str, Any], after: Mapping[str, Any], *, partly: bool = False) -> list[str]:
    """The tests whose verdicts or points differ. `partly`: tests that one of the two lacks are no
    difference."""
    old, new = ({one["name"]: one for one in result["tests"]} for result in (before, after))
    lines = []
    for name in dict.fromkeys([*old, *new]):
        one, two = old.get(name), new.get(name)
        if one is None or two is None:
            if not partly:
                lines.append(f"{name}: only {'before' if two is None else 'now'}")
        elif _verdict(one) != _verdict(two):
            lines.append(f"{name}: {_shown(one)} before, {_shown(two)} now")
    return lines


def _verdict(test: Mapping[str, Any]) -> tuple[object, ...]:
    return test["status"], test["score"], test["max_score"], test["extra_data"]["outcome"]


def _shown(test: Mapping[str, Any]) -> str:
    return f"{test['extra_data']['outcome']} ({test['score']:g} of {test['max_score']:g})"


def changes(before: Store, after: Store) -> Iterator[Changed]:
    """Students whose results differ, those that only one of the two has among them."""
    old = {one.student: one for one in before.rows()}
    seen = set()
    for two in after.rows():
        seen.add(two.student)
        one = old.get(two.student)
        if one is None:
            yield Changed(two.student, "not there", _points(two), ())
        elif lines := _lines(one, two):
            yield Changed(two.student, _points(one), _points(two), tuple(lines))
    for name in sorted(set(old) - seen):
        yield Changed(name, _points(old[name]), "not there", ())


def _lines(one: Row, two: Row) -> list[str]:
    there = [row.attempt.result if row.attempt else None for row in (one, two)]
    lines = ["other files were handed in"] if one.files != two.files else []
    if there[0] is not None and there[1] is not None:
        return lines + differences(there[0], there[1])
    if (there[0] is None) != (there[1] is None):
        lines.append("only one of the two is judged")
    return lines


def by_test(found: list[Changed]) -> Counter[str]:
    """How many students each changed test concerns."""
    return Counter(line.partition(": ")[0] for one in found for line in one.lines if ": " in line)


def _points(row: Row) -> str:
    return in_words(row.attempt) if row.digest else "not submitted"
