# SPDX-License-Identifier: MIT
"""Terminals of any width: what is printed there is folded at words, and a line that goes on stands
below its text.

A line that is a command to be copied stays whole: the terminal breaks it, and gives it back as one.
In a pipe nothing is folded.
"""

from __future__ import annotations

import io
import re
import shutil
import sys

_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Colours, which have no width."""
_LABEL = re.compile(r" *(?:\S+(?: \S+)*  +)?")
"""What stands before a line's text: its indentation, and a word or two with two spaces at least
behind them."""
_WIDEST_LABEL = 24
_COMMAND = re.compile(r"(?:\./nest|sudo|apt-get|su -c|NEST_\w+=|CXX=|git|podman|docker) ")


def folded(line: str, width: int) -> str:
    """The line in lines of at most ``width`` columns; a word that is longer stays whole."""
    shown = _CODES.sub("", line)
    label = _LABEL.match(shown)
    indent = label.end() if label and label.end() <= _WIDEST_LABEL else len(shown) - len(shown.lstrip(" "))
    if len(shown) <= width or _COMMAND.match(shown, indent):
        return line
    out, column = "", 0
    for gap, word in re.findall(r"( *)([^ ]+)", line):
        size = len(_CODES.sub("", word))
        if column > indent and column + len(gap) + size > width:
            out, column, gap = f"{out}\n{' ' * indent}", indent, ""
        out += gap + word
        column += len(gap) + size
    return out


class Folding(io.TextIOWrapper):
    """A terminal as a stream. What moves the cursor (a progress line) passes as it is."""

    def write(self, text: str, /) -> int:
        if "\r" not in text:
            width = shutil.get_terminal_size().columns
            text = "\n".join(folded(line, width) for line in text.split("\n"))
        return super().write(text)


def fold_terminals() -> None:
    """From now on, standard output and standard error are folded where they are terminals."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty():
            # Whoever asks for the terminal's width asks the stream that was there before.
            setattr(sys, name, Folding(stream.buffer, stream.encoding, stream.errors, line_buffering=True))
