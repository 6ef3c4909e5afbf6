# SPDX-License-Identifier: MIT
"""Who hands in: ``student.json`` in the tree's root, written by `nest whoami`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from grader import UsageError
from grader.course.lab import ROOT

FILE = "student.json"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Identity:
    """A student, or one who hands in for a group."""

    id: str
    """as the course knows them; in file names, so of letters, digits, and . _ @ -"""
    name: str
    group: str = ""

    def __post_init__(self) -> None:
        for what, value, needed in (("id", self.id, True), ("group", self.group, False)):
            if (value or needed) and not _ID.fullmatch(value):
                raise UsageError(f"the {what} '{value}' should be 1 to 64 letters, digits, and . _ @ -, and begin with a "
                                 "letter or a digit")
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > 120:
            raise UsageError("the name should be 1 to 120 printable characters in one line")


def read(root: Path = ROOT) -> Identity | None:
    """Who hands in, or None if nobody has said. Raises UsageError if the file is damaged."""
    path = root / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Identity(str(data["id"]), str(data["name"]), str(data.get("group", "")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is damaged\n  mend: nest whoami --name NAME --id ID writes it anew") from None


def write(identity: Identity, root: Path = ROOT) -> None:
    """Keeps who hands in."""
    (root / FILE).write_text(json.dumps(asdict(identity), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
