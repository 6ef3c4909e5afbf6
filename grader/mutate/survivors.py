# SPDX-License-Identifier: MIT
"""The mutants that no test can notice, since they are right: solutions-private/survivors/LAB.toml.

    [[survivor]]
    file = "vmm/pager/load_page.cc"
    was = "the changed line, or lines, white space folded"
    is = ["what the mutant has there", "what another one has, for the same reason"]
    why = "a sentence: no one can tell them from the reference, since ..."

`was` and `is`, which may be one text, are as `nest verify --mutate` prints them. A line that is
also listed by

    [[unreached]]
    file = "vmm/pager/load_page.cc"
    line = "the line, white space folded"
    why = "..."

is one that `nest verify --coverage` finds without a test. What is made of that line needs no entry
more.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader import CannotRun

FOLDER = "solutions-private/survivors"


@dataclass(frozen=True)
class Listed:
    """One lab's file."""

    path: Path
    survivors: dict[tuple[str, str, str], str]
    """by file, was and is: why"""
    unreached: dict[tuple[str, str], str]
    """by file and line: why"""

    def __contains__(self, key: tuple[str, str, str]) -> bool:
        """Whether this mutant is explained, by file, was and is."""
        return key in self.survivors or key[:2] in self.unreached


def read(root: Path, lab: str) -> Listed:
    """The lab's list; empty if there is none. Raises CannotRun for one that is not as it must
    be."""
    path = root / FOLDER / f"{lab}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Listed(path, {}, {})
    except tomllib.TOMLDecodeError as problem:
        raise CannotRun(f"{path}: {problem}") from problem
    if strange := set(data) - {"survivor", "unreached"}:
        raise CannotRun(f"{path}: '{strange.pop()}' is neither survivor nor unreached")
    return Listed(path, _by(path, data.get("survivor", []), "file", "was", "is"),
                  _by(path, data.get("unreached", []), "file", "line"))


def _by(path: Path, entries: list[dict[str, Any]], *names: str) -> dict[Any, str]:
    """By the texts under these names, the last of which may be a list of them: why."""
    found: dict[Any, str] = {}
    for entry in entries:
        last = entry.get(names[-1])
        for one in last if isinstance(last, list) and last else [last]:
            texts = {**entry, names[-1]: one}
            if set(texts) != {*names, "why"} or not all(
                    isinstance(text, str) and (text or name == "is") for name, text in texts.items()):
                raise CannotRun(f"{path}: an entry wants {', '.join(names)} and why, each a text that is not empty (`is` may "
                                f"be, where all was dropped); it is {entry}")
            found[tuple(" ".join(texts[name].split()) for name in names)] = texts["why"]
    return found
