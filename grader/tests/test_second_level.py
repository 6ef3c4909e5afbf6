# SPDX-License-Identifier: MIT
"""The independent walker, on tables made by hand and on hostile ones."""

import random
import struct

import pytest

from grader.evidence.memory import EvidenceError, PhysicalMemory
from grader.evidence.second_level import Leaf, guest_read, steps, translate, walk
from grader.evidence.vms import TableFormat

NPT, EPT = TableFormat.NPT, TableFormat.EPT
# Present, writable, user; and READ, WRITE, EXECUTE. Both are 7, and a leaf may have more bits.
ALL = 7
LARGE = 1 << 7
NO_EXECUTE = 1 << 63
MIB = 1 << 20


class Tables:
    """A memory image with tables in it: the root is the frame at 0x1000."""

    def __init__(self, size: int = 4 * MIB) -> None:
        self.data = bytearray(size)

    def put(self, table: int, index: int, value: int) -> "Tables":
        struct.pack_into("<Q", self.data, table + index * 8, value)
        return self

    def chain(self, flags: int = ALL) -> "Tables":
        """Tables at 0x1000, 0x2000, 0x3000, 0x4000 for the first 2 MiB of guest memory."""
        for table in (0x1000, 0x2000, 0x3000):
            self.put(table, 0, table + 0x1000 | flags)
        return self

    @property
    def memory(self) -> PhysicalMemory:
        return PhysicalMemory(self.data)


@pytest.mark.parametrize("table_format", [NPT, EPT])
def test_small_pages(table_format: TableFormat) -> None:
    tables = Tables().chain().put(0x4000, 5, 0x9000 | ALL).put(0x4000, 511, 0xA000 | ALL)
    wanted = {0x5000: Leaf(0x9000, True, True, True), 0x1FF000: Leaf(0xA000, True, True, True)}
    assert walk(tables.memory, 0x1000, table_format) == wanted
    assert translate(tables.memory, 0x1000, table_format, 0x5FFF) == wanted[0x5000]
    assert translate(tables.memory, 0x1000, table_format, 0x1FF123) == wanted[0x1FF000]
    assert translate(tables.memory, 0x1000, table_format, 0x6000) is None
    assert len(list(steps(tables.memory, 0x1000, table_format, 0x6000))) == 4
    assert len(list(steps(tables.memory, 0x1000, table_format, 0x4000_0000))) == 2


def test_every_index_counts() -> None:
    tables = Tables().put(0x1000, 1, 0x2000 | ALL).put(0x2000, 2, 0x3000 | ALL)
    tables.put(0x3000, 3, 0x4000 | ALL).put(0x4000, 4, 0x5000 | ALL)
    gpa = (1 << 39) + (2 << 30) + (3 << 21) + (4 << 12)
    assert list(walk(tables.memory, 0x1000, NPT)) == [gpa]
    assert translate(tables.memory, 0x1000, NPT, gpa + 0x123) is not None


@pytest.mark.parametrize(
    ("table_format", "entry", "rights"),
    [
        (NPT, 0b111, (True, True, True)),
        (NPT, 0b101, (True, False, True)),
        (NPT, 0b101 | NO_EXECUTE, (True, False, False)),
        (NPT, 0b011, (False, False, False)),  # a supervisor page is not the guest's
        (EPT, 0b101, (True, False, True)),
        (EPT, 0b001, (True, False, False)),
        (EPT, 0b100, (False, False, True)),
        (EPT, 0b111 | NO_EXECUTE, (True, True, True)),  # bit 63 is not EPT's
    ],
)
def test_permissions(table_format: TableFormat, entry: int, rights: tuple[bool, ...]) -> None:
    tables = Tables().chain().put(0x4000, 0, 0x9000 | entry)
    found = walk(tables.memory, 0x1000, table_format)[0]
    assert (found.read, found.write, found.execute) == rights
    assert translate(tables.memory, 0x1000, table_format, 0) == found


def test_upper_levels_take_permissions_away() -> None:
    tables = Tables().chain().put(0x4000, 0, 0x9000 | ALL).put(0x2000, 0, 0x3000 | 0b101)
    assert walk(tables.memory, 0x1000, NPT)[0] == Leaf(0x9000, True, False, True)
    tables.put(0x1000, 0, 0x2000 | ALL | NO_EXECUTE)
    assert walk(tables.memory, 0x1000, NPT)[0] == Leaf(0x9000, True, False, False)


@pytest.mark.parametrize("table_format", [NPT, EPT])
def test_large_page(table_format: TableFormat) -> None:
    tables = Tables().chain().put(0x3000, 1, 2 * MIB | ALL | LARGE)
    tables.data[2 * MIB + 0x1234] = 99
    found = walk(tables.memory, 0x1000, table_format)
    assert found == {2 * MIB: Leaf(2 * MIB, True, True, True, 2 * MIB)}
    assert guest_read(tables.memory, 0x1000, table_format, 2 * MIB + 0x1234, 1) == b"\x63"


def test_guest_read_crosses_pages() -> None:
    tables = Tables().chain().put(0x4000, 0, 0x9000 | ALL).put(0x4000, 1, 0x6000 | ALL)
    tables.data[0x9FFE:0xA000] = b"ab"
    tables.data[0x6000:0x6002] = b"cd"
    assert guest_read(tables.memory, 0x1000, NPT, 0xFFE, 4) == b"abcd"
    with pytest.raises(EvidenceError, match="Gpa 0x2000 is not present"):
        guest_read(tables.memory, 0x1000, NPT, 0x1FFE, 4)
    with pytest.raises(EvidenceError):
        guest_read(tables.memory, 0x1000, NPT, 0, 1 << 60)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (Tables().put(0x1000, 0, 0x1000 | ALL), "reachable twice"),
        (Tables().chain().put(0x3000, 1, 0x4000 | ALL), "reachable twice"),
        (Tables().put(0x1000, 0, 1 << 50 | ALL), "not a frame"),
        (Tables().put(0x1000, 0, 4 * MIB | ALL), "not a frame"),
        (Tables().put(0x1000, 0, 0x2000 | ALL | LARGE), "root table"),
        (Tables().chain().put(0x3000, 0, 0x10_0000 | ALL | LARGE), "not aligned"),
    ],
)
def test_broken_tables_are_named(tables: Tables, words: str) -> None:
    with pytest.raises(EvidenceError, match=words):
        walk(tables.memory, 0x1000, NPT)


def test_ept_rules() -> None:
    tables = Tables().chain().put(0x4000, 0, 0x9000 | 0b010)
    with pytest.raises(EvidenceError, match="WRITE without READ"):
        walk(tables.memory, 0x1000, EPT)
    tables.put(0x4000, 0, 0x9000 | ALL | 2 << 3)
    with pytest.raises(EvidenceError, match="memory type"):
        walk(tables.memory, 0x1000, EPT)


@pytest.mark.parametrize("root", [1, 0x1001, 4 * MIB, 2**63])
def test_root_must_be_a_frame(root: int) -> None:
    with pytest.raises(EvidenceError, match="not a frame"):
        walk(Tables().memory, root, NPT)
    with pytest.raises(EvidenceError, match="not a frame"):
        translate(Tables().memory, root, NPT, 0)


def test_leaf_outside_of_memory_is_told_but_not_read() -> None:
    tables = Tables().chain().put(0x4000, 0, 1 << 45 | ALL)
    assert walk(tables.memory, 0x1000, NPT)[0].hpa == 1 << 45
    with pytest.raises(EvidenceError, match="not in the machine"):
        guest_read(tables.memory, 0x1000, NPT, 0, 1)


@pytest.mark.parametrize("table_format", [NPT, EPT])
def test_random_memory_is_survived(table_format: TableFormat) -> None:
    source = random.Random(11)
    for _ in range(30):
        data = bytearray(source.randbytes(64 << 10))
        # Addresses inside of the image, so that walks go deep.
        for offset in range(0, len(data), 8):
            value = int.from_bytes(data[offset : offset + 8], "little")
            struct.pack_into("<Q", data, offset, value & 0x8000_0000_0000_F087 | 4)
        memory = PhysicalMemory(data)
        for call in (
            lambda: walk(memory, 0x1000, table_format),
            lambda: guest_read(memory, 0x1000, table_format, source.getrandbits(40), 5000),
        ):
            try:
                call()
            except EvidenceError:
                pass
