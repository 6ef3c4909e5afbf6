# SPDX-License-Identifier: MIT
"""Boots of nestling-user: the process layer on 1, 2 and 4 CPUs, under programs that mean it well
and ill.

The lab's own boot tests look at what its tasks do; here is what they are not graded by: a thousand
programs, random system calls, exhausted memory, the FPU, and the kernel as the exercise starts
it."""

from __future__ import annotations

import functools
import os
import re
import secrets
import tempfile
from pathlib import Path

import pytest

from grader.confine.processes import Child, Limits
from grader.evidence.programs import ProgramEnd
from grader.testkit.boot import BootResult, run_boot
from grader.testkit.digest import key_of
from grader.testkit.images import Segment
from grader.testkit.plans import RunPlan
from grader.testkit.user_programs import FAULTS, filled, finish_status, program_image, record_of

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("NEST_BUILD", ROOT / "build" / "cmake"))
KERNEL = BUILD / "kern" / "proc" / "main" / "nestling-user.elf"
PROGRAMS = BUILD / "kern" / "user"
SECONDS = 120
MASK = (1 << 64) - 1
NONCE = secrets.token_hex(8)
CALLS = 100_000
PANIC = 120

def program(name: str) -> bytes:
    """A user program as CMake built it."""
    path = PROGRAMS / f"{name}.elf"
    if not path.is_file():
        pytest.fail(f"{path} is not built; mend: ninja -C {BUILD}")
    return path.read_bytes()


@functools.cache
def boot(cpus: int) -> BootResult:
    """One boot with everything, for each number of CPUs."""
    key = f"key={key_of(NONCE):#x}"
    steps = [
        RunPlan("many", "many.elf", count=64, args=key),
        RunPlan("thousand", "many.elf", count=50, repeat=20, args=f"{key} rounds=1"),
        RunPlan("fpu", "fpu.elf", count=6, args=f"{key} turns=1000000 rounds=10"),
        RunPlan("ping", "ping.elf", count=3, args=f"{key} rounds=50"),
        RunPlan("wait", "wait.elf"),
        RunPlan("waiter", "waiter.elf", count=3, args=key),
        RunPlan("circle", "waiter.elf", args=f"{key} circle=1"),
        RunPlan("spawner", "spawner.elf", args=f"{key} least=200"),
        RunPlan("little", "exhaust.elf", args=key, memory=40),
        RunPlan("none", "many.elf", count=3, args=key, memory=0),
        RunPlan("exhaust", "exhaust.elf", args=f"{key} again=1"),
        RunPlan("fuzz", "fuzz.elf", args=f"{key} calls={CALLS}", limit_ms=60000),
        RunPlan("fuzz-many", "fuzz.elf", count=4, args=f"{key} calls=10000", limit_ms=60000),
        *(RunPlan(name, f"{name}.elf") for name in FAULTS),
        RunPlan("syscall_abuse", "syscall_abuse.elf", args=key),
        RunPlan("spin", "spin.elf", count=cpus + 1, limit_ms=100),
        RunPlan("hello", "hello.elf"),
    ]
    names = {step.file.removesuffix(".elf") for step in steps} | {"pong"}
    files = {f"{name}.elf": program(name) for name in sorted(names)}
    files["hello.elf"] = filled(files["hello.elf"], NONCE)
    with tempfile.TemporaryDirectory() as folder:
        return run_boot(
            KERNEL, files, steps, cpus=cpus, memory_mib=96, seconds=SECONDS,
            transcript_dir=Path(folder), runs="programs",
        )  # fmt: skip


pytestmark = pytest.mark.parametrize("cpus", [1, 2, 4])


def check_ends(cpus: int, name: str, count: int, result: int) -> None:
    """All environments of a step exited with what needs the key, and every frame came back."""
    booted = boot(cpus)
    record = record_of(booted, name)
    assert record.environments == count
    assert record.exited == count, f"{record.describe()}\n{booted.serial[-3000:]}"
    assert record.status_sum == count * finish_status(NONCE, result) & MASK, booted.serial[-3000:]
    check_frames(cpus, name)


def check_frames(cpus: int, name: str) -> None:
    record = record_of(boot(cpus), name)
    assert record.after == record.before


def test_the_kernel_survives(cpus: int) -> None:
    """The boot comes to its end, and its last program runs like the first."""
    booted = boot(cpus)
    assert (booted.ended, booted.status) == ("powered off", 0), booted.explain()
    assert booted.evidence.cpus == cpus
    assert record_of(booted, "hello").end is ProgramEnd.EXITED


def test_many_at_once(cpus: int) -> None:
    """64 programs keep out of each other's memory."""
    check_ends(cpus, "many", 64, 1024)


def test_a_thousand_programs(cpus: int) -> None:
    """After 1,000 programs the frame accounts are where they began."""
    check_ends(cpus, "thousand", 1000, 1024)


def test_fpu_belongs_to_each(cpus: int) -> None:
    """SSE and x87 registers and their control words survive other programs."""
    check_ends(cpus, "fpu", 6, 10)
    if cpus == 1:
        assert record_of(boot(cpus), "fpu").preemptions > 0


def test_messages(cpus: int) -> None:
    """Three pairs of programs exchange numbers and pages."""
    record = record_of(boot(cpus), "ping")
    assert record.exited == 3, record.describe()
    assert record.status_sum == 3 * record.status & MASK
    check_frames(cpus, "ping")


def test_waiting_for_nobody(cpus: int) -> None:
    """Who waits for a message that nobody can send is ended; so are 200 at once."""
    assert record_of(boot(cpus), "wait").end is ProgramEnd.STUCK
    check_frames(cpus, "wait")
    check_ends(cpus, "spawner", 1, 1)


def test_memory_runs_out(cpus: int) -> None:
    """Programs are told that there is no memory; nothing is lost, and what goes back can be had
    again."""
    check_ends(cpus, "little", 1, 1)
    check_ends(cpus, "none", 3, 1024)
    check_ends(cpus, "exhaust", 1, 1)


def test_random_system_calls(cpus: int) -> None:
    """100,000 calls with random numbers and arguments, and four such programs at once."""
    check_ends(cpus, "fuzz", 1, CALLS)
    assert record_of(boot(cpus), "fuzz").system_calls >= CALLS
    check_ends(cpus, "fuzz-many", 4, 10000)


@pytest.mark.parametrize("name", FAULTS)
def test_a_program_ends_by_its_own_fault(cpus: int, name: str) -> None:
    """A program that does wrong ends with the fault of what it did, and all its frames come
    back."""
    record = record_of(boot(cpus), name)
    assert record.end is ProgramEnd.FAULTED, record.describe()
    assert (record.vector, record.error_code) == FAULTS[name], record.describe()
    check_frames(cpus, name)


def test_abuse_of_system_calls(cpus: int) -> None:
    """Bad pointers, numbers and rights are errors, and the program that tries them all comes to its
    end."""
    record = record_of(boot(cpus), "syscall_abuse")
    assert record.end is ProgramEnd.EXITED, f"{record.describe()}\n{boot(cpus).serial[-3000:]}"
    check_frames(cpus, "syscall_abuse")


def test_endless_programs(cpus: int) -> None:
    """One more endless program than CPUs: each is taken off its CPU, and all end at the limit."""
    record = record_of(boot(cpus), "spin")
    assert record.killed == cpus + 1
    check_frames(cpus, "spin")


def raw(cpus: int, module: bytes, folder: Path, status: int = 0) -> str:
    """A boot as in the exercise: qemu -serial stdio -kernel KERNEL -initrd PROGRAM."""
    path = folder / "program"
    path.write_bytes(module)
    text = bytearray()
    command = [
        "qemu-system-x86_64", "-display", "none", "-no-reboot", "-serial", "stdio", "-smp", str(cpus),
        "-kernel", str(KERNEL), "-initrd", str(path), "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
    ]  # fmt: skip
    with Child(command, on_stdout=text.extend) as child:
        ended = child.wait(Limits(seconds=SECONDS))
    serial = text.decode(errors="replace")
    assert ended == status << 1 | 1, serial
    return serial


def test_the_exercise_as_it_was(cpus: int, tmp_path: Path) -> None:
    """The module is the program itself: hello says so, and pagefault is reported with its
    registers."""
    serial = raw(cpus, program("hello"), tmp_path)
    assert "Hello world!\n" in serial
    assert re.search(r"virtual 0x400000, physical 0x400000, 1000 bytes, R-X\n", serial)
    serial = raw(cpus, program("pagefault"), tmp_path)
    assert re.search(r"page fault \(#PF\): user write at 0x234: .*null pointer", serial)
    assert re.search(r"\nrip 0000000000400[0-9a-f]{3} rsp .* cr2 0000000000000234\n", serial)


def test_elf_error(cpus: int, tmp_path: Path) -> None:
    """A module that is no program ends the machine as the exercise wants it."""
    assert "ELF error" in raw(cpus, b"this is no program" * 100, tmp_path, PANIC)
    bad = program_image([Segment(0x800, bytes(64))], entry=0x800)
    assert "ELF error" in raw(cpus, bad, tmp_path, PANIC)


def test_programs_wait_for_the_end_of_others(cpus: int) -> None:
    check_ends(cpus, "waiter", 3, 20)
    record = record_of(boot(cpus), "circle")
    assert record.end is ProgramEnd.STUCK, record.describe()
    check_frames(cpus, "circle")
