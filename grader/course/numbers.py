# SPDX-License-Identifier: MIT
"""Questions whose answer is a number (kind ``number`` in lab.json): read here, and compared with
the right one.

The right numbers are the references' answers: the same file below solutions-private/, in the same
form. A student's tree has none. Not even a digest could go along: who can compute one for a small
number tries all of them. So there the grader says how it has read the number, and its points are
pending.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from grader import CannotRun
from grader.course.lab import NUMBER, Lab

_DIGITS = re.compile(r"[0-9]{1,15}")
_SHOWN = 40


def read(answer: str) -> int | str:
    """The number of an answer; or why it is none, in words for who wrote it."""
    if _DIGITS.fullmatch(answer):
        return int(answer)
    first, *others = answer.splitlines()
    if others:
        return f"the answer has {len(others) + 1} lines: leave one, with the number in digits alone, such as 42"
    shown = "".join(one if one.isprintable() else "?" for one in first)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"'{shown}' is no whole number in decimal digits alone, such as 42: no unit, word, sign or separator"


def right_ones(lab: Lab, model: Mapping[str, str], where: str) -> dict[str, int]:
    """The right number of each such question, from the references' answers, which stand at
    ``where``.

    Raises CannotRun if one is missing: then no answer to it could be judged.
    """
    right = {}
    for one in lab.questions.ask if lab.questions else ():
        if one.kind != NUMBER:
            continue
        number = read(model.get(one.id, "") or "(nothing)")
        if isinstance(number, str):
            raise CannotRun(f"{where} has no number for {one.id}: {number}\n  mend: write it below the heading {one.id}")
        right[one.id] = number
    return right
