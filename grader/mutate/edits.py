# SPDX-License-Identifier: MIT
"""One change to one file, as a mutant is made of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Puts `new` in the place of the characters from `begin` to before `end`. No edit changes the
    number of lines, so that what knows lines (a panic, debug information) stays as it was."""

    begin: int
    end: int
    new: str
    what: str
    """the kind of mistake, in a few words"""
    milder: Edit | None = None
    """this one is tried only if that one survives, since whatever notices that one notices this
    one"""

    def apply(self, text: str) -> str:
        """The mutant."""
        old = text[self.begin:self.end]
        new = self.new.replace("\n", " ") + "\n" * (old.count("\n") - 0)
        return text[:self.begin] + new + text[self.end:]

    def line(self, text: str) -> int:
        """Where it begins."""
        return text.count("\n", 0, self.begin) + 1

    def lines(self, text: str) -> tuple[str, str]:
        """The changed lines before and after, each folded into one."""
        first = text.rfind("\n", 0, self.begin) + 1
        last = text.find("\n", self.end)
        last = len(text) if last < 0 else last
        mutant = text[first:self.begin] + self.new + text[self.end:last]
        return _folded(text[first:last]), _folded(mutant)


def _folded(text: str) -> str:
    return " ".join(text.split())
