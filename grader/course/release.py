# SPDX-License-Identifier: MIT
"""What a student's tree knows of the release that it came from: ``release.json`` in its root.

Staff's own tree has no such file: there everything is at hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun
from grader.course.lab import ROOT

FILE = "release.json"


@dataclass(frozen=True)
class Release:
    """One release of a course."""

    course: str
    """its name, for people"""
    number: int
    """counts the releases of this course, from 1; the release's commit has the tag
    `release-NUMBER`"""
    date: str
    """the day on which it was made, YYYY-MM-DD"""
    commit: str
    """the commit of staff's tree that it was made from"""
    until: str
    """the last lab in it"""
    later: tuple[str, ...]
    """the files of tasks of later labs: stubs, since the kernel is linked with them"""
    coming: tuple[str, ...] = ()
    """the anchors of later labs' pages, to which pages of this release may point"""

    @property
    def tag(self) -> str:
        """The name of its commit in the release's repository."""
        return f"release-{self.number}"

    def to_json(self) -> str:
        """The text of release.json."""
        return json.dumps({"course": self.course, "release": self.number, "date": self.date, "commit": self.commit,
                           "until": self.until, "later": list(self.later), "coming": list(self.coming)}, indent=2) + "\n"


def read(root: Path = ROOT) -> Release | None:
    """The tree's release; None in staff's own tree. Raises CannotRun if release.json is damaged."""
    path = root / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"cannot read {path}: {error}\n  mend: take {FILE} from the release again") from None
    return parse(text, str(path))


def parse(text: str, where: str = FILE) -> Release:
    """The release that a release.json describes. Raises CannotRun if it is damaged."""
    try:
        data = json.loads(text)
        release = Release(data["course"], data["release"], data["date"], data["commit"], data["until"],
                          tuple(data["later"]), tuple(data.get("coming", ())))
        if not isinstance(release.number, int) or not all(isinstance(one, str) for one in release.later + release.coming):
            raise TypeError
        return release
    except (ValueError, KeyError, TypeError):
        raise CannotRun(f"{where} is damaged\n  mend: take {FILE} from the release again") from None
