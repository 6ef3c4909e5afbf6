# SPDX-License-Identifier: MIT
"""The row of `nest bench` that a student feels: one file edited, then `nest grade`.

It is measured in a copy of the tree whose answers are the references, so that nobody's work is
touched. The floor is the same work by hand: the compiler, the linker, the test programs and the boots,
on as many cores, without a grader.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grader import CannotRun
from grader import machines
from grader.bench.measure import MACHINE, WALL_SECONDS, Row
from grader.build.kernel_image import fill_symbols
from grader.build.compiling import ASSEMBLY
from grader.build.opening import read_description
from grader.build.schedule import cores
from grader.build.workshop import Progress
from grader.course import lab as labs
from grader.course.lab import ROOT, Lab
from grader.testkit.boot import KEEP_MODULES

EDITS = 5
UNIT_FLAVOURS = ("asan", "explore", "tsan")
COMPILED = ("kernel", "asan", "tsan")
Work = Callable[[], object]


def grade_after_edit(progress: Progress) -> Row:
    """Measures both sides, in turn."""
    lab = max(labs.load_all(), key=lambda one: one.points)
    ours, floor = [], []
    with copied_tree() as tree:
        progress("grading a copy of the tree for the first time")
        _grade(tree, lab)
        by_hand = ByHand(tree, lab)
        edited = tree / lab.tasks[-1].file
        for turn in range(EDITS):
            progress(f"grading after an edit [{turn + 1}/{EDITS}]")
            edited.write_text(f"{edited.read_text()}// edit {time.time_ns()}\n")
            started = time.perf_counter()
            _grade(tree, lab)
            ours.append(time.perf_counter() - started)
            modules = boots_used(tree, lab)
            edited.write_text(f"{edited.read_text()}// edit {time.time_ns()}\n")
            started = time.perf_counter()
            by_hand.judge(edited, modules)
            floor.append(time.perf_counter() - started)
    return Row("grade-after-edit", f"edit one file, then nest grade {lab.id}",
               "compile, link, run, boot by hand", "s", tuple(ours), tuple(floor), 2.0)


@contextmanager
def copied_tree() -> Iterator[Path]:
    tree = ROOT / "build" / "bench-tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT, tree, symlinks=True,
                    ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    try:
        for task in (task for one in labs.load_all(tree) for task in one.tasks):
            shutil.copyfile(tree / "solutions-private" / task.file, tree / task.file)
        yield tree
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def _grade(tree: Path, lab: Lab) -> None:
    done = subprocess.run([tree / "nest", "grade", lab.id], cwd=tree, capture_output=True, text=True,
                          env={**os.environ, KEEP_MODULES: "1"})
    if done.returncode:
        raise CannotRun(f"nest grade {lab.id} ended with {done.returncode} where the references were "
                        f"expected to pass:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def boots_used(tree: Path, lab: Lab) -> list[Path]:
    """The boot modules of the newest run, one a boot."""
    runs = (tree / "build" / "transcripts" / lab.id).iterdir()
    newest = max((run for run in runs if not run.is_symlink()), key=lambda run: run.stat().st_mtime_ns)
    return sorted(newest.rglob("module.img"))


class ByHand:
    """What has to be done for one edited file, with the commands of the kit."""

    def __init__(self, tree: Path, lab: Lab) -> None:
        self.tree, self.lab = tree, lab
        self.kit: dict[str, Any] = read_description(tree)
        self.place = tree / "build" / "by-hand"
        self.place.mkdir()
        self.pool = ThreadPoolExecutor(cores())
        self._all(lambda f=file, o=flavour: self._compile(f, o)
                  for file in self._files() for flavour in COMPILED
                  if flavour == "kernel" or not file.endswith(ASSEMBLY))

    def judge(self, edited: Path, modules: list[Path]) -> None:
        """Compiles the file, links alone and together, runs every program and every boot."""
        file = str(edited.relative_to(self.tree))
        self._all(lambda o=flavour: self._compile(file, o) for flavour in COMPILED)
        self._all([*(lambda o=flavour, t=turn: self._program(o, t)
                     for flavour in UNIT_FLAVOURS for turn in range(2)),
                   *(lambda t=turn: self._kernel(t) for turn in range(2))])
        self._all([*(lambda m=module: self._boot(m) for module in modules),
                   *(lambda o=flavour: self._run([self.place / f"{o}.0"])
                     for flavour in UNIT_FLAVOURS for _ in modules)])

    def _files(self) -> list[str]:
        # Parts of user programs are in neither the lab's tests nor its kernel.
        apart = {file for recipe in self.kit["programs"].values() for file in recipe["tasks"]}
        return [task.file for one in labs.load_all(self.tree) for task in one.tasks if task.file not in apart]

    def _all(self, work: Iterable[Work]) -> None:
        for done in [self.pool.submit(one) for one in work]:
            done.result()

    def _run(self, argv: list[str | Path]) -> None:
        done = subprocess.run(argv, cwd=self.tree, capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(f"{argv[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")

    def _object(self, file: str, flavour: str) -> Path:
        # Explored programs are made of the same objects as those of ThreadSanitizer.
        return self.place / f"{Path(file).stem}.{'tsan' if flavour == 'explore' else flavour}.o"

    def _compile(self, file: str, flavour: str) -> None:
        kind = "assemble" if file.endswith(ASSEMBLY) else "compile"
        kit = self.kit["flavours"][flavour]
        self._run([kit["compiler"], *kit[kind], "-c", file,
                   "-o", self._object(file, flavour)])

    def _program(self, flavour: str, turn: int) -> None:
        kit = self.kit["flavours"][flavour]
        libraries = [path for name, path in kit["libraries"].items() if name != "tasks"]
        self._run([kit["compiler"], *kit["link"], "-o", self.place / f"{flavour}.{turn}",
                   *self.kit["test_objects"][f"{self.lab.id}-tests.{flavour}"],
                   *(self._object(file, flavour) for file in self._files() if not file.endswith(ASSEMBLY)),
                   "-Wl,--start-group", *libraries, "-Wl,--end-group", "-lgtest", "-lpthread"])

    def _kernel(self, turn: int) -> None:
        recipe, libraries = self.kit["kernels"][self.lab.kernel], self.kit["flavours"]["kernel"]["libraries"]
        image = self.place / f"kernel.{turn}"
        self._run([recipe["linker"], *recipe["flags"], "-o", image, *recipe["objects"],
                   *(self._object(file, "kernel") for file in self._files()),
                   "--start-group", libraries["vmm"], libraries["kern"], "--end-group"])
        fill_symbols(image)

    def _boot(self, module: Path) -> None:
        configuration = machines.Configuration(kernel=self.place / "kernel.0", module=module)
        with machines.machine(MACHINE).start(configuration, lambda data: None) as running:
            running.wait(WALL_SECONDS)
