# SPDX-License-Identifier: MIT
"""`nest update`: takes over a newer release."""

from __future__ import annotations

import click

from grader.course.lab import ROOT
from grader.student.updating import update

MOST_LINES = 40


@click.command(short_help="Take over a newer release; your answers stay as they are.")
@click.argument("source", metavar="FROM")
def command(source: str) -> int:
    """Take over the newest release of FROM: the folder or the address where staff keep the
    releases.

    The files of your answers are never touched. Other files that you changed are merged; where that
    is not possible, your version is kept as FILE.mine. Nothing is committed.
    """
    done = update(source, ROOT)
    if done.before.number == done.after.number:
        print(f"this is release {done.after.number} already, the newest one")
        return 0
    print(f"release {done.before.number} is release {done.after.number} now, until {done.after.until}: "
          f"{len(done.changed)} files changed, {len(done.removed)} removed; your answers are as they were")
    for name, kept in done.conflicts.items():
        print(f"  {name}: you changed the same place as the release. The release's file is there now; yours is {kept}" if kept
              else f"  {name}: you removed it, and the release has changed it: it is there again")
    for name, difference in done.stubs.items():
        print(f"  {name}: the release has another stub now; look if the function's first line or a contract changed:")
        print("\n".join(f"    {line}" for line in difference.splitlines()[:MOST_LINES]))
    print("next: ./nest setup, and commit what changed")
    return 0
