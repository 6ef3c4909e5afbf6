# SPDX-License-Identifier: MIT
"""The evidence of user programs, the walk of their page tables, and the programs made for tests."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from grader.evidence import page_table, programs as proc_evidence
from grader.evidence.memory import EvidenceError, PhysicalMemory
from grader.evidence.programs import ProgramEnd
from grader.testkit.images import PF_R, PF_W, PF_X, GuestImage, Segment
from grader.testkit.plans import RunPlan
from grader.testkit.user_programs import bytes_of, pages_of, program_image

ROOT = Path(__file__).resolve().parents[2]
P, W, U, NX, LARGE = 1, 2, 4, 1 << 63, 1 << 7
FRAMES = 16


class Tables:
    """A small memory in which tables are built by hand."""

    def __init__(self) -> None:
        self.data = bytearray(FRAMES * 4096)

    def set(self, table: int, index: int, value: int) -> None:
        struct.pack_into("<Q", self.data, table * 4096 + index * 8, value)

    def chain(self, flags: tuple[int, int, int, int]) -> None:
        """Frames 1 to 4 are the tables that lead to the page in frame 5, at 0x8040201000."""
        for level, bits in enumerate(flags):
            self.set(1 + level, 1, (2 + level) * 4096 | bits)

    @property
    def memory(self) -> PhysicalMemory:
        return PhysicalMemory(self.data)


ADDRESS = (1 << 39) + (1 << 30) + (1 << 21) + (1 << 12)
ALL = P | W | U


def test_a_page_has_the_rights_of_all_levels() -> None:
    for flags, rights in (
        ((ALL, ALL, ALL, ALL), "rwx"),
        ((ALL, ALL, ALL, ALL | NX), "rw-"),
        ((ALL, ALL, ALL, P | U), "r-x"),
        ((ALL | NX, ALL, ALL, P | U), "r--"),
        ((ALL, P | U, ALL, ALL), "r-x"),
        ((ALL, ALL, P | W, ALL), "kernel"),
    ):
        tables = Tables()
        tables.chain(flags)
        pages = page_table.walk(tables.memory, 4096)
        assert list(pages) == [ADDRESS]
        assert pages[ADDRESS].rights == rights
        assert pages[ADDRESS].hpa == 5 * 4096
    assert page_table.table_count(tables.memory, 4096) == 4


def test_memory_is_read_through_the_tables() -> None:
    tables = Tables()
    tables.chain((ALL, ALL, ALL, ALL))
    tables.set(4, 2, 7 * 4096 | ALL)
    tables.data[5 * 4096 + 4090 : 5 * 4096 + 4096] = b"before"
    tables.data[7 * 4096 : 7 * 4096 + 5] = b"after"
    assert page_table.read(tables.memory, 4096, ADDRESS + 4090, 11) == b"beforeafter"
    with pytest.raises(EvidenceError, match="not present"):
        page_table.read(tables.memory, 4096, ADDRESS + 8190, 4)


@pytest.mark.parametrize(
    ("table", "value", "words"),
    [
        (2, 4096 | ALL, "reachable twice"),
        (2, 99 * 4096 | ALL, "not a frame of the machine"),
        (4, 99 * 4096 | ALL, "no memory"),
        (3, 0x20_0000 | ALL | LARGE, "large page"),
        (1, 4096 * 2 | ALL | LARGE, "large-page bit"),
        (4, 1 << 51 | ALL, "reserved bit"),
    ],
)
def test_tables_that_are_none(table: int, value: int, words: str) -> None:
    tables = Tables()
    tables.chain((ALL, ALL, ALL, ALL))
    tables.set(table, 1, value)
    with pytest.raises(EvidenceError, match=words):
        page_table.walk(tables.memory, 4096)


def test_the_kernels_half_is_not_the_programs() -> None:
    tables = Tables()
    tables.chain((ALL, ALL, ALL, ALL))
    tables.set(1, 256, 6 * 4096 | P | W)
    tables.set(6, 0, LARGE | P | W)
    assert list(page_table.walk(tables.memory, 4096)) == [ADDRESS]
    assert page_table.user_pages_of_kernel(tables.memory, 4096) == []
    tables.set(1, 256, 6 * 4096 | ALL)
    assert page_table.user_pages_of_kernel(tables.memory, 4096) == []
    tables.set(6, 0, LARGE | ALL)
    assert page_table.user_pages_of_kernel(tables.memory, 4096) == [256]


def block(count: int = 1, end: int = 4, **changes: object) -> bytes:
    """An evidence block with one record."""
    values = {name: 0 for name, _ in proc_evidence.BLOCK.fields} | {
        "name": b"abc", "end": end, "error": 3, "vector": 14, "cr2": 0x234, "kept": 1,
        "reason": b"words", "after": (7, *[0] * 15),
    }  # fmt: skip
    values |= changes
    record = b""
    for name, form in proc_evidence.BLOCK.fields:
        value = values[name]
        many = value if isinstance(value, tuple) else (0,) * 16 if form == "16Q" else (value,)
        record += struct.pack("<" + form, *many)
    head = struct.pack("<16sQQQQ", proc_evidence.BLOCK.magic, proc_evidence.BLOCK.record_size, count, 1, 4)
    return (head + record).ljust(proc_evidence.BLOCK.size, b"\0")


def test_evidence_is_read() -> None:
    found = proc_evidence.parse(block())
    assert found.finished and found.cpus == 4
    record = found.program("abc")
    assert record.end is ProgramEnd.FAULTED and record.cr2 == 0x234 and record.kept
    assert record.error == "OutOfRange" and record.after["kernel"] == 7
    assert "vector 14" in record.describe() and "words" in record.describe()
    with pytest.raises(EvidenceError, match="there are: abc"):
        found.program("xyz")


def test_evidence_that_is_none() -> None:
    with pytest.raises(EvidenceError, match="never filled in"):
        proc_evidence.parse(bytes(proc_evidence.BLOCK.size))
    with pytest.raises(EvidenceError, match="there is room for"):
        proc_evidence.parse(block(count=1000))
    with pytest.raises(EvidenceError, match="ends with 9"):
        proc_evidence.parse(block(end=9))


def test_layout_is_the_headers() -> None:
    """The names of the record's members, in the header's order."""
    text = (ROOT / "kern/proc/main/proc_evidence.hh").read_text()
    begin = text.index("struct ProgramRecord {") + len("struct ProgramRecord {")
    body = re.sub(r"//.*", "", text[begin : text.index("\n};", begin)])
    declared = re.findall(r"(\w+)\s*(?:=|\{)", body)
    assert declared == [name for name, _ in proc_evidence.BLOCK.fields]
    rooms = int(re.search(r"max_records = (\d+)", text)[1])  # type: ignore[index]
    assert rooms == proc_evidence.BLOCK.max_records


def test_plan_lines() -> None:
    line = RunPlan("a", "b.elf", count=3, cpus=2, keep=True, memory=7, args="x  y").line()
    assert line == "run name=a file=b.elf count=3 repeat=1 keep=1 limit=20000 cpus=2 memory=7 args=x  y"
    with pytest.raises(ValueError, match="no spaces"):
        RunPlan("a b", "c").line()
    with pytest.raises(ValueError, match="one line"):
        RunPlan("a", "c", args="x\ny").line()


def test_programs_made_for_tests() -> None:
    image = program_image(
        [
            Segment(0x40_0123, b"code", flags=PF_R | PF_X),
            Segment(0x40_0FFE, b"data", memsz=0x1003, flags=PF_R | PF_W),
        ],
        entry=0x40_0123,
    )
    for segment in GuestImage(image).segments:
        assert (segment.offset or 0) % 4096 == segment.virtual % 4096
    assert pages_of(image) == {0x1000: "rw-", 0x40_0000: "rwx", 0x40_1000: "rw-", 0x40_2000: "rw-"}
    assert bytes_of(image, 0x40_0122, 6) == b"\0code\0"
    assert bytes_of(image, 0x40_0FFD, 7) == b"\0data\0\0"
