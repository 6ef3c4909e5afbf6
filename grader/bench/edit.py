# SPDX-License-Identifier: MIT
"""The rows of `nest bench` that a student feels: one file of a lab edited, then `nest grade`.

They are measured in a copy of the tree whose answers are the references, so that nobody's work is
touched. The floor is the same work by hand: the compiler, the linker, the test programs and the
boots, on as many cores, without a grader: what the edited file is part of is linked, each task's
cases run in one process for each flavour, and every boot of the grading takes place.
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
from grader.bench.measure import SECONDS, Row
from grader.build.compiling import ASSEMBLY
from grader.build.kernel_image import fill_symbols
from grader.build.opening import read_description
from grader.build.schedule import cores
from grader.build.workshop import Progress
from grader.confine import host_program
from grader.course import lab as labs
from grader.course.lab import ROOT, Lab, Task
from grader.testkit.boot import KEEP_MODULES

EDITS = 5
KINDS = {"asan": "unit", "explore": "explore", "tsan": "race"}
"""By flavour of a lab's test program: the kind of its cases."""
Work = Callable[[], object]


def grade_after_edit(progress: Progress, keyword: str = "") -> Iterator[Row]:
    """Measures both sides, in turn: a row for each lab whose row's name contains the keyword."""
    chosen = [lab for lab in labs.load_all() if keyword in _name(lab)]
    if chosen:
        with copied_tree() as tree:
            for lab in chosen:
                yield _row(tree, lab, progress)


def _name(lab: Lab) -> str:
    return f"grade-after-edit-{lab.id}"


def _row(tree: Path, lab: Lab, progress: Progress) -> Row:
    ours, floor = [], []
    progress(f"grading {lab.id} in a copy of the tree for the first time")
    _grade(tree, lab)
    task = edited_task(lab)
    by_hand = ByHand(tree, lab, task)
    edited = tree / task.file
    for turn in range(EDITS):
        progress(f"grading {lab.id} after an edit [{turn + 1}/{EDITS}]")
        edited.write_text(f"{edited.read_text()}// edit {time.time_ns()}\n")
        started = time.perf_counter()
        _grade(tree, lab)
        ours.append(time.perf_counter() - started)
        modules = boots_used(tree, lab)
        edited.write_text(f"{edited.read_text()}// edit {time.time_ns()}\n")
        started = time.perf_counter()
        by_hand.judge(modules)
        floor.append(time.perf_counter() - started)
    return Row(_name(lab), f"edit {task.file}, then nest grade {lab.id}",
               "compile, link, run, boot by hand", "s", tuple(ours), tuple(floor), 2.0)


def edited_task(lab: Lab) -> Task:
    """The last task that counts on the lab's usual machine."""
    vendor = machines.machine(lab.usual_machine).vendor
    return [task for task in lab.tasks if task.vendor in (None, vendor)][-1]


@contextmanager
def copied_tree() -> Iterator[Path]:
    tree = ROOT / "build" / "bench-tree"
    shutil.rmtree(tree, ignore_errors=True)
    try:
        copy(tree)
        yield tree
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def copy(tree: Path) -> None:
    """Copies this tree without what was built in it; its answers are the references."""
    def left_out(folder: str, names: list[str]) -> set[str]:
        return {"__pycache__", *(("build", ".git") if Path(folder) == ROOT else ())} & set(names)

    shutil.copytree(ROOT, tree, symlinks=True, ignore=left_out)
    for task in (task for one in labs.load_all(tree) for task in one.tasks):
        shutil.copyfile(tree / "solutions-private" / task.file, tree / task.file)


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

    def __init__(self, tree: Path, lab: Lab, task: Task) -> None:
        self.tree, self.lab, self.file = tree, lab, task.file
        self.kit: dict[str, Any] = read_description(tree)
        self.place = tree / "build" / "by-hand" / lab.id
        self.place.mkdir(parents=True)
        self.pool = ThreadPoolExecutor(cores())
        self.files = [task.file for one in labs.load_all(tree) for task in one.tasks]
        self.flavours = [one for one in KINDS if f"{lab.id}-tests.{one}" in self.kit["test_objects"]]
        self._all(lambda f=file, o=flavour: self._compile(f, o) for file in self.files for flavour in self._compiled(file))
        # Of a file in assembly no test program is made again.
        self._all([lambda: self._kernel(0), *(lambda o=flavour: self._program(o) for flavour in self.flavours)])

    def judge(self, modules: list[Path]) -> None:
        """Compiles the file, links what it is part of, alone and together with the other own files
        where it boots, and runs every program and every boot."""
        self._all(lambda o=flavour: self._compile(self.file, o) for flavour in self._compiled(self.file))
        bare = self._bare(self.file)
        link = self._kernel if bare == "kernel" else lambda turn: self._user_program(bare, turn)
        self._all([*(lambda o=flavour: self._program(o) for flavour in self.flavours if not self.file.endswith(ASSEMBLY)),
                   *(lambda t=turn: link(t) for turn in range(2))])
        self._all([*(lambda m=module: self._boot(m) for module in modules),
                   *(lambda o=flavour, t=task: self._cases(o, t) for flavour in self.flavours for task in self.lab.tasks)])

    def _bare(self, file: str) -> str:
        """What the file boots in: the kernel, or the user program of this name."""
        return next((name for name, recipe in self.kit["programs"].items() if file in recipe["tasks"]), "kernel")

    def _compiled(self, file: str) -> list[str]:
        """The flavours of the file's objects. Explored programs are made of those of
        ThreadSanitizer."""
        on_host = {"tsan" if one == "explore" else one for one in self.flavours}
        return [self._bare(file), *(sorted(on_host) if not file.endswith(ASSEMBLY) else ())]

    def _all(self, work: Iterable[Work]) -> None:
        for done in [self.pool.submit(one) for one in work]:
            done.result()

    def _run(self, argv: list[str | Path]) -> None:
        done = subprocess.run(argv, cwd=self.tree, capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(f"{argv[0]} ended with {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")

    def _object(self, file: str, flavour: str) -> Path:
        return self.place / f"{Path(file).stem}.{Path('tsan' if flavour == 'explore' else flavour).name}.o"

    def _compile(self, file: str, flavour: str) -> None:
        kit = self.kit["programs"].get(flavour) or self.kit["flavours"][flavour]
        self._run([kit["compiler"], *kit["assemble" if file.endswith(ASSEMBLY) else "compile"], "-c", file,
                   "-o", self._object(file, flavour)])

    def _program(self, flavour: str) -> None:
        kit, mine = self.kit["flavours"][flavour], {task.file for task in self.lab.tasks}
        libraries = [path for name, path in kit["libraries"].items() if name != "tasks"]
        files = [file for file in self.files
                 if not file.endswith(ASSEMBLY) and (file in mine or self._bare(file) == "kernel")]
        self._run([kit["compiler"], *kit["link"], "-o", self.place / flavour,
                   *self.kit["test_objects"][f"{self.lab.id}-tests.{flavour}"],
                   *(self._object(file, flavour) for file in files),
                   "-Wl,--start-group", *libraries, "-Wl,--end-group", "-lgtest", "-lpthread"])

    def _kernel(self, turn: int) -> None:
        recipe, libraries = self.kit["kernels"][self.lab.kernel], self.kit["flavours"]["kernel"]["libraries"]
        rooms, image = recipe["archives"], self.place / f"kernel.{turn}"
        files = [file for file in self.files if Path(file).parts[0] in rooms and self._bare(file) == "kernel"]
        self._run([recipe["linker"], *recipe["flags"], "-o", image, *recipe["objects"],
                   *(self._object(file, "kernel") for file in files),
                   "--start-group", *(libraries[name] for name in rooms), "--end-group"])
        fill_symbols(image)

    def _user_program(self, name: str, turn: int) -> None:
        recipe = self.kit["programs"][name]
        self._run([recipe["linker"], *recipe["flags"], "-o", self.place / f"program.{turn}", *recipe["objects"],
                   *(self._object(file, name) for file in recipe["tasks"]), *recipe["archives"]])

    def _cases(self, flavour: str, task: Task) -> None:
        cases = [test.local for test in task.tests if test.kind == KINDS[flavour]]
        if cases:
            self._run([*host_program.without_randomization(), self.place / flavour, f"--gtest_filter={':'.join(cases)}"])

    def _boot(self, module: Path) -> None:
        chosen = machines.machine(self.lab.usual_machine)
        configuration = machines.Configuration(
            kernel=self.place / "kernel.0", module=module, cpus=min(4, chosen.max_cpus),
            memory_mib=chosen.default_memory_mib)
        with chosen.start(configuration, lambda data: None) as running:
            running.wait(SECONDS)
