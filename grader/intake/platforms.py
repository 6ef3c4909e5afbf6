# SPDX-License-Identifier: MIT
"""Whose an upload is, by the names that platforms give uploads when staff download them all.

| from | names | |---|---| | `nest pack` | ``LAB-ID.zip`` | | Gradescope | ``submission_123456/``,
and ``submission_metadata.yml`` beside them | | Canvas | ``name_[LATE_]USER_SUBMISSION_file``, flat,
with ``-1`` before the suffix for a later one | | Moodle | ``Name_ID_assignsubmission_file_/``, or
flat with the file's name behind it | | by hand | ``ID/``, ``ID.zip``, ``ID.tar.gz`` |
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader import CannotRun, UsageError
from grader.confine.words import clean
from grader.intake.members import ARCHIVES
from grader.intake.submission import Who

GRADESCOPE = "submission_metadata.yml"
METADATA_BYTES = 64 << 20
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_(?P<turn>\d+)_(?P<file>.+)", re.DOTALL)
_MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<file>.*)", re.DOTALL)
_ID = re.compile(r"[\w.@+-]{1,100}")


@dataclass(frozen=True)
class Place:
    """What an upload's name says."""

    who: Who
    file: str = ""
    """of an upload that is a single file: its own name. Empty: the upload is all that was handed
    in"""


def place_of(name: str, is_folder: bool, lab_id: str, gradescope: Mapping[str, Who]) -> Place | None:
    """Whose the upload of this name is, or None if the name does not say."""
    if name in gradescope:
        return Place(gradescope[name])
    if found := _MOODLE.fullmatch(name):
        return Place(Who(found["id"], clean(found["name"])), "" if is_folder else found["file"])
    if found := _CANVAS.fullmatch(name):
        return Place(Who(found["id"], clean(found["name"]), late=bool(found["late"])), "" if is_folder else found["file"])
    stem = name
    if not is_folder:
        ending = next((one for one in ARCHIVES if name.lower().endswith(one)), None)
        if ending is None:
            return None
        stem = name[: -len(ending)]
    stem = stem.removeprefix(f"{lab_id}-")
    return Place(Who(stem)) if _ID.fullmatch(stem) else None


def read_gradescope(folder: Path) -> dict[str, Who]:
    """By the upload's name: whose it is, as the platform's own file beside the uploads says. Raises
    CannotRun."""
    path = folder / GRADESCOPE
    if not path.is_file() or path.is_symlink():
        return {}
    import yaml

    try:
        if path.stat().st_size > METADATA_BYTES:
            raise ValueError("it is too large")
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
        return {name: _gradescope_who(one) for name, one in data.items()}
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise CannotRun(f"{path}: not what Gradescope writes: {clean(str(error))}\n"
                        "  mend: download the submissions again, or remove that file, and name the folders by student") from None


def _gradescope_who(one: Mapping[str, Any]) -> Who:
    people = one[":submitters"]
    ids = tuple(str(person.get(":sid") or person[":email"]) for person in people)
    names = ", ".join(str(person.get(":name") or "") for person in people)
    when = one.get(":created_at") or ""
    return Who(ids[0], clean(names), members=ids if len(ids) > 1 else (),
               handed_in=when.isoformat() if hasattr(when, "isoformat") else clean(str(when)))


@dataclass(frozen=True)
class Roster:
    """The class: who is in it, and what staff know of their submissions. From a CSV file of staff's
    own."""

    people: Mapping[str, Who]

    def merged(self, who: Who) -> Who:
        """What the roster adds to what an upload's name says."""
        known = self.people.get(who.id)
        if known is None:
            return who
        return replace(who, name=known.name or who.name, group=known.group or who.group,
                       handed_in=known.handed_in or who.handed_in)


def read_roster(path: Path) -> Roster:
    """Reads a CSV file with a column ``id`` and perhaps ``name``, ``group`` and ``handed_in``.
    Raises UsageError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
            columns = set(rows[0]) if rows else {"id"}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if "id" not in columns:
        raise UsageError(f"{path} has no column 'id'; it has: {', '.join(str(one) for one in columns)}")
    people: dict[str, Who] = {}
    for line, row in enumerate(rows, 2):
        one = (row["id"] or "").strip()
        if not one:
            continue
        if one in people:
            raise UsageError(f"{path}:{line}: the id '{one}' appears twice")
        people[one] = Who(one, (row.get("name") or "").strip(), (row.get("group") or "").strip(),
                          handed_in=(row.get("handed_in") or "").strip())
    return Roster(people)
