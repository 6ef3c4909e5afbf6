# SPDX-License-Identifier: MIT
"""Which submissions have points that may leave the house, and harmless names for their files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from grader.batch.store import BEGUN, GRADED, LOST, NOT_JUDGED, Row
from grader.confine.words import clean

LONGEST_NAME = 80
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
"""Names that are no files on Windows, where many a TA unpacks what we made."""


def no_verdict(row: Row) -> str:
    """Why a submission has no points yet, in a line for staff; empty if it has."""
    attempt = row.attempt
    if not row.digest:
        return "nothing was handed in that could be judged"
    if attempt is None or attempt.state == BEGUN:
        return "it is not judged yet"
    if attempt.state == GRADED:
        return ""
    if attempt.state == NOT_JUDGED:
        return f"{attempt.not_judged or 0:g} of {attempt.max_score or 0:g} points could not be judged"
    why = " ".join(clean(attempt.why).split())
    return (f"the run ended before its result was there: {why}" if attempt.state == LOST
            else f"the grader failed, which is not the student's fault: {why}")


def is_ours(row: Row) -> bool:
    """Whether the missing verdict is the grader's affair and not that of who handed nothing in."""
    return bool(row.digest and no_verdict(row))


def students(row: Row) -> tuple[str, ...]:
    """The ids of all whose submission it is."""
    return row.members or (row.student,)


def shown(text: str) -> str:
    """A name or an id, which may hold anything, on one line of a terminal."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def number(points: float) -> str:
    """Points as a gradebook reads them: no exponent, and no more digits than they have."""
    return str(int(points)) if float(points).is_integer() else repr(float(points))


def file_name(text: str) -> str:
    """A name that is one harmless file in any folder, another one for each text."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip(".-")[:LONGEST_NAME]
    if name == text and _HARMLESS.fullmatch(name) and not _DEVICES.fullmatch(name) and not name.endswith("."):
        return name
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name.rstrip('.') or 'student'}-{mark}"


def file_names(texts: Iterable[str]) -> dict[str, str]:
    """A harmless name for each text, different also where a file system knows no capital
    letters."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        name = file_name(text)
        if name.lower() in taken:
            name += "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        taken.add(name.lower())
        names[text] = name
    return names
