# SPDX-License-Identifier: MIT
"""What staff say of their course: ``course.json``, which a release is made by.

It may be missing: then the course is called Nestling, and the references of all labs before the
last one of the release go along, and of those without points.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from grader import UsageError
from grader.course.lab import Lab

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "course": {"type": "string", "minLength": 1, "maxLength": 80,
                   "description": "the course's name, for people"},
        "references": {
            "type": "object",
            "description": "by lab: from which day on its compiled references go along, YYYY-MM-DD",
            "additionalProperties": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}},
    },
}


@dataclass(frozen=True)
class Course:
    """One course."""

    name: str = "Nestling"
    references: Mapping[str, datetime.date] | None = None
    """by lab id: the first day on which a release may have its compiled references"""

    def with_references(self, labs: list[Lab], today: datetime.date) -> list[Lab]:
        """Those of a release's labs whose references go along: by their day; those without one
        before the last, and if they have no points."""
        days = self.references or {}
        return [lab for lab in labs
                if (days[lab.id] <= today if lab.id in days else lab != labs[-1] or not lab.points)]


def read(path: Path | None, labs: list[Lab]) -> Course:
    """The course that a file describes. Raises UsageError, which names the place and the mend."""
    if path is None:
        return Course()
    from jsonschema import Draft202012Validator

    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    for error in Draft202012Validator(SCHEMA).iter_errors(data):
        raise UsageError(f"{path}: {'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message}")
    days = {}
    for name, day in data.get("references", {}).items():
        if name not in [lab.id for lab in labs]:
            raise UsageError(f"{path}: references.{name}: there is no such lab; the labs are: "
                             f"{', '.join(lab.id for lab in labs)}")
        try:
            days[name] = datetime.date.fromisoformat(day)
        except ValueError as error:
            raise UsageError(f"{path}: references.{name}: {day}: {error}") from None
    return Course(data.get("course", Course.name), days)
