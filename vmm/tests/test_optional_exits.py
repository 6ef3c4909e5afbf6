# SPDX-License-Identifier: MIT
"""Boots of nestling with a guest whose writes of CR3 and page faults exit, by the plan's key
``exits``, and with one whose do not: the guest sees no difference, on both vendors' CPUs."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
from pathlib import Path

import pytest

from grader.evidence.vms import VmRecord, VmState
from grader.testkit.boot import BootResult, run_boot
from grader.testkit.images import GuestImage, fill_symbols
from grader.testkit.plans import VmPlan

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("NEST_BUILD", ROOT / "build" / "cmake"))
KERNEL = BUILD / "vmm" / "main" / "nestling.elf"
GUEST = BUILD / "guest" / "probes" / "exits.elf"
SECONDS = 60
STATUS, PAGING = 77, 10
"""The group `paging` of exits.S."""
CR3_WRITES = 21
"""20 in the group, and one on the way to paging."""
PAGE_FAULTS = 5
FAULT = struct.Struct("<8Q")
CHOICES = {"none": None, "cr3": "cr3", "pf": "pf", "both": "cr3,pf"}
pytestmark = pytest.mark.parametrize("machine", ["amd-qemu", "intel-bochs"])


@functools.cache
def boot(machine: str) -> BootResult:
    """One boot with a guest for each choice."""
    for file in (KERNEL, GUEST):
        if not file.is_file():
            pytest.fail(f"{file} is not built; mend: ninja -C {BUILD}")
    guest = fill_symbols(GUEST.read_bytes(), {"chosen": struct.pack("<Q", PAGING), "status": struct.pack("<Q", STATUS)})
    plan = [
        VmPlan(name, "exits.elf", ram_kib=4096, more={"exits": choice} if choice else None)
        for name, choice in CHOICES.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        return run_boot(
            KERNEL, {"exits.elf": guest}, plan, cpus=1, memory_mib=128, seconds=SECONDS,
            transcript_dir=Path(folder), machine=machine,
        )  # fmt: skip


def record(machine: str, name: str) -> VmRecord:
    """Of a guest that has come to its end."""
    found = boot(machine).vm(name)
    assert (found.state, found.status) == (VmState.EXITED, STATUS), found.reason
    return found


@pytest.mark.parametrize("name", CHOICES)
def test_what_is_chosen_exits(machine: str, name: str) -> None:
    """Each of them, and nothing else."""
    found = record(machine, name)
    choice = CHOICES[name] or ""
    assert found.cr3_writes == (CR3_WRITES if "cr3" in choice else 0)
    assert found.page_faults == (PAGE_FAULTS if "pf" in choice else 0)


@pytest.mark.parametrize("name", CHOICES)
def test_the_guest_sees_no_difference(machine: str, name: str) -> None:
    """Its faults have the error code of a write, and CR2."""
    record(machine, name)
    where = GuestImage(GUEST.read_bytes()).symbol("faults")
    bytes_there = boot(machine).guest_read(name, where.paddr, where.size)
    faults = [FAULT.unpack_from(bytes_there, FAULT.size * number) for number in range(PAGE_FAULTS + 1)]
    assert [fault[:3] for fault in faults[:PAGE_FAULTS]] == [(14, 2, 0x4000_7123)] * PAGE_FAULTS
    assert faults[PAGE_FAULTS][0] == 0, "a fault too many"


def test_the_console_tells(machine: str) -> None:
    """How often, for who tries it by hand."""
    record(machine, "both")
    assert f"both: {CR3_WRITES} writes of CR3 and {PAGE_FAULTS} page faults exited\n" in boot(machine).serial
