# SPDX-License-Identifier: MIT
"""What tests of the user-level VMM share: the files of a boot, the pages that a guest must have,
and a look into the memory of guests that were kept."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grader.evidence import guest_results, second_level
from grader.evidence.guests import GuestEnd, GuestRecord
from grader.evidence.memory import EvidenceError
from grader.evidence.second_level import Leaf
from grader.testkit.boot import BootResult
from grader.testkit.digest import digest, key_of
from grader.testkit.images import PF_R, PF_W, PF_X, GuestImage, Segment, fill_patterns, fill_symbols, pattern

PAGE = 4096
BOOT_SECTOR, HAND_OVER = 0x7C00, 0x8000
"""vmm/user/program/hand_over.hh"""
LOW_MEMORY, HIGH_MEMORY = (0x1_0000, 0xA_0000), 0x10_0000
"""What the program maps besides; vmm/user/program/main.cc."""
VMM, KERNEL, SECTOR = "vmm.elf", "gkernel-boot.elf", "boot512.bin"

AREAS = ("text", "rodata", "data", "bss")
"""What the guest kernel is asked to digest, in this order."""


def common_files(nonce: str, guests: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that every boot of the user-level VMM needs; the kernel's patterns are this
    run's."""
    return {
        VMM: guests[f"user/{VMM}"],
        KERNEL: fill_patterns(guests[KERNEL], nonce),
        SECTOR: guests[SECTOR],
    }


def kernel_segments(image: GuestImage) -> list[Segment]:
    """The segments that have pages."""
    return [segment for segment in image.segments if segment.size]


@dataclass(frozen=True)
class Page:
    """A page that a guest must have."""

    rights: str
    """as ``r-x``"""
    what: str
    """where it comes from, in words"""


def rights_of(leaf: Leaf) -> str:
    """A leaf's rights, as ``r-x``."""
    return "".join(
        letter if right else "-"
        for letter, right in zip("rwx", (leaf.read, leaf.write, leaf.execute))
    )


def _flags(flags: int) -> str:
    return "r" + ("w" if flags & PF_W else "-") + ("x" if flags & PF_X else "-")


def pages_of(image: GuestImage, memory: int) -> dict[int, Page]:
    """The pages that a guest with ``memory`` bytes and this kernel must have."""
    pages = {
        page: Page("rwx", "the guest's free memory")
        for begin, end in (LOW_MEMORY, (HIGH_MEMORY, memory))
        for page in range(begin, end, PAGE)
    }
    pages[BOOT_SECTOR // PAGE * PAGE] = Page("rwx", "the boot sector")
    pages[HAND_OVER] = Page("r--", "the hand-over page")
    for number, segment in enumerate(kernel_segments(image)):
        begin = segment.paddr // PAGE * PAGE
        for page in range(begin, segment.paddr + segment.size, PAGE):
            pages[page] = Page(_flags(segment.flags | PF_R), f"segment {number} of the kernel")
    return dict(sorted(pages.items()))


def bytes_of(image: GuestImage, sector: bytes, gpa: int) -> bytes:
    """What the page at ``gpa`` holds before the guest has written; not for the hand-over page."""
    page = bytearray(image.memory(gpa, PAGE))
    begin = BOOT_SECTOR - gpa
    if 0 <= begin < PAGE:
        page[begin : begin + len(sector)] = sector
    return bytes(page)


def records_of(booted: BootResult, owner: str) -> list[GuestRecord]:
    """The guests that the step ``owner`` of the plan has made; at least one."""
    if booted.evidence is None:
        raise EvidenceError(f"{booted.explain()}; no evidence: {booted.evidence_error}")
    found = [record for record in booted.evidence.guests if record.owner_name == owner]
    if not found:
        raise EvidenceError(f"{owner!r} has made no guest; {booted.explain()}")
    return found


def record_of(booted: BootResult, owner: str) -> GuestRecord:
    """The one guest of a step."""
    found = records_of(booted, owner)
    if len(found) != 1:
        raise EvidenceError(f"{owner!r} has made {len(found)} guests, not one; {booted.explain()}")
    return found[0]


def end_of(booted: BootResult, record: GuestRecord) -> str:
    """How a guest ended, with what the host's report says of a CPU that has refused it."""
    words = record.describe()
    report = booted.serial.partition(f"VM {record.name} ended by the host: ")[2].splitlines()[:5]
    rule = [line.split(maxsplit=1)[1] for line in report if line.startswith("  rule ")]
    return f"{words}: {rule[0]}" if rule and record.end is not GuestEnd.EXITED else words


def leaves_of(booted: BootResult, record: GuestRecord) -> dict[int, Leaf]:
    """The pages of a guest that was kept, by a walk of its second-level table."""
    if not record.kept:
        raise EvidenceError(f"the guest of {record.owner_name!r} was not kept: {record.describe()}")
    return second_level.walk(booted.memory, record.table_root, record.table_format)


def read(booted: BootResult, record: GuestRecord, gpa: int, size: int) -> bytes:
    """Bytes of the memory of a guest that was kept."""
    leaves_of(booted, record)
    return second_level.guest_read(
        booted.memory, record.table_root, record.table_format, gpa, size
    )


def results_of(
    booted: BootResult, record: GuestRecord, image: GuestImage
) -> guest_results.GuestResults:
    """What the guest kernel left in its memory; an AssertionError if it did not come so far."""
    where = image.symbol(guest_results.SYMBOL)
    found = guest_results.parse(read(booted, record, where.paddr, guest_results.SIZE))
    assert found.finished, f"the guest kernel did not finish what it was asked: {record.describe()}"
    return found


def check_digests(found: guest_results.GuestResults, image: GuestImage, nonce: str) -> None:
    """The guest kernel's digests of AREAS are those of its file, with this run's key."""
    begin, end = image.symbol("image_begin").paddr, image.symbol("text_end").paddr
    wanted = {"text": image.memory(begin, end - begin), "bss": bytes(image.symbol("pattern_bss").size)}
    for area in ("rodata", "data"):
        where = image.symbol(f"pattern_{area}")
        wanted[area] = image.memory(where.paddr, where.size)
    assert len(found.areas) >= len(AREAS), f"the guest kernel digested {len(found.areas)} areas only"
    for name, area in zip(AREAS, found.areas):
        right = digest(wanted[name], key_of(nonce))
        assert area.digest == right, (
            f"the guest's {name} has the digest {area.digest:016x}; wanted, out of its file: "
            f"{right:016x}"
        )
    assert found.problems == 0, f"the guest kernel found: {found.problem_words}; wanted: nothing"


# The guest of guest/probes/round_trip.S.

ROUND_TRIP = "round_trip.elf"
ROUND_TRIP_STATUS = 77
ROUNDS = 1024
REGISTERS = (
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
    "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "RFLAGS",
    "SYSENTER_CS", "SYSENTER_ESP", "SYSENTER_EIP", "STAR", "LSTAR", "CSTAR", "SFMASK",
    "FS base", "GS base", "KernelGSBase",
)  # fmt: skip
_CANONICAL = (1 << 47) - 1
_BITS = {
    "RFLAGS": 0x24_08D5, "SYSENTER_CS": 0xFFFF, "SFMASK": 0xFFFF_FFFF,
    **dict.fromkeys(
        ("SYSENTER_ESP", "SYSENTER_EIP", "LSTAR", "CSTAR", "FS base", "GS base", "KernelGSBase"),
        _CANONICAL,
    ),
}  # fmt: skip
"""Which bits of the random value the guest puts there, of those that cannot have all."""
_ROW = struct.Struct(f"<{len(REGISTERS)}Q")


def _rounds(nonce: str) -> bytes:
    return pattern(nonce, "round_trip_wanted", ROUNDS * _ROW.size)


def round_trip_file(nonce: str, guests: Mapping[str, bytes]) -> bytes:
    """The guest with the registers' values made from the nonce."""
    return fill_symbols(guests[ROUND_TRIP], {"round_trip_wanted": _rounds(nonce)})


@dataclass(frozen=True)
class Changed:
    """A register that came back from the world switch with another value."""

    round: int
    register: str
    seen: int
    wanted: int


def rounds_seen(booted: BootResult, record: GuestRecord, image: GuestImage) -> int:
    """How many round trips the guest has made."""
    return int.from_bytes(read(booted, record, image.symbol("round").paddr, 8), "little")


def answer_seen(booted: BootResult, record: GuestRecord, image: GuestImage) -> int:
    """RAX behind the CPUID that the guest executes at its end, with all upper 32 bits set."""
    return int.from_bytes(read(booted, record, image.symbol("round_trip_answer").paddr, 8), "little")


def changed_registers(
    booted: BootResult, record: GuestRecord, image: GuestImage, nonce: str
) -> list[Changed]:
    """All that differed, of the round trips that were made."""
    rounds = min(rounds_seen(booted, record, image), ROUNDS)
    where = image.symbol("round_trip_seen")
    seen = _ROW.iter_unpack(read(booted, record, where.paddr, rounds * _ROW.size))
    wanted = _ROW.iter_unpack(_rounds(nonce)[: rounds * _ROW.size])
    changed = []
    for number, (row, right) in enumerate(zip(seen, wanted, strict=True)):
        for name, have, want in zip(REGISTERS, row, right, strict=True):
            bits = _BITS.get(name, -1)
            have, want = have & bits, want & bits
            if have != want:
                changed.append(Changed(number, name, have, want))
    return changed


def arguments(pairs: Mapping[str, Any], told: Sequence[str] = ()) -> str:
    """The program's command line: its own words, then the guest's."""
    words = [f"{key}={value}" for key, value in pairs.items()]
    return " ".join([*words, *([f"args={' '.join(told)}"] if told else [])])
