# SPDX-License-Identifier: MIT
"""The gate: the one door by which what comes from outside gets in, before anything compiles, links
or shows it.

A refusal is a finding with file and line. The task is worth 0 then, and the others are judged.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A rule that an answer breaks."""

    line: int
    """of the answer's file; 0: of the file as a whole, or of its object"""
    text: str
    """what is there, the rule, and the mend"""


class Refused(Exception):
    """The gate lets nothing through; the first argument is the list of findings."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(findings)
        self.findings = findings


@dataclass(frozen=True)
class Passed:
    """What the gate let through."""

    for_staff: tuple[str, ...] = ()
    """what a person may want to look at, and what costs no points"""
