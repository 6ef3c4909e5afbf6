# SPDX-License-Identifier: MIT
"""A platform's CSV file, of which some cells are written anew and every other byte stays as it is.

Python's csv module reads such files and forgets how they were written: quotes, line ends, a byte
order mark. A platform may care, and a teacher who compares the two files does.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun, UsageError

LARGEST = 64 << 20
DELIMITERS = (",", ";", "\t")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that begins so for a formula."""
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_OLD_ENCODING = "cp1252"
"""What a file without a mark is that is not UTF-8: Excel's, on most of the machines where somebody
saved it again."""


@dataclass(frozen=True)
class Cell:
    """One cell: what it says, and where it stands in the text."""

    value: str
    start: int
    end: int
    quoted: bool


class Table:
    """A CSV file in memory. Row 0 is the header."""

    def __init__(self, data: bytes, name: str) -> None:
        """Raises UsageError for what is no table. `name` is the file's, for messages."""
        self.name = name
        self._mark, self._encoding, self._text = _decoded(data, name)
        first = next(iter(_records(self._text, ",", only=1)), [])
        head = self._text[:first[-1].end] if first else ""
        # A quoted comma in the header is rarer than a file with another delimiter.
        self.delimiter = max(DELIMITERS, key=lambda one: len(next(iter(_records(head or self._text, one, only=1)), [])))
        self.rows = list(_records(self._text, self.delimiter))
        if not self.rows or len(self.rows[0]) < 2:
            raise UsageError(f"{name} is no table with a header\n  mend: export it from the platform again, as CSV")
        self._new: dict[tuple[int, int], str] = {}

    @property
    def header(self) -> list[str]:
        return [cell.value for cell in self.rows[0]]

    def column(self, title: str) -> int | None:
        """The one column with this title, whatever spaces stand around it. Raises UsageError if
        there are several."""
        found = [index for index, one in enumerate(self.header) if one.strip() == title.strip()]
        if len(found) > 1:
            raise UsageError(f"{self.name} has {len(found)} columns '{title}'")
        return found[0] if found else None

    def value(self, row: int, column: int) -> str:
        """What a cell says; empty where the row ends before it."""
        return self.rows[row][column].value if column < len(self.rows[row]) else ""

    def has(self, row: int, column: int) -> bool:
        """Whether the row reaches to the column."""
        return column < len(self.rows[row])

    def write_number(self, row: int, column: int, number: str) -> None:
        """Puts a number into a cell, as a number."""
        self._new[row, column] = f'"{number}"' if self.rows[row][column].quoted else number

    def write_text(self, row: int, column: int, text: str) -> None:
        """Puts words into a cell. No spreadsheet takes them for a formula."""
        guarded = f"'{text}" if text.startswith(FORMULA) else text
        self._new[row, column] = '"' + guarded.replace('"', '""') + '"'

    def data(self) -> bytes:
        """The file with what was written. Raises CannotRun where its encoding lacks a character."""
        parts, at = [], 0
        for (row, column), text in sorted(self._new.items()):
            cell = self.rows[row][column]
            parts += [self._text[at:cell.start], text]
            at = cell.end
        text = "".join([*parts, self._text[at:]])
        try:
            return self._mark + text.encode(self._encoding)
        except UnicodeEncodeError as error:
            raise CannotRun(f"{self.name} is {self._encoding} and cannot hold {text[error.start]!r}\n"
                            "  mend: export it from the platform as UTF-8") from None


def read(path: Path) -> Table:
    """The platform's file. Raises UsageError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than {LARGEST >> 20} MiB: that is no class")
    return Table(data, str(path))


def _decoded(data: bytes, name: str) -> tuple[bytes, str, str]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return mark, encoding, data[len(mark):].decode(encoding)
            except UnicodeDecodeError:
                raise UsageError(f"{name} says that it is {encoding}, and is not\n  mend: export it again") from None
    for encoding in ("utf-8", _OLD_ENCODING, "latin-1"):
        try:
            return b"", encoding, data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 has all bytes")


def _records(text: str, delimiter: str, only: int = 0) -> list[list[Cell]]:
    """The rows with their cells [RFC 4180]; lines end with LF, CR LF or CR. Empty lines are no
    rows."""
    rows: list[list[Cell]] = []
    row: list[Cell] = []
    at = 0
    while at < len(text):
        start = at
        if text[at] == '"':
            value, at = _quoted(text, at)
            tail = at
            while at < len(text) and text[at] not in (delimiter, "\n", "\r"):
                at += 1
            cell = Cell(value + text[tail:at], start, at, True)
        else:
            while at < len(text) and text[at] not in (delimiter, "\n", "\r"):
                at += 1
            cell = Cell(text[start:at], start, at, False)
        row.append(cell)
        if at < len(text) and text[at] == delimiter:
            at += 1
            if at == len(text) or text[at] in "\n\r":
                row.append(Cell("", at, at, False))
            else:
                continue
        at += 2 if text[at:at + 2] == "\r\n" else 1
        if len(row) > 1 or row[0].end > row[0].start:
            rows.append(row)
        row = []
        if only and len(rows) == only:
            break
    return rows


def _quoted(text: str, at: int) -> tuple[str, int]:
    """A value in quotes, and where it ends: behind the closing quote, or at the end of the text."""
    value = []
    at += 1
    while (end := text.find('"', at)) >= 0:
        value.append(text[at:end])
        at = end + 1
        if text[at:at + 1] != '"':
            return "".join(value), at
        value.append('"')
        at += 1
    return "".join(value) + text[at:], len(text)
