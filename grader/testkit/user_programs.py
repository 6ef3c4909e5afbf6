# SPDX-License-Identifier: MIT
"""What tests of user programs share: programs made for one run, what their files promise, and a
look into the memory of those that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from grader.evidence import page_table
from grader.evidence.memory import EvidenceError
from grader.evidence.programs import ProgramEnd, ProgramRecord
from grader.testkit.boot import BootResult
from grader.testkit.digest import digest, key_of
from grader.testkit.images import PF_R, PF_W, PF_X, GuestImage, Segment, elf_image, pattern

PAGE = 4096
STACK_PAGE, STACK_TOP = 0x1000, 0x2000
PREFIX = "user/"
"""Of user programs among the kit's files."""
PATTERNS = ("pattern_rodata", "pattern_data")
"""Symbols of hello.elf whose bytes are made for each run."""

DIVIDE, INVALID_OPCODE, GENERAL_PROTECTION, PAGE_FAULT = 0, 6, 13, 14
# The error code of a page fault.
PRESENT, WRITE, USER, FETCH = 1, 2, 4, 16

LINES_SAID = 8
"""So far before the line with its end a program's last words are looked for."""

FAULTS = {
    "pagefault": (PAGE_FAULT, USER | WRITE),
    "null": (PAGE_FAULT, USER),
    "rodata_write": (PAGE_FAULT, USER | WRITE | PRESENT),
    "text_write": (PAGE_FAULT, USER | WRITE | PRESENT),
    "exec_data": (PAGE_FAULT, USER | FETCH | PRESENT),
    "exec_stack": (PAGE_FAULT, USER | FETCH | PRESENT),
    "read_kernel": (PAGE_FAULT, USER | PRESENT),
    "recurse": (PAGE_FAULT, USER | WRITE),
    "divide": (DIVIDE, 0),
    "privileged": (GENERAL_PROTECTION, 0),
    "return_from_main": (INVALID_OPCODE, 0),
}
"""How each program of kern/user/programs that does wrong ends: (vector, error code)."""


def programs(kit_files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The kit's user programs, by the names that a boot module gives them."""
    return {
        name.removeprefix(PREFIX): data
        for name, data in kit_files.items()
        if name.startswith(PREFIX)
    }


def filled(program: bytes, nonce: str) -> bytes:
    """The program with the bytes of its pattern symbols made from the nonce."""
    out = bytearray(program)
    image = GuestImage(program)
    for name in PATTERNS:
        symbol = image.symbol(name)
        segment = next(
            one for one in image.segments
            if one.virtual <= symbol.vaddr < one.virtual + len(one.data)
        )  # fmt: skip
        at = (segment.offset or 0) + symbol.vaddr - segment.virtual
        out[at : at + symbol.size] = pattern(nonce, name, symbol.size)
    return bytes(out)


def program_image(segments: Iterable[Segment], entry: int) -> bytes:
    """An ELF64 executable whose segments lie in the file as a loader of whole pages wants it: at an
    offset that agrees with p_vaddr modulo the page. One that has an offset keeps it, right or
    wrong."""
    placed: list[Segment] = []
    at = PAGE
    for segment in segments:
        if segment.offset is None:
            segment = replace(segment, offset=at + segment.virtual % PAGE)
        placed.append(segment)
        at = max(at, -(-((segment.offset or 0) + len(segment.data)) // PAGE) * PAGE)
    image = bytearray(elf_image(placed, entry=entry))
    for segment in placed:
        offset = segment.offset or 0
        image += bytes(max(0, offset + len(segment.data) - len(image)))
        image[offset : offset + len(segment.data)] = segment.data
    return bytes(image)


def pages_of(program: bytes) -> dict[int, str]:
    """The pages that the program must have, by address, with their rights as `r-x`; the stack's
    too."""
    wanted: dict[int, int] = {STACK_PAGE: PF_R | PF_W}
    for segment in GuestImage(program).segments:
        if segment.size == 0:
            continue
        end = segment.virtual + segment.size
        for page in range(segment.virtual // PAGE * PAGE, end, PAGE):
            wanted[page] = wanted.get(page, 0) | segment.flags
    return {
        page: "r" + ("w" if flags & PF_W else "-") + ("x" if flags & PF_X else "-")
        for page, flags in sorted(wanted.items())
    }


def bytes_of(program: bytes, address: int, size: int) -> bytes:
    """What [address, address + size) holds before the program has run: segments, zeros
    elsewhere."""
    out = bytearray(size)
    for segment in GuestImage(program).segments:
        begin = max(address, segment.virtual)
        end = min(address + size, segment.virtual + len(segment.data))
        if begin < end:
            from_ = begin - segment.virtual
            out[begin - address : end - address] = segment.data[from_ : from_ + end - begin]
    return bytes(out)


def finish_status(nonce: str, result: int) -> int:
    """What user::finish(result) exits with in the run with this nonce."""
    return digest(result.to_bytes(8, "little"), key_of(nonce))


def record_of(booted: BootResult, name: str) -> ProgramRecord:
    """The evidence of one step of the plan; an EvidenceError if there is none, which says how the
    boot ended."""
    if booted.evidence is None:
        raise EvidenceError(f"{booted.explain()}; no evidence: {booted.evidence_error}")
    try:
        record: ProgramRecord = booted.evidence.program(name)
    except EvidenceError as problem:
        raise EvidenceError(f"{problem}; {booted.explain()}") from None
    if record.end in (ProgramEnd.NONE, ProgramEnd.RUNNING):
        raise EvidenceError(f"the program {name!r} did not come to its end: {booted.explain()}")
    return record


def last_said(booted: BootResult, name: str) -> str:
    """What the programs of a step said last on the serial line, as words to put behind a failure;
    empty if they said nothing."""
    lines = booted.serial.splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith(f"{name}: ")), None)
    if end is None:
        return ""
    said = [line for line in lines[max(0, end - LINES_SAID) : end] if line.startswith("wrong: ")]
    return f". It said: {said[0].removeprefix('wrong: ')}" if said else ""


def pages_seen(booted: BootResult, record: ProgramRecord) -> dict[int, page_table.Page]:
    """The pages of a program that was kept, found by a walk of its tables."""
    if not record.kept:
        raise EvidenceError(f"the program {record.name!r} was not kept: {record.describe()}")
    return page_table.walk(booted.memory, record.table_root)


def read(booted: BootResult, record: ProgramRecord, address: int, size: int) -> bytes:
    """Bytes of the memory of a program that was kept."""
    pages_seen(booted, record)
    return page_table.read(booted.memory, record.table_root, address, size)
