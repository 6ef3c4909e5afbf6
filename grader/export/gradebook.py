# SPDX-License-Identifier: MIT
"""Points into a platform's own table: who is who, and what stays as it is.

A student is found by the platform's ids alone, never by a name. Whoever is not found, or found
twice, is told and gets nothing; so does whoever has no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from grader.batch.store import Row
from grader.export.submissions import no_verdict, number, shown, students
from grader.export.table import Table

Say = Callable[[str], None]
"""Tells staff one thing in a line."""


class Filled:
    """What came of filling a table in."""

    def __init__(self) -> None:
        self.written = 0
        self.changed = 0
        """of them: cells that had other points before"""
        self.left_out = 0
        """submissions without a verdict"""


def places(table: Table, rows: Iterable[int], columns: Sequence[tuple[int, Callable[[str], str]]]) -> dict[str, list[int]]:
    """The rows of the table by each id that stands in one of the columns, as the column's function
    reads it."""
    found: dict[str, list[int]] = {}
    for row in rows:
        for column, read in columns:
            name = read(table.value(row, column))
            if name and row not in found.setdefault(name, []):
                found[name].append(row)
    return found


def fill(table: Table, by_id: dict[str, list[int]], column: int, submissions: Iterable[Row], say: Say, *,
         keep: Callable[[str], str] = lambda value: "", most: Callable[[int], float | None] = lambda row: None,
         also: Callable[[int, Row], None] = lambda row, one: None) -> Filled:
    """Writes each student's points into the column.

    `keep`: why a cell with this value must stay as it is, if so. `most`: the largest number that
    the platform takes in a row. `also`: what else is written there.
    """
    done = Filled()
    seen: dict[int, str] = {}
    for one in submissions:
        why = no_verdict(one)
        for student in students(one):
            who = f"{shown(student)}{f' ({shown(one.name)})' if one.name and not one.members else ''}"
            there = by_id.get(student, [])
            if len(there) != 1:
                say(f"{who}: {'in no row' if not there else 'in several rows'} of {table.name}; nothing was written")
                continue
            row = there[0]
            if row in seen:
                say(f"{who}: {shown(seen[row])} is in the same row of {table.name}; only the first one's points are there")
                continue
            seen[row] = student
            if why:
                done.left_out += 1
                say(f"{who}: {why}; the cell stays as it is")
                continue
            attempt = one.attempt
            assert attempt is not None and attempt.score is not None
            if not table.has(row, column):
                say(f"{who}: the row of {table.name} ends before the column; nothing was written")
            elif reason := keep(table.value(row, column).strip()):
                say(f"{who}: {reason}; the cell stays as it is")
            elif (limit := most(row)) is not None and attempt.score > limit:
                say(f"{who}: {number(attempt.score)} points are more than the platform's {number(limit)}; nothing was written")
            else:
                done.written += 1
                if attempt.pending:
                    say(f"{who}: {number(attempt.pending)} points are for answers that nobody has read yet, and are not in it")
                done.changed += _differs(table.value(row, column), attempt.score)
                table.write_number(row, column, number(attempt.score))
                also(row, one)
    for row in sorted({row for rows in by_id.values() for row in rows} - seen.keys()):
        name = next(name for name, rows in by_id.items() if row in rows)
        say(f"{shown(name)}: in {table.name} and not among the submissions; the cell stays as it is")
    return done


def parsed(text: str) -> float | None:
    """A platform's number, with a decimal point or comma; None if it is none."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None


def _differs(before: str, score: float) -> bool:
    return bool(before.strip()) and parsed(before) != score
