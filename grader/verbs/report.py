# SPDX-License-Identifier: MIT
"""`nest report`: a class's results on one page for staff."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from grader.batch.store import opened
from grader.course import lab as labs_module
from grader.course.lab import ROOT
from grader.overview import gathered, page, similar
from grader.verbs.output import write


@click.command(short_help="Show a class's results on one page for staff.")
@click.option("--results", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="RESULTS",
              help="The folder that `nest grade-all --out` wrote.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="HTML",
              help="The page. Best inside RESULTS: its links to the evidence are relative.")
def command(results: Path, out: Path) -> None:
    """Write one HTML page with what staff want to see of a class: points, where it is stuck,
    students by tests, each test's figures, what is slow, unstable or not judged, findings, and
    answers that are alike.

    It needs no network and no script. It holds students' names and words: keep it as you keep
    grades.
    """
    with opened(results) as store:
        found = gathered.gather(store, out)
        alike = similar.look(found, labs_module.find(store.meta("lab")), store.handed_in, ROOT)
    made = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    write(str(out), page.render(found, alike, f"Made {made} from {results.resolve().name}."))
    print(f"{out}: {len(found.graded)} results of {len(found.entries)} submissions, {out.stat().st_size >> 10} KiB")
