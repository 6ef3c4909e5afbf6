# SPDX-License-Identifier: MIT
"""`nest bench`: what README says of speed, measured."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable

import click

from grader.bench.classes import NAMES, SUBMISSIONS, grading_a_class
from grader.bench.edit import grade_after_edit
from grader.bench.measure import MEASUREMENTS, Row
from grader.build.workshop import Progress, workshop
from grader.verbs.output import write


@click.command(short_help="Measure what README promises.")
@click.option("--json", "json_file", metavar="FILE", help="Write the rows as JSON; - is standard output.")
@click.option("-k", "keyword", metavar="TEXT", default="", help="Only rows whose names contain TEXT.")
@click.option("--submissions", type=click.IntRange(1), default=SUBMISSIONS, show_default=True, help="How large the class is that "
              "is graded.")
def command(json_file: str | None, keyword: str, submissions: int) -> int:
    """Measure, both sides of each row in one run, and print medians.

    Ends with 0 also where a bound is missed: a table is a measurement, not a test.
    """
    progress = Progress()
    rows = []
    with workshop(progress) as kit:
        for names, measure in MEASUREMENTS:
            if any(keyword in name for name in names):
                rows += [row for row in measure(kit, progress) if keyword in row.name]
    rows += grade_after_edit(progress, keyword)
    if any(keyword in name for name in NAMES):
        rows += grading_a_class(progress, submissions, keyword)
    progress.clear()
    if json_file:
        write(json_file, json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
    show(rows, to_stderr=json_file == "-")
    return 0


def show(rows: Iterable[Row], to_stderr: bool) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="medians, both sides of a row in one run", title_justify="left")
    for heading in ("row", "what", "median", "against", "median", "ratio", "bound", ""):
        table.add_column(heading, justify="right" if heading in ("median", "ratio", "bound") else "left")
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound:g}x"
        table.add_row(row.name, row.what, _number(row.ours, row.unit), row.against,
                      _number(row.theirs, row.unit), f"{row.ratio:.2f}x", bound, row.verdict)
    stream = sys.stderr if to_stderr else sys.stdout
    Console(file=stream, width=None if stream.isatty() else 160).print(table)


def _number(samples: tuple[float, ...], unit: str) -> str:
    median = statistics.median(samples)
    return f"{median:.0f} {unit}" if median >= 100 else f"{median:.2f} {unit}"
