# SPDX-License-Identifier: MIT
"""clang-tidy over every C++ file that is compiled here, once, the way it is compiled.

``python3 -m grader.checks.lint [--build FOLDER] [FILE...]``: the commands come from the build
folder's compile_commands.json, put into clang's words. What was clean is remembered by all that it
was made from (the file, its headers, the command, the checks, the tools), in a folder that all
clones of a user share, so that only what has changed is looked at.

Nearly all of the time goes into the headers of the C++ library and what a macro of GoogleTest
becomes. So a header of ours stands in GoogleTest's place (for_lint/gtest/gtest.h), and files of one
part of a room that are compiled alike are looked at together, as one source. Where there is
anything to say, or they do not compile together (two may have a helper of the same name), each half
is looked at again, down to the file alone: what is shown is what clang-tidy says of a file alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grader.build.cache import Cache, digest
from grader.build.schedule import cores
from grader.checks import PRIVATE, ROOT

TIDY = "clang-tidy-19"
ROOMS = ("kern", "vmm", "guest", "labs", PRIVATE)
LEFT_OUT = (f"{PRIVATE}/mutants",)
"""Wrong on purpose."""

FOR_TESTS = "--checks=-clang-analyzer-*"
"""The sanitizers watch these files run."""

IN_PLACE = Path("grader/checks/for_lint")
"""Headers that stand in the place of others."""
TOGETHER = 8
"""So many files are looked at together, at most."""

KNOWN_BYTES = 1 << 20
"""Of what is remembered: some 30,000 verdicts."""

FOR_CLANG = {
    # Without SSE alone, a long double in the standard headers still has registers to return in.
    "-mgeneral-regs-only": ["-mno-sse", "-mno-mmx"],
    "-fno-tree-loop-distribute-patterns": [],
    "-Werror": [],
}
"""What GCC's words are in clang's."""

_FINDING = re.compile(r"^(?P<place>[^\s:][^:\n]*:\d+:\d+): (?:warning|error|fatal error): ", re.MULTILINE)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """One source file with the command that compiles it."""

    path: str
    """from the root"""
    command: tuple[str, ...]
    """for clang, without the file and without its output"""

    @property
    def is_test(self) -> bool:
        return self.path.endswith("_test.cc")


class CannotRun(Exception):
    """There is nothing to look at, or nothing to look with; the text names the mend."""


def units(root: Path, commands: list[dict[str, str]]) -> list[Unit]:
    """One unit for each source of the rooms, in the flavour that a reader means: the kernel's, or
    else an ordinary process's. A file that only students compile (a stub, a variant) is taken as
    the kernel's.
    """
    chosen: dict[str, tuple[int, tuple[str, ...]]] = {}
    for entry in commands:
        path = Path(entry["file"])
        if path.suffix != ".cc" or not path.is_relative_to(root):
            continue
        argv = shlex.split(entry["command"])
        rank = 0 if "-mcmodel=kernel" in argv else 2 if "-fsanitize=thread" in argv else 1
        name = path.relative_to(root).as_posix()
        if name not in chosen or rank < chosen[name][0]:
            chosen[name] = (rank, _for_clang(argv, entry["file"]))
    kernel = next((command for rank, command in chosen.values() if rank == 0), None)
    found = []
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.cc")):
            name = path.relative_to(root).as_posix()
            if any(name.startswith(folder + "/") for folder in LEFT_OUT):
                continue
            command = chosen[name][1] if name in chosen else kernel
            if command is None:
                raise CannotRun(f"{name}: no command compiles it, and none compiles for the kernel")
            found.append(Unit(name, command))
    # Tests take longest: what is begun last should be short.
    return sorted(found, key=lambda unit: not unit.is_test)


def _for_clang(argv: list[str], source: str) -> tuple[str, ...]:
    start = next(i for i, word in enumerate(argv) if word.startswith("-"))  # after ccache and c++
    result = []
    words = iter(argv[start:])
    for word in words:
        if word == "-o":
            next(words)
        elif word not in ("-c", source):
            result += FOR_CLANG.get(word, [word])
    return tuple(result)


class Reader:
    """The files' contents and what they include, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.text = cache(self._text)

    def _text(self, name: str) -> str:
        try:
            return (self.root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def closure(self, name: str) -> list[str]:
        """The file and every header of the tree that it may reach."""
        seen = {name}
        waiting = [name]
        while waiting:
            for target in _INCLUDE.findall(self.text(waiting.pop())):
                if target not in seen and (self.root / target).is_file():
                    seen.add(target)
                    waiting.append(target)
        return sorted(seen)


class Linter:
    """Looks at units, at most one for each core at a time."""

    def __init__(self, root: Path, known: Cache) -> None:
        self.root = root
        self.known = known
        self._files = Reader(root)
        # The C++ library's headers come with the compiler.
        self._version = [_output([TIDY, "--version"]), _output(["c++", "--version"]), self._files.text(str(IN_PLACE / "gtest/gtest.h"))]
        self._checks = self._files.text(".clang-tidy")
        self._lock = threading.Lock()
        self._shown: set[str] = set()

    def key(self, unit: Unit) -> str:
        """Names all that a verdict on the unit is made from."""
        files = [(name, self._files.text(name)) for name in self._files.closure(unit.path)]
        # The command names the root (-I); two trees with the same files should share a verdict.
        command = [word.replace(str(self.root), "") for word in unit.command]
        return digest("lint", FOR_TESTS, self._version, self._checks, command, files)

    def is_known(self, unit: Unit) -> bool:
        """Whether the unit was clean before, as it is now."""
        return self.known.get(self.key(unit)) is not None

    def check(self, units: list[Unit]) -> list[str]:
        """What is wrong in units that are compiled alike, each finding with its place and its
        check's name."""
        first, *others = units
        with self.known.workplace() as folder:
            source = self.root / first.path
            if others:
                # Their text and no #include: the analyzer follows paths in the file itself alone.
                source = folder / ("all_test.cc" if first.is_test else "all.cc")
                source.write_text("\n".join(self._files.text(unit.path) for unit in units), encoding="utf-8")
            done = subprocess.run(
                [TIDY, "--quiet", f"--config-file={self.root / '.clang-tidy'}",
                 *([FOR_TESTS] if first.is_test else []), str(source), "--",
                 "-isystem", str(self.root / IN_PLACE), *first.command],
                cwd=self.root, text=True, capture_output=True, check=False, errors="replace")  # fmt: skip
            if done.returncode == 0:
                for unit in units:
                    clean = folder / "clean"
                    clean.write_text(unit.path)
                    self.known.put(self.key(unit), clean)
        if others and done.returncode != 0:
            half = len(units) // 2
            return self.check(units[:half]) + self.check(units[half:])
        found = self._new(done.stdout.replace(f"{self.root}/", ""))
        if done.returncode != 0 and not _FINDING.search(done.stdout):
            found = [f"{first.path}:1:1: error: {TIDY} ended with {done.returncode}:\n{done.stderr}"]
        return found

    def _new(self, output: str) -> list[str]:
        """The findings that no other unit has shown: a header's come with each file that includes
        it."""
        starts = [match.start() for match in _FINDING.finditer(output)]
        blocks = [output[a:b].rstrip() for a, b in zip(starts, [*starts[1:], len(output)])]
        with self._lock:
            fresh = [block for block in dict.fromkeys(blocks) if block not in self._shown]
            self._shown.update(fresh)
        return fresh


def _output(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, text=True, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as problem:
        raise CannotRun(f"{argv[0]} does not run ({problem}): ./nest setup installs it") from None


def lint(root: Path, build: Path, known: Cache, only: Iterable[str] = (),
         show: Callable[[str], None] = print) -> int:  # fmt: skip
    """Looks at all units, or those named; shows findings as they come, and returns how many there
    are."""
    database = build / "compile_commands.json"
    try:
        commands = json.loads(database.read_text())
    except (OSError, ValueError) as problem:
        raise CannotRun(f"{database}: {problem}: configure first: cmake --preset default") from None
    chosen = units(root, commands)
    if wanted := set(only):
        chosen = [unit for unit in chosen if unit.path in wanted]
        if missing := wanted - {unit.path for unit in chosen}:
            raise CannotRun(f"no such source: {', '.join(sorted(missing))}")
    linter = Linter(root, known)
    anew = [unit for unit in chosen if not linter.is_known(unit)]
    count = 0
    with ThreadPoolExecutor(cores()) as pool:
        for found in pool.map(linter.check, together(anew)):
            for finding in found:
                count += 1
                show(finding)
    verdict = f"{count} findings" if count else "nothing found"
    show(f"clang-tidy: {len(chosen)} files, {len(anew)} of them looked at anew: {verdict}")
    return count


def together(units: list[Unit]) -> list[list[Unit]]:
    """The units in groups of one part of a room that are compiled alike. In none are two files of
    one name: those would answer the same task. Tests come first, since they take longest."""
    groups: dict[tuple[object, ...], list[list[Unit]]] = {}
    for unit in sorted(units, key=lambda unit: not unit.is_test):
        name = Path(unit.path).name
        alike = groups.setdefault((unit.is_test, Path(unit.path).parent.parts[:2], unit.command), [])
        group = next((one for one in alike if len(one) < TOGETHER
                      and name not in {Path(other.path).name for other in one}), None)
        if group is None:
            alike.append(group := [])
        group.append(unit)
    return [group for alike in groups.values() for group in alike]


def known_here() -> Cache:
    """What was clean before, in this tree or another one of this user's."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    try:
        known = Cache(home / "nestling" / "lint")
        known.trim(KNOWN_BYTES, 3600)
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        known = Cache(ROOT / "build" / "cache")
    return known


def main(argv: list[str] | None = None) -> int:
    """Ends with 0: clean, 1: there are findings, 3: cannot run."""
    parser = argparse.ArgumentParser(prog="lint", description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "cmake", metavar="FOLDER")
    parser.add_argument("files", nargs="*", metavar="FILE", help="look at these only (from the root)")
    options = parser.parse_args(argv)
    try:
        return 1 if lint(ROOT, options.build, known_here(), options.files) else 0
    except CannotRun as problem:
        print(f"lint: {problem}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
