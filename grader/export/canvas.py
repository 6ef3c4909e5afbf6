# SPDX-License-Identifier: MIT
"""Canvas's gradebook: the file that it exports, with one assignment's column filled in.

Canvas reads it back [instructure/canvas-lms, lib/gradebook_importer.rb]: the first row is the
header, with "ID", and mostly "SIS User ID" and "SIS Login ID"; an assignment's column is called by
its title and its id in brackets. The rows before the students say what an assignment is ("Points
Possible", "Manual Posting").
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from grader import UsageError
from grader.batch.store import Row
from grader.export.gradebook import Filled, Say, fill, parsed, places
from grader.export.submissions import number
from grader.export.table import Table

IDS = ("ID", "SIS User ID", "SIS Login ID", "Integration ID")
KEPT = {"EX": "Canvas says that the student is excused", "N/A": "Canvas says that it is not for this student"}
_ASSIGNMENT = re.compile(r".* \(([0-9]+)\)\s*")
_POSSIBLE = "Points Possible"


def filled(table: Table, wanted: str, submissions: Iterable[Row], most: float, say: Say) -> Filled:
    """Fills in the assignment's column: `wanted` is its title, with or without Canvas's number, or
    the number alone.

    `most`: the lab's points. Raises UsageError if the file is no gradebook, or has no such
    assignment.
    """
    if table.column("ID") is None or table.column("Section") is None:
        raise UsageError(f"{table.name} is no gradebook of Canvas: it has no columns 'ID' and 'Section'\n"
                         "  mend: Gradebook, Export, Export Entire Gradebook")
    column = _column(table, wanted)
    rows = [row for row in range(1, len(table.rows)) if not _is_about_assignments(table, row)]
    possible = [parsed(table.value(row, column)) for row in range(1, len(table.rows)) if _POSSIBLE in table.value(row, 0)]
    if possible and possible[0] is not None and possible[0] != most:
        say(f"Canvas gives {number(possible[0])} points for '{table.header[column]}', and the lab has {number(most)}: "
            "points are written as they are")
    ids = [(index, str.strip) for name in IDS if (index := table.column(name)) is not None]
    return fill(table, places(table, rows, ids), column, submissions, say, keep=lambda value: KEPT.get(value.upper(), ""))


def _column(table: Table, wanted: str) -> int:
    found = []
    for index, title in enumerate(table.header):
        assignment = _ASSIGNMENT.fullmatch(title)
        if assignment and wanted.strip() in (title.strip(), title[:assignment.start(1) - 2].strip(), assignment[1]):
            found.append(index)
    if len(found) == 1:
        return found[0]
    known = "; ".join(title for title in table.header if _ASSIGNMENT.fullmatch(title))
    raise UsageError(f"{table.name} has {'no' if not found else 'several'} assignments '{wanted}'; it has: {known or 'none'}\n"
                     "  mend: --column with the number in brackets")


def _is_about_assignments(table: Table, row: int) -> bool:
    """Whether a row says what assignments are, and is no student's."""
    return _POSSIBLE in table.value(row, 0) or not any(cell.value.strip() for cell in table.rows[row][:4])
