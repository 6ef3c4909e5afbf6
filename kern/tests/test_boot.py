# SPDX-License-Identifier: MIT
"""Boots of kern/tests/boot/main.cc in QEMU: both protocols, 1, 2 and 4 CPUs, several CPU models,
and every fault that it can provoke; and some of them on Bochs's CPUs. What is checked is what the
kernel says it found."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from grader import machines
from grader.build.iso import grub_iso
from grader.confine.processes import Child, Limits

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("NEST_BUILD", ROOT / "build" / "cmake"))
KERNEL = BUILD / "kern" / "tests" / "boot" / "boot-test.elf"
SECONDS = 120
MODULE = b"the module's first bytes"

QEMU = [
    "qemu-system-x86_64", "-display", "none", "-no-reboot", "-serial", "stdio", "-nodefaults",
    "-vga", "none", "-nic", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
]  # fmt: skip
PANIC = 120


def run(*arguments: str, status: int = 0, before: Sequence[str] = ()) -> str:
    """The serial text of one boot, which must power off with ``status``. ``before`` is what starts
    QEMU."""
    if not KERNEL.is_file():
        pytest.fail(f"{KERNEL} is not built; mend: ninja -C {BUILD} boot-test")
    text = bytearray()
    with Child([*before, *QEMU, *arguments], on_stdout=text.extend) as child:
        ended = child.wait(Limits(seconds=SECONDS))
    serial = text.decode(errors="replace")
    assert ended == status << 1 | 1, serial
    assert serial.endswith(f"power off: {status}\n"), serial
    return serial


def pvh(line: str, *arguments: str, cpus: int = 2, model: str = "max", **how: Any) -> str:
    """One boot with -kernel."""
    return run("-kernel", str(KERNEL), "-append", line, "-smp", str(cpus), "-cpu", model,
               *arguments, **how)


def in_bochs(machine: str, status: int = 0, **configuration: object) -> str:
    """One boot in Bochs, with the kernel's own image in the memory that it leaves."""
    emulator = machines.machine(machine)
    try:
        emulator.check()
    except machines.MachineError as problem:
        pytest.skip(str(problem))
    text = bytearray()
    wanted = machines.Configuration(**{"memory_mib": 64} | configuration)  # type: ignore[arg-type]
    with emulator.start(wanted, text.extend) as running:
        end = running.wait(SECONDS)
    serial = text.decode(errors="replace").replace("\r\n", "\n")
    assert (end.reason, end.status) == ("powered off", status), serial
    assert serial.endswith(f"power off: {status}\n"), serial
    text_segment = KERNEL.read_bytes()[int(segments()[0][1], 16) :][: int(segments()[0][4], 16)]
    assert running.memory.read(int(segments()[0][3], 16), len(text_segment)) == text_segment
    return serial


def check_all_done(serial: str, cpus: int) -> None:
    """What the kernel says when it found everything in order."""
    assert f"CPUs: {cpus}\n" in serial
    for cpu in range(1, cpus):
        assert f"work runs on CPU {cpu}\n" in serial
    assert "interrupts between CPUs: ok\n" in serial
    assert f"counted under a lock: {1000 * cpus} of {1000 * cpus}\n" in serial
    assert "timer: ok\n" in serial
    assert "late measurement: ok, " in serial
    assert "constructed: 42\n" in serial
    assert "frames on account of test: 0\n" in serial
    assert "all done\n" in serial


@pytest.mark.parametrize(
    ("cpus", "model", "memory"),
    [(1, "qemu64", 64), (2, "max,-x2apic", 256), (4, "max", 256)],
)
def test_pvh(cpus: int, model: str, memory: int, tmp_path: Path) -> None:
    """QEMU's -kernel, with a module and a command line."""
    module = tmp_path / "module"
    module.write_bytes(MODULE)
    serial = pvh("first second=2", "-m", str(memory), "-initrd", str(module), cpus=cpus, model=model)
    assert serial.startswith("Nestling starts by PVH\n")
    assert "command line: first second=2\n" in serial
    assert f"module of {len(MODULE)} bytes: {MODULE.decode()}\n" in serial
    frames = int(re.search(r"frames: (\d+) available", serial)[1])
    assert memory * 256 * 0.9 < frames < memory * 256
    check_all_done(serial, cpus)


def test_requests_on_one_core() -> None:
    """CPUs that share a core are stopped in the middle of anything: no answer to interrupt_and_wait
    is lost."""
    core = str(min(os.sched_getaffinity(0)))
    serial = pvh("requests", "-m", "64", cpus=4, before=["taskset", "--cpu-list", core])
    assert "rounds of requests: 50\n" in serial


def test_memory_above_4_gib() -> None:
    """The direct map and the allocator go on above the hole below 4 GiB."""
    serial = pvh("x", "-m", "5120", "-machine", "pc", cpus=1)
    assert re.search(r"usable 0x100000000 to 0x[0-9a-f]+\n", serial)
    assert int(re.search(r"frames: (\d+) available", serial)[1]) > 5000 * 256
    check_all_done(serial, 1)


def test_grub(tmp_path: Path) -> None:
    """The GRUB ISO, by multiboot2."""
    module = tmp_path / "module"
    module.write_bytes(MODULE)
    iso = tmp_path / "boot.iso"
    grub_iso(KERNEL, iso, module=module, command_line="first second=2")
    serial = run("-cdrom", str(iso), "-smp", "2", "-cpu", "max", "-m", "256")
    assert serial.startswith("Nestling starts by multiboot2\n")
    assert "command line: first second=2\n" in serial
    assert f"module of {len(MODULE)} bytes: {MODULE.decode()}\n" in serial
    check_all_done(serial, 2)


@pytest.mark.parametrize(("machine", "cpus"), [("intel-bochs", 2), ("amd-bochs", 1)])
def test_bochs(machine: str, cpus: int, tmp_path: Path) -> None:
    """Other CPUs, APICs, clocks and BIOS tables than QEMU's, and ticks that do not come by real
    time."""
    module = tmp_path / "module"
    module.write_bytes(MODULE)
    serial = in_bochs(
        machine, kernel=KERNEL, module=module, command_line="first second=2", cpus=cpus
    )
    assert serial.startswith("Nestling starts by PVH\n")
    assert "command line: first second=2\n" in serial
    assert f"module of {len(MODULE)} bytes: {MODULE.decode()}\n" in serial
    check_all_done(serial, cpus)


def test_bochs_grub(tmp_path: Path) -> None:
    """The GRUB ISO there."""
    iso = tmp_path / "boot.iso"
    grub_iso(KERNEL, iso, command_line="first second=2")
    serial = in_bochs("intel-bochs", iso=iso, cpus=1)
    assert serial.startswith("Nestling starts by multiboot2\n")
    check_all_done(serial, 1)


def test_bochs_panic() -> None:
    """A fault of another CPU than the first: the machine ends there too, and its memory can be
    read."""
    serial = in_bochs(
        "intel-bochs", kernel=KERNEL, command_line="provoke=ap-stack", cpus=2, status=PANIC
    )
    assert re.search(r"\npanic on CPU 1: stack overflow: ", serial), serial


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("null", r"CPU 0: page fault \(#PF\): kernel write at 0x8: the page is not present \(a null pointer\)"),
        ("read-only", r"CPU 0: page fault \(#PF\): kernel write at 0x[0-9a-f]+: the page is read-only"),
        ("constant", r"CPU 0: page fault \(#PF\): kernel write at 0x[0-9a-f]+: the page is read-only"),
        ("fetch", r"CPU 0: page fault \(#PF\): kernel fetch at 0x[0-9a-f]+: the page is not executable"),
        ("identity", r"CPU 0: page fault \(#PF\): kernel read at 0x100000: the page is not present\n"),
        ("stack", r"CPU 0: stack overflow: 0x[0-9a-f]+ is in the guard page under a stack"),
        ("ap-stack", r"CPU 1: stack overflow: 0x[0-9a-f]+ is in the guard page under a stack"),
        ("gs", r"CPU 1: invalid opcode \(#UD\)"),
        ("divide", r"CPU 0: divide error \(#DE\)"),
        ("ud2", r"CPU 0: invalid opcode \(#UD\)"),
        ("deadlock", r"CPU 0: self-deadlock: .*\n  at kern/sync/spin_lock.cc:\d+\n"),
        ("panic", r"CPU 0: as asked\n  at kern/tests/boot/main.cc:\d+\n"),
    ],
    ids=lambda value: value if value.isidentifier() or value.replace("-", "").isalpha() else "",
)
def test_fault_is_named(what: str, says: str) -> None:
    """A fault of the kernel ends the machine, says in words what it was, and where."""
    serial = pvh(f"provoke={what}", "-m", "64", status=PANIC)
    assert re.search(r"\npanic on " + says, serial), serial
    functions = re.findall(r"^  #\d+ 0x[0-9a-f]+ (.+) \+[0-9a-f]+$", serial, re.MULTILINE)
    culprit = "recurse" if "stack" in what else "provoke"
    assert any(culprit in name for name in functions), serial
    if "CPU 0" in says:
        assert "kernel_main" in functions, serial


@functools.cache
def segments() -> list[tuple[str, ...]]:
    """The program headers as readelf prints them."""
    listing = subprocess.run(["readelf", "-lW", str(KERNEL)], capture_output=True, text=True, check=True)
    return [tuple(line.split()) for line in listing.stdout.splitlines() if line.startswith("  LOAD")]


def test_segments_have_exact_rights() -> None:
    """Text is never writable, nothing writable is executable, and p_paddr is physical."""
    rights = ["".join(fields[6:-1]) for fields in segments()]
    assert rights == ["RE", "R", "RW"]
    for fields in segments():
        assert int(fields[2], 16) - int(fields[3], 16) == 0xFFFFFFFF80000000
