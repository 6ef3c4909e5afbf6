# SPDX-License-Identifier: MIT
"""Answers that are alike, by Debian's similarity-tester: a hint where a person may look, never a
verdict.

What stands in the task's stub is taken out of each answer first, and its comments. Tasks whose
answers are short are left out: there is only one way to write three lines. What is the same then is
told without any tool.
"""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grader.confine import sandbox
from grader.course.lab import Lab
from grader.overview.gathered import Class

TOOL = "sim_c++"
LEAST_TOKENS = 120
"""of an answer without its stub's lines and its comments: less means little"""
LARGEST = 128 << 10
LEAST_PERCENT = 60
SHOWN = 20
SECONDS = 300.0
"""for one task; 300 answers that all differ take about a minute"""
RUN = 16
"""tokens in a row that count"""
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d[\w.']*|[^\s\w]")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_LINE = re.compile(r"^(\d+)\.cc consists for (\d+) % of (\d+)\.cc material$", re.MULTILINE)


@dataclass(frozen=True)
class Pair:
    """Two contents that are alike."""

    one: tuple[int, ...]
    """whose: places among the class's entries"""
    two: tuple[int, ...]
    percent: int
    """of the shorter relation: that much of each is in the other"""


@dataclass(frozen=True)
class Alike:
    """What was found of one task."""

    task: str
    file: str
    compared: int
    """how many contents that differ"""
    same: tuple[tuple[int, ...], ...]
    """groups with the same lines"""
    pairs: tuple[Pair, ...]
    median: float
    """of all pairs: what two answers to this task have in common anyway"""
    why_not: str = ""
    """why no pairs could be looked for"""


def look(found: Class, lab: Lab, folder_of: Callable[[str], Path], root: Path) -> list[Alike]:
    """Looks at each task whose answers are long enough. `folder_of`: where the files of a content
    are kept."""
    return [alike for task in lab.tasks if not task.file.endswith(".S")
            if (alike := _task(found, task.id, task.file, folder_of, root)) is not None]


def _task(found: Class, task: str, file: str, folder_of: Callable[[str], Path], root: Path) -> Alike | None:
    stub = _text(root / file)
    texts: dict[str, str] = {}
    """by digest of the file"""
    whose: dict[str, list[int]] = {}
    """by text"""
    for place, one in enumerate(found.entries):
        digest = one.files.get(file)
        if digest is not None:
            if digest not in texts:
                texts[digest] = without(_text(folder_of(one.digest) / file), stub)
            whose.setdefault(texts[digest], []).append(place)
    long = [text for text in whose if tokens(text) >= LEAST_TOKENS]
    if not long:
        return None
    same = tuple(tuple(whose[text]) for text in long if len(whose[text]) > 1)
    if len(long) < 2:
        return Alike(task, file, len(long), same, (), 0) if same else None
    if not shutil.which(TOOL):
        return Alike(task, file, len(long), same, (), 0, "similarity-tester is not installed; Debian 12 has it, and Debian 13 does not")
    percents, why = compare(long)
    both = {(a, b): min(percent, percents.get((b, a), 0)) for (a, b), percent in percents.items() if a < b}
    count = len(long) * (len(long) - 1) // 2
    pairs = sorted((Pair(tuple(whose[long[a]]), tuple(whose[long[b]]), percent) for (a, b), percent in both.items()
                    if percent >= LEAST_PERCENT), key=lambda pair: -pair.percent)
    median = statistics.median([*both.values(), *[0] * (count - len(both))])
    return Alike(task, file, len(long), same, tuple(pairs[:SHOWN]), median, why)


def compare(texts: list[str]) -> tuple[dict[tuple[int, int], int], str]:
    """How many percent of a text are in another one, by their numbers; and why that is not known,
    if so."""
    with tempfile.TemporaryDirectory(prefix="nest-alike-") as place:
        folder = Path(place)
        for number, text in enumerate(texts):
            (folder / f"{number}.cc").write_text(text, encoding="utf-8")
        names = "".join(f"{number}.cc\n" for number in range(len(texts)))
        done = sandbox.run([shutil.which(TOOL) or TOOL, "-p", "-e", "-a", "-s", "-T", "-t", "1", "-r", str(RUN), "-i"],
                           timeout=SECONDS, cwd=folder, readable=[folder], stdin=names.encode(), output_bytes=64 << 20)
    if not done.ok:
        return {}, f"{TOOL} {done.ended()}"
    return {(int(one), int(two)): int(percent) for one, percent, two in _LINE.findall(done.stdout)}, ""


def without(text: str, stub: str) -> str:
    """The text without comments and without the lines that stand in the stub."""
    known = {" ".join(line.split()) for line in _COMMENT.sub("", stub).splitlines()}
    lines = (" ".join(line.split()) for line in _COMMENT.sub("", text).splitlines())
    return "\n".join(line for line in lines if line not in known) + "\n"


def tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


def _text(path: Path) -> str:
    """A file's text; empty where it is missing, too large, or no plain file."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return ""
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    except OSError:
        return ""
