# SPDX-License-Identifier: MIT
"""The rows of `nest bench` that staff feel: a class of submissions graded by `nest grade-all`.

It is measured in a copy of the tree, whose right answers, told apart by a comment, are the class.
The floor is the same work by hand: the compiler, the linker, the test programs and the boots, on as
many cores.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from grader import CannotRun
from grader.bench.edit import ByHand, boots_used, copied_tree, edited_task
from grader.bench.measure import Row
from grader.build.workshop import Progress
from grader.course import lab as labs
from grader.course.lab import Lab
from grader.testkit.boot import KEEP_MODULES

NAMES = ("class-right", "class-hostile", "class-equal", "class-resume", "class-evidence", "class-slurm")
SUBMISSIONS = 4
"""by default; the bounds are meant for 200 and more"""
EVERY_HOSTILE = 10
RESUME_SECONDS = 2.0
EVIDENCE_BYTES = 2e6


def grading_a_class(progress: Progress, count: int, keyword: str) -> Iterator[Row]:
    """Measures those rows whose names contain the word."""
    lab = max(labs.load_all(), key=lambda one: one.points)
    with copied_tree() as tree:
        progress("grading a copy of the tree for the first time")
        _nest(tree, "grade", lab.id)
        place = tree / "build" / "class"
        place.mkdir()
        one = _Class(tree, lab, place)
        progress(f"grading {count} right submissions")
        right = one.seconds("right", one.answers(range(count)))
        if keyword in "class-right":
            task = edited_task(lab)
            by_hand, modules, edited = ByHand(tree, lab, task), boots_used(tree, lab), tree / task.file
            floor = []
            for number in range(count):
                progress(f"the same by hand [{number + 1}/{count}]")
                edited.write_text(f"{edited.read_text()}// {number}\n")
                floor.append(_timed(lambda: by_hand.judge(modules)))
            yield Row("class-right", f"nest grade-all: {count} right submissions of {lab.id}",
                      "compile, link, run, boot by hand", "s", (right,), (sum(floor),), 1.5)
        if keyword in "class-hostile":
            progress("with every tenth hostile")
            answers = [one.hung(number) if number % EVERY_HOSTILE == 0 else text
                       for number, text in enumerate(one.answers(range(count, 2 * count)))]
            yield Row("class-hostile", f"of {count}, every tenth never ends", "all right", "s",
                      (one.seconds("hostile", answers),), (right,), 1.3)
        if keyword in "class-equal":
            progress("equal submissions")
            single = one.seconds("single", one.answers([2 * count]))
            yield Row("class-equal", f"{5 * count} submissions with equal files", "one", "s",
                      (one.seconds("equal", list(one.answers([2 * count + 1])) * (5 * count)),), (single,), None)
        if keyword in "class-evidence":
            size = sum(path.stat().st_size for path in (place / "right.out" / "evidence").rglob("*") if path.is_file())
            yield Row("class-evidence", "evidence of a submission", "2 MB", "MB", (size / count / 1e6,), (EVIDENCE_BYTES / 1e6,), 1.0)
        if keyword in "class-resume":
            progress("ending a run by force, and going on")
            yield Row("class-resume", "from a new start after `kill -9` to the first submission under way", "2 s", "s",
                      (one.resumed(one.answers(range(3 * count, 4 * count))),), (RESUME_SECONDS,), 1.0)
        if keyword in "class-slurm":
            if why := _no_cluster():
                progress.clear()
                print(f"bench: class-slurm is left out: {why}", file=sys.stderr)
                return
            progress("on the cluster")
            yield Row("class-slurm", f"{count} right submissions on a cluster", "on this machine", "s",
                      (one.seconds("slurm", one.answers(range(5 * count, 6 * count)), "--executor", "slurm"),), (right,), 1.1)


class _Class:
    """Folders of uploads, and what grading them takes."""

    def __init__(self, tree: Path, lab: Lab, place: Path) -> None:
        self.tree, self.lab, self.place = tree, lab, place
        self.file = lab.tasks[-1].file
        self.text = (tree / "solutions-private" / self.file).read_text()

    def answers(self, numbers: Iterable[int]) -> Iterator[str]:
        """Right ones to the lab's last task, each another text."""
        return (f"{self.text}// submission {number}\n" for number in numbers)

    def hung(self, number: int) -> str:
        """One that never ends when it is called."""
        head, brace, rest = self.text.partition(") {\n")
        if not brace:
            raise CannotRun(f"{self.file}: no function begins here as this row knows it")
        return f"{head}{brace}    for (volatile unsigned i = 0;;) i = i + 1;\n{rest}// submission {number}\n"

    def seconds(self, name: str, answers: Iterable[str], *words: str) -> float:
        """How long a class of them takes."""
        argv = self._command(name, answers, *words)
        return _timed(lambda: _run(argv, self.tree))

    def resumed(self, answers: Iterable[str]) -> float:
        """How long a run that was killed takes, begun again, until it judges."""
        argv = self._command("killed", answers, "--jobs", "1")
        evidence = self.place / "killed.out" / "evidence"

        def names() -> set[str]:
            return set(os.listdir(evidence)) if evidence.is_dir() else set()

        def begin() -> float:
            before = names()
            started = time.perf_counter()
            run = subprocess.Popen(argv, cwd=self.tree, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
            try:
                while names() <= before:
                    if run.poll() is not None:
                        raise CannotRun("the run that was to be killed has ended by itself")
                    time.sleep(0.01)
                return time.perf_counter() - started
            finally:
                run.send_signal(signal.SIGKILL)
                run.wait()

        begin()
        return begin()

    def _command(self, name: str, answers: Iterable[str], *words: str) -> list[str]:
        uploads = self.place / name
        for number, text in enumerate(answers):
            for task in self.lab.tasks:
                target = uploads / f"s{number:04}" / task.file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.tree / "solutions-private" / task.file, target)
            target.write_text(text)
        return [str(self.tree / "nest"), "grade-all", str(uploads), "--lab", self.lab.id, "--out",
                str(self.place / f"{name}.out"), *words]


def _no_cluster() -> str:
    if shutil.which("sbatch") is None:
        return "there is no sbatch here"
    done = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 and done.stdout else "sinfo shows no cluster"


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _nest(tree: Path, *words: str) -> None:
    # By hand the same boots are made again, from their modules.
    _run([str(tree / "nest"), *words], tree, {**os.environ, KEEP_MODULES: "1"} if words[0] == "grade" else None)


def _run(argv: list[str], tree: Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(argv, cwd=tree, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise CannotRun(f"{' '.join(argv[1:4])} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
