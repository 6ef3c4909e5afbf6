# SPDX-License-Identifier: MIT
"""Programs that enter the kernel as no honest program does (kern/user/programs/entries.cc): with TF
set, with RSP in the kernel's memory, by instructions that ring 3 may not execute. Each ends by a
fault of its own, the kernel goes on, and what it holds is as it was, read from the machine's
memory."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
from pathlib import Path

import pytest

from grader import machines
from grader.evidence.memory import KERNEL_OFFSET
from grader.evidence.programs import ProgramEnd, ProgramRecord
from grader.evidence.symbols import Symbols
from grader.machines.bochs import DIRECT_MAP
from grader.testkit.boot import BootResult, run_boot
from grader.testkit.images import PF_R, PF_X, GuestImage, Segment
from grader.testkit.plans import RunPlan
from grader.testkit.user_programs import (
    GENERAL_PROTECTION, INVALID_OPCODE, PAGE_FAULT, program_image, record_of,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("NEST_BUILD", ROOT / "build" / "cmake"))
KERNEL = BUILD / "kern" / "proc" / "main" / "nestling-user.elf"
PROGRAM = BUILD / "kern" / "user" / "entries.elf"
SECONDS = 120

DEBUG, BREAKPOINT = 1, 3
TF, EVERY_FLAG = 1 << 8, 0x24_4DD5
STACKS = 0xFFFF_9000_0000_0000
"""Where the kernel's stacks begin, with unmapped pages under the first."""
TABLE, TABLE_SIZE = "boot_pml4", 4096
"""A page that the kernel writes only at its start: the root that starting CPUs use first."""
TABLE_ENTRIES = (0, 256, 511)
"""Those that are not 0: the identity map, the direct map, the image."""
UNUSED_AT = 0x400
"""In it; all around this place is 0."""
GUARD = program_image([Segment(0x40_0000, b"\x48\xa1" + struct.pack("<Q", STACKS), flags=PF_R | PF_X)], 0x40_0000)
"""movabs rax, [STACKS]"""
RANDOM, RANDOM_AT_ONCE, RANDOM_TIMES = "random", 8, 25

WAYS = {
    "syscall": {INVALID_OPCODE},
    "gs": {INVALID_OPCODE},
    "wrgsbase": {INVALID_OPCODE},
    "icebp": {DEBUG, INVALID_OPCODE},  # QEMU does not know it
    "int3": {BREAKPOINT},
    "int4": {GENERAL_PROTECTION},
    "int80": {GENERAL_PROTECTION},
    "sysenter": {GENERAL_PROTECTION, INVALID_OPCODE},  # Intel, AMD
    "sysret": {GENERAL_PROTECTION},
    "swapgs": {GENERAL_PROTECTION},
    "far_call": {GENERAL_PROTECTION},
    "far_jump": {GENERAL_PROTECTION},
    "mov_dr7": {GENERAL_PROTECTION},
    "ltr": {GENERAL_PROTECTION},
}
"""The exceptions by which each way may end the program."""


def table() -> int:
    """Where the page is in the kernel's image."""
    return Symbols.of(KERNEL).exactly_one(TABLE).address


@functools.cache
def boot(machine: str) -> BootResult:
    """All programs in one boot."""
    for path in (KERNEL, PROGRAM):
        if not path.is_file():
            pytest.fail(f"{path} is not built; mend: ninja -C {BUILD}")
    try:
        machines.machine(machine).check()
    except machines.MachineError as problem:
        pytest.skip(str(problem))
    inside = table() + UNUSED_AT
    steps = [
        ("step-image", f"way=syscall rsp={inside:#x} flags={TF:#x} iretq=1"),
        ("step-map", f"way=syscall rsp={DIRECT_MAP + inside - KERNEL_OFFSET:#x} flags={TF:#x} iretq=1"),
        ("image", f"way=syscall rsp={inside:#x}"),
        *((f"way-{way}", f"way={way}") for way in WAYS),
        ("step", f"way=syscall flags={TF:#x}"),
        ("step-mov-ss", f"way=mov_ss_syscall flags={TF:#x}"),
        ("step-int3", f"way=int3 flags={TF:#x}"),
        ("step-mov-ss-int3", f"way=mov_ss_int3 flags={TF:#x}"),
        ("step-flags", f"way=syscall flags={EVERY_FLAG:#x}"),
        ("step-not-canonical", f"way=syscall rsp=0x8000000000000000 flags={TF:#x} iretq=1"),
    ]
    plan = [RunPlan(name, "entries.elf", args=args) for name, args in steps]
    plan.append(RunPlan("guard", "guard.elf"))
    plan.append(RunPlan(RANDOM, "entries.elf", count=RANDOM_AT_ONCE, repeat=RANDOM_TIMES))
    with tempfile.TemporaryDirectory() as folder:
        return run_boot(
            KERNEL, {"entries.elf": PROGRAM.read_bytes(), "guard.elf": GUARD}, plan, cpus=2, memory_mib=64,
            seconds=SECONDS, transcript_dir=Path(folder), machine=machine, runs="programs",
        )  # fmt: skip


pytestmark = pytest.mark.parametrize("machine", machines.names())


def fault_of(machine: str, name: str) -> ProgramRecord:
    """The record of a step, which must have ended by a fault, and given all back."""
    record = record_of(boot(machine), name)
    assert record.end is ProgramEnd.FAULTED, record.describe()
    assert record.after == record.before
    return record


def test_the_kernel_survives(machine: str) -> None:
    booted = boot(machine)
    assert (booted.ended, booted.status) == ("powered off", 0), booted.explain()


@pytest.mark.parametrize("way", WAYS)
def test_each_way_ends_the_program(machine: str, way: str) -> None:
    record = fault_of(machine, f"way-{way}")
    assert record.vector in WAYS[way], record.describe()


@pytest.mark.parametrize("name", ["step", "step-flags", "step-image", "step-map", "step-not-canonical"])
def test_a_step_over_a_system_call(machine: str, name: str) -> None:
    """The call is served, and the #DB comes as it does behind any other instruction of the
    program."""
    record = fault_of(machine, name)
    if machine == "amd-qemu" and record.vector == PAGE_FAULT:
        pytest.skip("this QEMU's IRETQ in ring 3 reads its frame as ring 0 does, which SMAP forbids")
    assert record.vector == DEBUG, record.describe()
    assert record.rip == Symbols.of(PROGRAM).exactly_one("behind_syscall").address, record.describe()
    assert record.system_calls == 1


@pytest.mark.parametrize("name", ["step-mov-ss", "step-int3", "step-mov-ss-int3"])
def test_a_step_that_is_held_back(machine: str, name: str) -> None:
    """No #DB comes in the kernel, whichever instruction is the last one in ring 3."""
    record = fault_of(machine, name)
    assert record.vector == (DEBUG if name == "step-mov-ss" else BREAKPOINT), record.describe()


def test_no_stack_pointer_of_a_program_is_used(machine: str) -> None:
    """A program whose RSP lies in the kernel's memory has not changed a byte there."""
    booted = boot(machine)
    for name in ("step-image", "step-map", "image"):
        fault_of(machine, name)
    page = booted.memory.read(table() - KERNEL_OFFSET, TABLE_SIZE)
    changed = [i for i in range(TABLE_SIZE // 8)
               if (page[i * 8 : i * 8 + 8] != bytes(8)) != (i in TABLE_ENTRIES)]  # fmt: skip
    assert not changed, f"words {changed} of {TABLE}: {booted.explain()}"


def test_what_the_kernel_does_not_write_is_as_it_was(machine: str) -> None:
    """Its code and its constants."""
    booted = boot(machine)
    for segment in GuestImage(KERNEL.read_bytes()).segments[:2]:
        seen = booted.memory.read(segment.virtual - KERNEL_OFFSET, len(segment.data))
        assert seen == segment.data


def test_a_guard_page_of_the_kernel_is_not_the_programs(machine: str) -> None:
    """A program that reads under a stack of the kernel is told what it did, and not of a stack
    overflow."""
    record = fault_of(machine, "guard")
    assert record.cr2 == STACKS
    assert record.reason.startswith(f"page fault (#PF): user read at {STACKS:#x}"), record.reason


def test_any_way_with_any_stack_and_flags(machine: str) -> None:
    record = fault_of(machine, RANDOM)
    assert record.faulted == RANDOM_AT_ONCE * RANDOM_TIMES, record.describe()
