# SPDX-License-Identifier: MIT
"""Boots of nestling-vmm: guests that user programs make, on both vendors' CPUs, 1 and 2 of them.

The labs' own boot tests look at what their tasks do; here is what they are not graded by: guests
that hang, guests that touch what nobody gave them, many at once, and what is left when they are
gone."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.evidence.guests import GuestEnd, GuestRecord, Vendor
from grader.evidence.programs import ProgramEnd, ProgramRecord
from grader.evidence.second_level import walk
from grader.testkit.boot import BootResult, run_boot
from grader.testkit.images import PF_R, PF_X, Segment, elf_image
from grader.testkit.plans import RunPlan
from grader.testkit.user_programs import program_image

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("NEST_BUILD", ROOT / "build" / "cmake"))
KERNEL = BUILD / "vmm" / "user" / "main" / "nestling-vmm.elf"
FILES = {
    "vmm.elf": BUILD / "vmm" / "user" / "program" / "vmm.elf",
    "gkernel-boot.elf": BUILD / "guest" / "gkernel" / "gkernel-boot.elf",
    "boot512.bin": BUILD / "guest" / "boot512" / "boot512.bin",
    "fpu.elf": BUILD / "kern" / "user" / "fpu.elf",
}
SECONDS = 120
MEMORY_KIB = 4096
CODE = 0x40_0000
SPOIL = 5
"""Of all entries that follow the first one, the one that a guest is refused."""
FAR_ENTRY = 0x1_0020_0000
"""An e_entry whose lower half is where the kernel begins."""
SELECTORS = program_image([Segment(CODE, bytes.fromhex(
    "b81b000000 8ed8 8ec0 8ee0 8ee8 31ff 31c0 0f05"
), flags=PF_R | PF_X)], entry=CODE)  # fmt: skip
"""mov eax, 0x1b; mov ds, eax; mov es, eax; mov fs, eax; mov gs, eax; and exit with 0"""
SECTORS = {
    "loop": b"\xeb\xfe",  # jmp to itself, with interrupts enabled or not
    "wild": b"\xa0\x00\x60",  # mov al, [0x6000]: nobody has mapped that page
    "halt": b"\xfa\xf4",  # cli; hlt
}
"""Boot sectors that never reach a kernel."""


def file(name: str) -> bytes:
    """A file of the boot as CMake built it."""
    path = FILES[name]
    if not path.is_file():
        pytest.fail(f"{path} is not built; mend: ninja -C {BUILD}")
    return path.read_bytes()


@dataclass(frozen=True)
class Place:
    """Where everything is booted once."""

    machine: str
    cpus: int

    def __str__(self) -> str:
        return f"{self.machine}-{self.cpus}"


@functools.cache
def boot(place: Place) -> BootResult:
    """One boot with everything."""
    size = f"memory={MEMORY_KIB}"

    def step(name: str, words: str, **more: object) -> RunPlan:
        return RunPlan(name, "vmm.elf", args=f"{size} {words}".strip(), **more)  # type: ignore[arg-type]

    steps = [
        step("exits", "hypercalls=1", keep=True),
        step("unserved", "hypercalls=0"),
        step("moves", "hypercalls=1", probe="move:10"),
        step("many", "hypercalls=1", probe="move:50", count=4),
        step("loop", "boot=loop.bin", limit_ms=300),
        step("wild", "boot=wild.bin"),
        step("halt", "boot=halt.bin"),
        step("spoiled", "hypercalls=1", probe="spoil:1"),
        step("spoiled-later", "hypercalls=1", probe=f"spoil:{SPOIL}"),
        step("little", "hypercalls=1", memory=300),
        step("far-entry", "kernel=far.elf"),
        RunPlan("fpu", "fpu.elf", count=3, args="key=0x1234 turns=100000 rounds=3"),
        step("again", "hypercalls=1", repeat=2),
        RunPlan("selectors", "selectors.elf", cpus=1),
        step("after-selectors", "hypercalls=1", cpus=1),
    ]
    files = {name: file(name) for name in FILES}
    files["selectors.elf"] = SELECTORS
    for name, code in SECTORS.items():
        files[f"{name}.bin"] = code.ljust(510, b"\x90") + b"\x55\xaa"
    files["far.elf"] = elf_image([Segment(0x20_0000, b"\xf4")], entry=FAR_ENTRY)
    with tempfile.TemporaryDirectory() as folder:
        return run_boot(
            KERNEL, files, steps, cpus=place.cpus, memory_mib=128, seconds=SECONDS,
            transcript_dir=Path(folder), runs="vmms", machine=place.machine,
        )  # fmt: skip


PLACES = [Place("amd-qemu", 1), Place("amd-qemu", 2), Place("intel-bochs", 2)]
VENDORS = {"amd-qemu": Vendor.AMD, "intel-bochs": Vendor.INTEL}
pytestmark = pytest.mark.parametrize("place", PLACES, ids=str)


def program(place: Place, name: str) -> ProgramRecord:
    booted = boot(place)
    assert booted.evidence is not None, f"{booted.explain()}; {booted.evidence_error}"
    return booted.evidence.program(name)


def guests(place: Place, owner: str) -> list[GuestRecord]:
    program(place, owner)
    return [one for one in boot(place).evidence.guests if one.owner_name == owner]


def guest(place: Place, owner: str) -> GuestRecord:
    (only,) = guests(place, owner)
    return only


def check_frames(place: Place, name: str) -> None:
    """Every frame of the step came back, those of its guests too."""
    record = program(place, name)
    assert record.after == record.before
    for one in guests(place, name):
        assert one.destroyed, one.describe()


def test_the_kernel_survives(place: Place) -> None:
    booted = boot(place)
    assert booted.ended == "powered off" and booted.status == 0, booted.explain()
    assert booted.evidence.finished
    assert booted.evidence.vendor is VENDORS[place.machine]
    for record in guests(place, "again"):
        assert record.end is GuestEnd.EXITED, record.describe()
    check_frames(place, "again")


def test_a_guest_runs_to_its_exit(place: Place) -> None:
    record = guest(place, "exits")
    assert record.end is GuestEnd.EXITED, f"{record.describe()}\n{boot(place).serial[-3000:]}"
    assert record.memory_bytes == MEMORY_KIB << 10 and record.rip == 0x7C00
    assert record.hypercalls and record.kept and not record.destroyed
    assert record.entries >= record.exits > 10
    assert record.host_rsp_mismatches == 0 and record.instruction_error == 0
    if place.machine.startswith("intel"):
        assert record.clears >= record.slices > 0, "each stay on a CPU begins and ends with a VMCLEAR"
        assert record.host_rsp_wanted == record.host_rsp_found != 0
    assert record.cr0 & 0x8000_0001 == 0x8000_0001, "it came to paging"
    assert program(place, "exits").end is ProgramEnd.EXITED


def test_the_table_of_a_kept_guest_can_be_walked(place: Place) -> None:
    record = guest(place, "exits")
    leaves = walk(boot(place).memory, record.table_root, record.table_format)
    assert len(leaves) == record.pages > 800
    assert all(gpa < record.memory_bytes for gpa in leaves)


def test_the_information_of_a_guest(place: Place) -> None:
    """Command line, boot loader's name, basic memory information and map, after the hand-over
    page's first 16 bytes [multiboot2 3.6]."""
    record = guest(place, "exits")
    leaves = walk(boot(place).memory, record.table_root, record.table_format)
    page = boot(place).memory.read(leaves[0x8000].hpa, 4096)[16:]
    tags: dict[int, bytes] = {}
    at = 8
    while 0 not in tags:
        kind, size = struct.unpack_from("<II", page, at)
        tags[kind] = page[at + 8 : at + size]
        at += -(-size // 8) * 8
    assert at == struct.unpack_from("<I", page)[0], "total_size"
    assert set(tags) == {0, 1, 2, 4, 6}
    assert b"Nestling" in tags[2] and tags[2].endswith(b"\0")
    assert struct.unpack("<II", tags[4]) == (640, MEMORY_KIB - 1024)


def test_an_entry_that_32_bits_cannot_hold_is_refused(place: Place) -> None:
    record = program(place, "far-entry")
    assert record.end is ProgramEnd.EXITED and record.status == 107, record.describe()  # bad format
    check_frames(place, "far-entry")


def test_an_unserved_hypercall_aborts_the_guest(place: Place) -> None:
    record = guest(place, "unserved")
    assert record.end is GuestEnd.UNHANDLED, record.describe()
    assert "Unhandled VMEXIT, aborting guest." in boot(place).serial.splitlines()
    assert program(place, "unserved").end is ProgramEnd.EXITED, "its VMM goes on"
    check_frames(place, "unserved")


def test_a_guest_moves_between_cpus(place: Place) -> None:
    record = guest(place, "moves")
    assert record.end is GuestEnd.EXITED, record.describe()
    assert record.cpus == (1 << place.cpus) - 1
    assert record.slices > record.exits // record.move - 1 > 1
    assert (record.moves > 1) == (place.cpus > 1)
    check_frames(place, "moves")


def test_many_guests_at_once(place: Place) -> None:
    found = guests(place, "many")
    assert [one.end for one in found] == [GuestEnd.EXITED] * 4, [one.describe() for one in found]
    check_frames(place, "many")


def test_an_entry_is_refused_on_purpose(place: Place) -> None:
    for name, before in (("spoiled", 0), ("spoiled-later", SPOIL - 1)):
        record = guest(place, name)
        assert record.end is GuestEnd.REFUSED, record.describe()
        assert record.entries >= before
        if place.machine.startswith("intel"):
            assert record.instruction_error == 7, "a control is invalid, not the launch state"
        check_frames(place, name)


def test_a_guest_that_hangs_is_killed(place: Place) -> None:
    record = guest(place, "loop")
    assert record.end is GuestEnd.KILLED, record.describe()
    assert record.slices > 1, "its CPU was taken from it"
    assert record.registers["rip"] == 0x7C00
    assert program(place, "loop").end is ProgramEnd.KILLED
    check_frames(place, "loop")


def test_a_guest_that_touches_what_nobody_gave_is_ended(place: Place) -> None:
    record = guest(place, "wild")
    assert record.end is GuestEnd.FAILED, record.describe()
    assert "not there" in record.reason and record.exit_information_2 == 0x6000
    check_frames(place, "wild")


def test_a_guest_that_halts_for_ever_is_ended(place: Place) -> None:
    record = guest(place, "halt")
    assert record.end is GuestEnd.FAILED, record.describe()
    assert "halted" in record.reason
    check_frames(place, "halt")


def test_without_memory_the_vmm_gives_up(place: Place) -> None:
    record = program(place, "little")
    assert record.end is ProgramEnd.EXITED and record.status == 105, record.describe()  # out of memory
    for one in guests(place, "little"):
        assert one.end is GuestEnd.MADE, "it was never started, and went with its program"
    check_frames(place, "little")


def test_selectors_that_a_program_has_loaded_are_its_own(place: Place) -> None:
    """A VM entry wants none of ring 3 in the host's segment registers, and a program may load
    them."""
    assert program(place, "selectors").end is ProgramEnd.EXITED
    record = guest(place, "after-selectors")
    assert record.end is GuestEnd.EXITED, record.describe()
    check_frames(place, "after-selectors")


def test_programs_keep_their_registers_beside_guests(place: Place) -> None:
    record = program(place, "fpu")
    assert record.exited == 3, f"{record.describe()}\n{boot(place).serial[-3000:]}"
