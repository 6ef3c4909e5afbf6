# SPDX-License-Identifier: MIT
"""``nest run LAB``: the lab's kernel with a guest or a user program on a machine, with its serial
line on this terminal."""

from __future__ import annotations

import importlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from grader import CANNOT_RUN, DONE, CannotRun, UsageError
from grader import machines
from grader.build import lab_kernel
from grader.build.iso import HAS_GRUB, grub_iso
from grader.course import lab
from grader.machines import hung
from grader.testkit.images import file_system_image
from grader.testkit.plans import RunPlan, VmPlan, plan_text

LONGEST_MS = 600_000
"""The most that a plan may give to a program (kern/proc/main/plan.hh)."""

COMPLAINTS = 10
"""How many lines of the emulator's are shown."""
USUAL_PROGRAM = {"programs": "hello", "vmms": "vmm"}
"""By what a kernel runs in ring 3."""
USUAL_TEXT = "Nestling"
"""What a boot module says that a kernel only looks at."""


@click.command()
@click.argument("lab_name", metavar="LAB")
@click.option("--reference", is_flag=True, help="Run the reference answers.")
@click.option("--machine", "machine_name", type=click.Choice(machines.names()), default=machines.names()[0],
              help=f"The machine to run on ({machines.names()[0]}).")  # fmt: skip
@click.option("--cpus", type=click.IntRange(1, 16), help="CPUs of the machine (4; 2 in Bochs).")
@click.option("--program", metavar="NAME",
              help="The user program, by its name in the kit or by its file (hello).")  # fmt: skip
@click.option("--vcpus", type=click.IntRange(1, 8), help="CPUs of the guest (as many).")
@click.option("--memory", type=click.IntRange(32, machines.MAX_MEMORY_MIB),
              help="Memory of the machine in MiB (256; 128 in Bochs).")  # fmt: skip
@click.option("--ram", type=click.IntRange(1), help="Memory of the guest in MiB (64).")
@click.option("--args", default="", help="The command line of the guest or program; lab 0's boot module.")
@click.option("--direct/--grub", default=None,
              help="Enter the kernel without GRUB, a faster start, or by GRUB (in QEMU by GRUB, where there is one).")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0, min_open=True),
              help="Stop the machine after this time, and show where it was.")  # fmt: skip
def command(lab_name: str, reference: bool, machine_name: str, cpus: int | None, program: str | None,
            vcpus: int | None, memory: int | None, ram: int | None, args: str, direct: bool | None,
            seconds: float | None) -> int:  # fmt: skip
    """Boots the lab's kernel; Ctrl-C ends it."""
    machine = machines.machine(machine_name)
    if cpus and cpus > machine.max_cpus:
        raise UsageError(f"{machine.name} has at most {machine.max_cpus} CPUs")
    cpus = cpus or min(4, machine.max_cpus)
    memory = memory or machine.default_memory_mib
    direct = machine.is_slow_by_grub or not HAS_GRUB if direct is None else direct
    built = lab_kernel.build(say, lab.find(lab_name), reference=reference)
    load = choose(built, lab.find(lab_name), program=program, vcpus=vcpus, cpus=cpus, ram_mib=ram, args=args)
    with tempfile.TemporaryDirectory(prefix="nestling-run-") as folder:
        configuration = configure(
            built, load, Path(folder), cpus=cpus, memory_mib=memory, direct=direct
        )
        say("the machine starts; Ctrl-C ends it")
        with machine.start(configuration, show_serial) as running:
            end = running.wait(seconds)
            if end.reason == machines.TIMEOUT:
                say(f"stopped after {seconds:g} s")
                files = {load.image.name: load.image.read_bytes()} if load.image else {}
                click.echo(hung.describe(running, built.kernel, files), err=True)
            complaints = running.complaints().splitlines()[-COMPLAINTS:]
    for line in complaints:
        say(f"the emulator: {line}")
    status = report(end)
    if status == DONE and reference and built.runs == "soft":
        show_three_ways(built, machine_name)
    return status


def show_three_ways(built: lab_kernel.LabKernel, machine_name: str) -> None:
    """The same guest in a virtual machine, beside what was just seen; a student's tree has no such
    kernel."""
    kernel = built.files.get("soft_bench.elf")
    if kernel is None:
        return
    say("the same guest with more to do, in ring 3 and in a virtual machine")
    measure = importlib.import_module("grader.bench.measure")  # a room of staff's, as that kernel is
    for line in measure.in_three_ways(kernel, built.files["tiny.elf"].read_bytes(), machine_name):
        click.echo(line)


@dataclass(frozen=True)
class Load:
    """What a kernel is to run."""

    image: Path | None
    """the guest's or the program's file, with its symbols; None if the kernel runs none"""
    module: bytes
    """the boot module"""


def choose(
    built: lab_kernel.LabKernel, of: lab.Lab, *, program: str | None, vcpus: int | None, cpus: int,
    ram_mib: int | None, args: str,
) -> Load:  # fmt: skip
    """The guest, or the user program, for a kernel that runs such. Raises UsageError."""
    if built.runs == "modules":
        if program or vcpus or ram_mib:
            raise UsageError("this lab's kernel runs neither programs nor guests: it looks at its boot module, which "
                             "--args TEXT gives it")
        return Load(None, (args or USUAL_TEXT).encode())
    if built.runs == "soft":
        if program or vcpus or ram_mib or args:
            raise UsageError("this lab's kernel runs guest/tiny in ring 3, on one CPU and with 8 MiB: it takes no options")
        image = built.files["tiny.elf"]
        return Load(image, image.read_bytes())
    if built.runs == "micro":
        if program or vcpus or ram_mib or args:
            raise UsageError("this lab's kernel runs the root task kern/user/micro: it takes no options but --cpus")
        image = built.program("micro")
        return Load(image, image.read_bytes())
    if built.runs in USUAL_PROGRAM:
        if vcpus or ram_mib:
            raise UsageError("--vcpus and --ram are for guests, and this lab's kernel runs user programs")
        return _program(built, program or USUAL_PROGRAM[built.runs], cpus, args)
    if program:
        raise UsageError("--program is for user programs, and this lab's kernel runs guests")
    plan = VmPlan(
        "gkernel", lab_kernel.GUEST, min(vcpus or cpus, 8), (ram_mib or 64) << 10, limit_ms=0,
        args=args or of.guest_args, more=dict(of.guest_plan),
    )
    files = {"plan": plan_text([plan]).encode(), plan.file: built.guest.read_bytes()}
    return Load(built.guest, file_system_image(files))


def _program(built: lab_kernel.LabKernel, name: str, cpus: int, args: str) -> Load:
    """All programs are in the boot module, since one may start another."""
    own = Path(name)
    image = own if name not in built.programs and own.is_file() else built.program(name)
    # What a user-level VMM may put into a guest comes first: of one name, the program is meant.
    guests = [key for key in built.files if "/" not in key] if built.runs == "vmms" else []
    files = {key: built.files[key].read_bytes() for key in guests}
    files |= {f"{key}.elf": path.read_bytes() for key, path in built.programs.items()}
    file = f"{image.stem}.elf"
    files[file] = image.read_bytes()
    plan = RunPlan(image.stem, file, cpus=cpus, limit_ms=LONGEST_MS, root=True, args=args)
    return Load(image, file_system_image({**files, "plan": plan_text([plan]).encode()}))


def configure(
    built: lab_kernel.LabKernel, load: Load, folder: Path, *, cpus: int, memory_mib: int,
    direct: bool, debugger: Path | None = None,
) -> machines.Configuration:  # fmt: skip
    """The machine that runs one guest or program on a built kernel; its files are made in
    ``folder``.

    With ``debugger``, a socket, it waits there for gdb.
    """
    module = folder / "module.img"
    module.write_bytes(load.module)
    if direct:
        return machines.Configuration(
            kernel=built.kernel, module=module, cpus=cpus, memory_mib=memory_mib,
            debugger=debugger, stopped=debugger is not None,
        )  # fmt: skip
    iso = folder / "nestling.iso"
    grub_iso(built.kernel, iso, module=module)
    return machines.Configuration(iso=iso, cpus=cpus, memory_mib=memory_mib)


def show_serial(data: bytes) -> None:
    """Writes the machine's output through, as it comes."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """One line about what nest does, apart from what the machine says."""
    click.echo(f"nest: {text}", err=True)


def report(end: machines.End) -> int:
    """Says how the machine ended; the exit status."""
    if end.reason == machines.INTERRUPTED:
        raise KeyboardInterrupt
    if end.reason in (machines.DIED, machines.KILLED):
        raise CannotRun(f"{end.in_words()}\nmend: `nest doctor` tries the emulator on its own")
    say("the machine was stopped" if end.reason == machines.TIMEOUT else end.in_words())
    good = end.reason == machines.TIMEOUT or (end.reason == machines.POWERED_OFF and end.status == 0)
    return DONE if good else CANNOT_RUN
