# SPDX-License-Identifier: MIT
"""``nest debug LAB``: the machine stopped before its first instruction, and a debugger attached to
it."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from grader import CANNOT_RUN, DONE, CannotRun, UsageError
from grader import machines
from grader.build import lab_kernel
from grader.confine.processes import stop_all
from grader.course import lab
from grader.course.lab import ROOT
from grader.machines.bochs import Bochs
from grader.verbs import debug_bochs
from grader.verbs.bootstrap import GDB
from grader.verbs.run import choose, configure, say, show_serial

SCRIPT = Path(__file__).resolve().parents[1] / "gdb" / "nestling.py"


def last_task(of: lab.Lab) -> lab.Task:
    """The one to stop in if none is named: not a challenge, which no kernel needs to run."""
    return next((task for task in reversed(of.tasks) if task.points), of.tasks[-1])


@click.command()
@click.argument("lab_name", metavar="LAB")
@click.option("--reference", is_flag=True, help="Debug the reference answers.")
@click.option("--task", "task_name", help="The task in question (the lab's last one).")
@click.option("--break", "places", multiple=True, metavar="PLACE",
              help="Where to stop (the task's function); may be given several times.")  # fmt: skip
@click.option("--machine", "machine_name", type=click.Choice(machines.names()),
              help="The machine (amd-qemu, with gdb; for a task about Intel intel-bochs, with its own debugger).")
@click.option("--cpus", type=click.IntRange(1, 16), help="CPUs of the machine (4; 1 in Bochs).")
@click.option("--program", metavar="NAME",
              help="The user program, by its name in the kit or by its file (hello).")  # fmt: skip
@click.option("--vcpus", type=click.IntRange(1, 8), help="CPUs of the guest (as many).")
@click.option("--args", default="", help="The command line of the guest or program; lab 0's boot module.")
@click.option("--ex", "commands", multiple=True, metavar="COMMAND",
              help="A command to begin with, for the debugger; may be given several times.")  # fmt: skip
@click.option("--batch", is_flag=True, help="End after these commands.")
def command(lab_name: str, reference: bool, task_name: str | None, places: tuple[str, ...],
            machine_name: str | None, cpus: int | None, program: str | None, vcpus: int | None, args: str,
            commands: tuple[str, ...], batch: bool) -> int:  # fmt: skip
    """Starts a debugger on the lab's kernel: gdb, with its symbols and those of the guest or user
    program; in Bochs its own, with the kernel's."""
    chosen = lab.find(lab_name)
    task = chosen.task(task_name) if task_name else last_task(chosen)
    machine = machines.machine(machine_name or ("intel-bochs" if task.vendor == "intel" else "amd-qemu"))
    in_bochs = isinstance(machine, Bochs)
    gdb = "" if in_bochs else shutil.which(GDB)
    if gdb is None:
        raise CannotRun(f"{GDB} is not installed\nmend: apt-get install {GDB}")
    cpus = cpus or (1 if in_bochs else 4)
    if cpus > machine.max_cpus:
        raise UsageError(f"{machine.name} has at most {machine.max_cpus} CPUs")
    built = lab_kernel.build(say, chosen, reference=reference, own=task)
    load = choose(built, chosen, program=program, vcpus=vcpus, cpus=cpus, ram_mib=None, args=args)
    places = places or (place_of(task),)
    with tempfile.TemporaryDirectory(prefix="nestling-debug-") as folder:
        # A copy: the cache may be trimmed, and a debugger reads the file more than once.
        built = replace(built, kernel=Path(shutil.copy(built.kernel, Path(folder) / "nestling.elf")))
        socket = None if in_bochs else Path(folder) / "gdb"
        configuration = configure(
            built, load, Path(folder), cpus=cpus, memory_mib=machine.default_memory_mib, direct=True,
            debugger=socket,
        )  # fmt: skip
        if isinstance(machine, Bochs):
            images = [image for image in (built.kernel, load.image) if image]
            stops = [debug_bochs.breakpoint_at(place, *images) for place in places]
            debug_bochs.debug(machine, configuration, [*stops, *commands], batch=batch)
            return DONE
        assert socket is not None
        with machine.start(configuration, show_serial) as running, _waiting(running, socket):
            argv = [gdb, "-q", "-nx", *(["-batch"] if batch else [])]
            for one in _first_commands(built.kernel, load.image, socket, places):
                argv += ["-ex", one]
            for one in commands:
                argv += ["-ex", one]
            with _interrupts_for_gdb():
                status = subprocess.run(argv, check=False).returncode
    return DONE if status == 0 else CANNOT_RUN


def place_of(task: lab.Task) -> str:
    """The task's function; of one in assembly, the first label that others may see."""
    if task.file.endswith(".S"):
        source = (ROOT / task.file).read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^\s*(?:\.global\s+|\w+_section\s+\d+,\s*)(\w+)", source, re.MULTILINE):
            return found[1]
    return task.id.rpartition(".")[2]


def _first_commands(
    kernel: Path, image: Path | None, socket: Path, places: tuple[str, ...]
) -> Iterator[str]:
    yield "set confirm off"
    yield "set pagination off"
    yield f"directory {_quoted(ROOT)}"
    yield f"file {_quoted(kernel)}"
    if image:
        yield f"add-symbol-file {_quoted(image)}"
    yield f"source {SCRIPT}"
    yield f"target remote {socket}"
    for place in places:
        yield f"break {place}"


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


@contextlib.contextmanager
def _waiting(running: machines.Running, socket: Path) -> Iterator[None]:
    """Shows the serial line for as long as the block lasts; enters it when gdb can attach."""
    problems: list[BaseException] = []

    def wait() -> None:
        try:
            running.wait(None)
        except machines.MachineError as problem:
            problems.append(problem)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    while not socket.exists() and thread.is_alive():
        thread.join(0.02)
    if problems:
        raise problems[0]
    try:
        yield
    finally:
        stop_all()  # the thread sees the end and cleans up
        thread.join()


@contextlib.contextmanager
def _interrupts_for_gdb() -> Iterator[None]:
    """Ctrl-C stops the machine in gdb, and not nest."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
