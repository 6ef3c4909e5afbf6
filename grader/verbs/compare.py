# SPDX-License-Identifier: MIT
"""`nest compare`: which verdicts differ between two gradings of a class."""

from __future__ import annotations

from pathlib import Path

import click

from grader import DONE, POINTS_MISSING, UsageError
from grader.batch.compare import by_test, changes
from grader.batch.store import opened

_RESULTS = click.Path(exists=True, file_okay=False, path_type=Path)
SHOWN = 12


@click.command(short_help="Show which verdicts differ between two gradings of a class.")
@click.argument("old", type=_RESULTS)
@click.argument("new", type=_RESULTS)
@click.option("--all", "everything", is_flag=True, help="Show every test that differs, however many.")
def command(old: Path, new: Path, everything: bool) -> int:
    """Show which verdicts a mended test or contract changes: OLD and NEW are folders that grade-all
    wrote.

    Ends with 0 if no verdict differs, and with 1 if some do.
    """
    with opened(old) as before, opened(new) as after:
        if before.meta("lab") != after.meta("lab"):
            raise UsageError(f"{old} is about {before.meta('lab')}, and {new} about {after.meta('lab')}")
        found = list(changes(before, after))
        count = sum(1 for _ in after.rows())
    for one in found:
        print(f"{one.student}: {one.before} before, {one.after} now")
        shown = one.lines if everything else one.lines[:SHOWN]
        print(*(f"  {line}" for line in shown), sep="\n", end="\n" if shown else "")
        if len(one.lines) > len(shown):
            print(f"  and {len(one.lines) - len(shown)} more; --all shows them")
    tests = by_test(found)
    if tests:
        print("by test:")
        print(*(f"  {name}: {number} student{'s' * (number != 1)}" for name, number in tests.most_common()), sep="\n")
    print(f"{len(found)} of {count} students differ")
    return POINTS_MISSING if found else DONE
