# SPDX-License-Identifier: MIT
"""Moodle's offline grading worksheet: the file that it exports, with grades and feedback comments
filled in.

Moodle reads it back [moodle/moodle, mod/assign/feedback/offline/importgradeslib.php]: it finds a
student by the number at the end of "Identifier", looks at "Grade", "Last modified (grade)" and
feedback's columns, and takes no grade that is larger than the assignment's. Titles are in the
site's language.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from grader import UsageError
from grader.batch.store import Row
from grader.export.feedback import summary
from grader.export.gradebook import Filled, Say, fill, parsed, places
from grader.export.table import Table

IDENTIFIER, GRADE, MOST, COMMENTS = "Identifier", "Grade", "Maximum Grade", "Feedback comments"
OTHER_IDS = ("ID number", "Email address", "Username")


def filled(table: Table, titles: tuple[str, str, str], submissions: Iterable[Row], say: Say) -> Filled:
    """Fills in grades and, where the worksheet has them, comments. Raises UsageError if it is no
    worksheet.

    `titles`: those of the identifier, of the grade and of the comments, on a site that is not in
    English.
    """
    identifier, grade, comments = (table.column(title) for title in titles)
    if identifier is None or grade is None:
        raise UsageError(f"{table.name} has no columns '{titles[0]}' and '{titles[1]}'; it has: {'; '.join(table.header)}\n"
                         "  mend: the assignment, View all submissions, Download grading worksheet; on a site in another "
                         "language --id-column, --column and --comments name them")
    ids = [(identifier, _number), *((index, str.strip) for name in OTHER_IDS if (index := table.column(name)) is not None)]
    most = table.column(MOST)

    def limit(row: int) -> float | None:
        return None if most is None else parsed(table.value(row, most))

    def comment(row: int, one: Row) -> None:
        if comments is not None and table.has(row, comments) and one.attempt and one.attempt.for_students:
            table.write_text(row, comments, as_html(summary(one.attempt.for_students)))

    return fill(table, places(table, range(1, len(table.rows)), ids), grade, submissions, say, most=limit, also=comment)


def as_html(lines: list[str]) -> str:
    """The lines as Moodle's editor keeps text: HTML, of which none is the student's."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _number(identifier: str) -> str:
    """`Participant 123`, in any language, as 123."""
    found = re.search(r"([0-9]+)\s*$", identifier)
    return found[1] if found else ""
