# SPDX-License-Identifier: MIT
"""Lines of prose have at most 100 columns: they can be read beside the code that they speak of.

In a page, tables, code and drawings are as wide as they must be; what a student writes into a
questions.md, too. In Python, prose is docstrings and comments, in assembly and CMake comments on
lines of their own. C++ is left out: some of its comments are longer still.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from grader.checks import PRIVATE, Finding

Prose = Callable[[Path, list[str]], Iterable[int]]
"""Of a file and its lines, the numbers of those that are prose, from 1."""
COLUMNS = 100
PAGES = ("README.md", "docs/*.md", "handouts/*.md", "labs/*/*.md", f"{PRIVATE}/labs/*/*.md")
ROOMS = ("cmake", "grader", "kern", "vmm", "guest", "labs", PRIVATE)
QUESTIONS = "questions.md"
"""Ours are its quotes, a student's all else."""
FENCE, TABLE, QUOTE = "```", "|", ">"
DRAWING, DRAWING_END = "\\dot", "\\enddot"


def check(root: Path) -> Iterator[Finding]:
    """Every line of prose that is too long."""
    pages = {path: _of_page for place in PAGES for path in root.glob(place)}
    others = {path: prose for room in ROOMS for name, prose in OF_FILES.items()
              for path in (root / room).rglob(name)}
    for path, prose in sorted((pages | others).items(), key=lambda one: one[0]):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number in prose(path, lines):
            if len(lines[number - 1]) > COLUMNS:
                yield Finding(path.relative_to(root).as_posix(), number,
                              f"a line of prose has {len(lines[number - 1])} columns; "
                              f"wanted: at most {COLUMNS}")


def _of_page(path: Path, lines: list[str]) -> Iterator[int]:
    fenced = drawn = False
    for number, line in enumerate(lines, 1):
        text = line.lstrip()
        fenced ^= text.startswith(FENCE)
        drawn |= DRAWING in line
        is_ours = path.name != QUESTIONS or text.startswith(QUOTE)
        if is_ours and not (fenced or drawn or text.startswith(TABLE)):
            yield number
        drawn &= DRAWING_END not in line


def _of_python(path: Path, lines: list[str]) -> Iterable[int]:
    found = {number for number, line in enumerate(lines, 1) if line.lstrip().startswith("#")}
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:  # which the check of arrows finds
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sorted(found)


def _behind(mark: str) -> Prose:
    return lambda path, lines: [
        number for number, line in enumerate(lines, 1) if line.lstrip().startswith(mark)]


OF_FILES: dict[str, Prose] = {"*.py": _of_python, "*.S": _behind("//"), "*.inc": _behind("//"),
                              "*.cmake": _behind("#"), "CMakeLists.txt": _behind("#")}
