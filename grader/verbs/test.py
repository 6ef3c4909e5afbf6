# SPDX-License-Identifier: MIT
"""`nest test`: the project's own tests, each by its own runner, whose closing line is shown."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

from grader import DONE, POINTS_MISSING, UsageError
from grader.build.schedule import cores
from grader.build.workshop import Progress, workshop
from grader.confine.processes import Child, Limits, stop_all
from grader.course.lab import ROOT, load_all

PYTHON = "/usr/bin/python3"
SHOWN_LINES = 200


@dataclass
class Part:
    """One runner: its output's closing line is what it has to say when all is well."""

    name: str
    says: str
    argv: Callable[[], list[list[str]]]
    fast: bool = True
    long: bool = False
    """only with --long, or by its name"""
    built: bool = False
    """wants the whole tree built, which is a part of its own and comes first"""
    at_once: bool = False
    """its commands run side by side; else one after the other, up to one that fails"""
    beside: int | None = None
    """the niceness with which it runs beside the others; None: it has its turn"""


@dataclass
class Result:
    """What came of a part."""

    part: Part
    passed: bool
    seconds: float
    text: str
    """each runner's closing line, or what a failed one printed"""


def sources(*endings: str) -> list[str]:
    """The tree's own files with these endings, from the root."""
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.name.endswith(endings))
    return sorted(str(path) for path in paths
                  if path.parts[0] != "build" and not path.parts[0].startswith(".")
                  and (ROOT / path).is_file())


STRICT = ("CMAKE_COMPILE_WARNING_AS_ERROR:BOOL=ON",)
"""For the tree's own tests a warning is an error. Elsewhere a newer compiler, with new warnings,
only warns."""

CLANG = ROOT / "build" / "clang"


def _build(folder: str = "build/cmake") -> list[str]:
    return ["ninja", "-C", folder, "-j", str(cores())]


def _python_tests(tests: list[str]) -> list[str]:
    return [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT),
            "--import-mode=importlib", *tests]


KERNELS = ("kern/", "vmm/")
ELSEWHERE = ("labs/", "solutions-private/hidden/", "grader/attacks/", "grader/tests/long/")
"""Where files are named like the grader's tests that a lab's grading or another part runs."""


def _pytest(of_kernels: bool, processes: int = 1) -> list[list[str]]:
    """So many commands, among which the files are dealt out, the large ones first: they take
    longest."""
    files = [name for name in sources(".py")
             if Path(name).name.startswith("test_") and not name.startswith(ELSEWHERE)
             and name.startswith(KERNELS) == of_kernels]
    files.sort(key=lambda name: -(ROOT / name).stat().st_size)
    return [_python_tests(files[at::processes]) for at in range(processes)]


def _ctest(preset: str = "default") -> list[str]:
    return ["ctest", "--preset", preset, "-j", str(cores())]


def _clang() -> list[list[str]]:
    return [["cmake", "--preset", "clang", *(f"-D{setting}" for setting in STRICT)],
            _build(str(CLANG)), _ctest("clang"),
            ["env", f"NEST_BUILD={CLANG}", *_python_tests(["kern/tests/test_boot.py", "vmm/tests/test_boot.py"])],
            ["env", f"NEST_BUILD={CLANG}", *_python_tests(["grader/attacks"]), "-k", GATE_OF_CLANG]]


GATE_OF_CLANG = "generated or references or constructor or inline or ifunc or forged-frame"
"""Right answers, and of the attacks those that show in an object, whose form is the compiler's."""


def _arm64() -> list[list[str]]:
    return [["cmake", "--preset", "arm64"], _build("build/arm64"), _ctest("arm64")]


BUILD = Part("build", "the whole tree", lambda: [_build()])

PARTS = (
    Part("checks", "the arrows between rooms, and what each lab promises",
         lambda: [[PYTHON, "-m", "grader.checks"]]),
    Part("format", "clang-format",
         lambda: [["clang-format-19", "--dry-run", "-Werror", *sources(".cc", ".hh")]]),
    BUILD,
    Part("ctest", "the C++ unit tests", lambda: [_ctest()], built=True),
    Part("lint", "clang-tidy (minutes at first; then only what has changed)",
         lambda: [[PYTHON, "-m", "grader.checks.lint"]], fast=False, beside=19),
    Part("boots", "boots of the kernel", lambda: _pytest(True), fast=False, built=True, beside=0),
    Part("pytest", "the grader's tests, as many processes as there are processors",
         lambda: _pytest(False, cores()), fast=False, built=True, at_once=True),
    Part("attacks", "answers that want points for nothing, and right ones in many styles",
         lambda: [_python_tests(["grader/attacks"])], fast=False, long=True, built=True),
    Part("slurm", "a class graded by a cluster of one node, with Slurm's real daemons",
         lambda: [_python_tests(["grader/tests/long/test_slurm.py"])], fast=False, long=True, built=True),
    Part("killed", "a class's run killed at many moments ends as one that was not",
         lambda: [_python_tests(["grader/tests/long/test_killed.py"])], fast=False, long=True, built=True),
    Part("hung", "what an answer that never ends costs, to each task of the first lab",
         lambda: [_python_tests(["grader/tests/long/test_hung_answers.py"])], fast=False, long=True, built=True),
    Part("wild", "a hundred thousand random instructions in lab 6's guests, and calls of lab 8's kernel",
         lambda: [_python_tests(["grader/tests/long/test_wild.py"])], fast=False, long=True, built=True),
    Part("clang", "all of it built by clang++: the C++ unit tests, boots of the kernel, what the gate lets in", _clang,
         fast=False, long=True),
    Part("reference", "the reference answers of every lab, on all its machines",
         lambda: [[str(ROOT / "nest"), "grade", lab.id, "--reference", "--machine", "all"] for lab in load_all()], fast=False),
    Part("sample", "a few mutants made from the references of every lab: whether a test notices each",
         lambda: [[str(ROOT / "nest"), "verify", "--mutate", "--sample", "3"]], fast=False),
    Part("mutants", "all mutants made from the references of every lab: which ones no test notices",
         lambda: [[str(ROOT / "nest"), "verify", "--mutate"]], fast=False, long=True),
    Part("load", "200 gradings of the references on a host without time: whether a verdict differs (hours)",
         lambda: [["nice", "-n", "15", PYTHON, "-m", "grader.bench.load"]], fast=False, long=True),
    Part("arm64", "built for an arm64 machine; its host tests, the labs' with the reference answers, under qemu-user",
         _arm64, fast=False, long=True),
)


@click.command(short_help="Run the project's own tests.")
@click.option("--fast", is_flag=True, help="Only what is quick: " + ", ".join(
    part.name for part in PARTS if part.fast) + ".")
@click.option("--long", "with_long", is_flag=True, help="Also what takes long: " + ", ".join(
    part.name for part in PARTS if part.long) + ".")
@click.option("--only", multiple=True, metavar="PART", help="Only this part: " + ", ".join(
    part.name for part in PARTS) + ". May be repeated.")
def command(fast: bool, with_long: bool, only: tuple[str, ...]) -> int:
    """Run all of the project's own tests; show each runner's closing line, and at the end how long
    each part took.

    Those that one processor is enough for (boots) run beside the others, and so does what only
    reads the tree (lint), on what the others leave of the processors. The grader's tests are dealt
    out among as many processes as there are processors. There is never more than one emulator for
    each processor. With --fast all is done in less than a minute, once the tree is built.
    """
    names = [part.name for part in PARTS]
    for name in only:
        if name not in names:
            raise UsageError(f"there is no part '{name}'; the parts are: {', '.join(names)}")
    chosen = [part for part in PARTS
              if (part.name in only if only else (part.fast or not fast) and (with_long or not part.long))]
    progress = Progress()
    started = time.monotonic()
    with workshop(progress, STRICT):
        pass
    kit_seconds = time.monotonic() - started
    if BUILD not in chosen and any(part.built for part in chosen):
        chosen.insert(0, BUILD)
    results = []
    if BUILD in chosen:
        progress(f"{BUILD.name}: {BUILD.says}")
        results.append(_shown(_run(BUILD), progress))
        if not results[0].passed:
            chosen = [part for part in chosen if part is BUILD or not part.built]
    others = [part for part in chosen if part is not BUILD]
    beside = [part for part in others if part.beside is not None and len(others) > 1]
    with ThreadPoolExecutor(max(1, len(beside))) as pool:
        pending = [pool.submit(_run, part, ("nice", "-n", str(part.beside))) for part in beside]
        try:
            for part in others:
                if part not in beside:
                    progress(f"{part.name}: {part.says}")
                    results.append(_shown(_run(part), progress))
            for part, one in zip(beside, pending):
                progress(f"{part.name}: {part.says}")
                results.append(_shown(one.result(), progress))
        except KeyboardInterrupt:
            stop_all()  # or the pool waits for what is beside
            raise
    failed = [one.part.name for one in results if not one.passed]
    print(f"nest test: {len(chosen) - len(failed)} of {len(chosen)} parts passed"
          + (f"; failed: {', '.join(failed)}" if failed else ""))
    rows = [(kit_seconds, "kit")]
    rows += [(one.seconds, one.part.name + ", beside the others" * (one.part in beside)) for one in results]
    for seconds, name in rows:
        print(f"{seconds:6.0f} s  {name}")
    return POINTS_MISSING if failed else DONE


def _shown(result: Result, progress: Progress) -> Result:
    """Prints what a part has to say."""
    progress.clear()
    print(result.text, flush=True)
    return result


def _run(part: Part, before: tuple[str, ...] = ()) -> Result:
    """Runs one part; ``before`` are words before each of its commands."""
    started = time.monotonic()
    said: list[str] = []
    passed = True
    commands = part.argv()
    with ThreadPoolExecutor(len(commands)) as pool:
        running = [pool.submit(_command, part, [*before, *argv], argv[0]) for argv in commands] if part.at_once else []
        try:
            for at, argv in enumerate(commands):
                done, lines = running[at].result() if running else _command(part, [*before, *argv], argv[0])
                said += lines
                passed = passed and done
                if not passed and not running:
                    break
        except KeyboardInterrupt:
            stop_all()  # or the pool waits
            raise
    return Result(part, passed, time.monotonic() - started, "\n".join(said))


def _command(part: Part, argv: list[str], program: str) -> tuple[bool, list[str]]:
    """Runs one command of a part: whether it ended with 0, and what is to be shown of it."""
    output = bytearray()
    try:
        with Child(argv, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
                   on_stdout=output.extend, on_stderr=output.extend) as child:
            status = child.wait(Limits())
    except FileNotFoundError:
        status, output = 127, bytearray(f"{program} is not installed\n".encode())
    lines = output.decode("utf-8", "replace").rstrip().splitlines()
    if status != 0:
        return False, [*lines[-SHOWN_LINES:], f"{part.name}: FAILED: {Path(program).name} ended with {status}"]
    if program in ("cmake", "ninja") and part is not BUILD:
        return True, []
    return True, [f"{part.name}: {_closing(lines) or 'nothing to complain about'}"]


def _closing(lines: list[str]) -> str:
    """The line that sums a runner's output up."""
    for line in reversed(lines):
        if " passed" in line or "tests passed" in line or " points for " in line or "% " in line:
            return line.strip()
    return lines[-1].strip() if lines else ""


if __name__ == "__main__":
    sys.exit(command())
