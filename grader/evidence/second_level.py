# SPDX-License-Identifier: MIT
"""An independent walk of second-level page tables, in a memory image and with no code of the
kernel's.

The tables are the work of student code: every entry may point anywhere, also back to its own table.
A table is a tree of frames, so that each frame is visited once at most, and a frame met twice is an
error. A walk has a budget of entries, and is made once for each boot and root.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from grader.evidence.memory import Budget, EvidenceError, PhysicalMemory
from grader.evidence.vms import TableFormat

PAGE_SIZE = 4096
ROOT_LEVEL = 4
GUEST_PHYSICAL_END = 1 << 40
MAX_LEAVES = 1 << 20
"""More leaves than any machine here can have pages: 4 GiB."""

_TABLE = struct.Struct("<512Q")
_ADDRESS_MASK = 0x000F_FFFF_FFFF_F000
_PAGE_SIZE_BIT = 1 << 7

# [amd/vol2 5.3]: nested paging uses the entries of long mode.
_NPT_PRESENT = 1 << 0
_NPT_WRITE = 1 << 1
_NPT_USER = 1 << 2
_NPT_NO_EXECUTE = 1 << 63
# [intel/vol3c 29.3.2]
_EPT_READ = 1 << 0
_EPT_WRITE = 1 << 1
_EPT_EXECUTE = 1 << 2
_EPT_MEMORY_TYPE = 7 << 3


@dataclass(frozen=True)
class Leaf:
    """One page that a second-level table maps."""

    hpa: int
    read: bool
    write: bool
    execute: bool
    size: int = PAGE_SIZE


@dataclass(frozen=True)
class Entry:
    """An entry of a second-level table, taken apart."""

    value: int
    present: bool
    leaf: bool
    target: int
    """Hpa of the page or of the next table"""
    read: bool
    write: bool
    execute: bool
    fault: str
    """the rule that it breaks, so that the CPU would not take it; else empty"""


@dataclass(frozen=True)
class Step:
    """One level of a walk."""

    level: int
    """4 is the root; a leaf stands in level 1 (4 KiB), 2 (2 MiB) or 3 (1 GiB)"""
    hpa: int
    """where the entry stands"""
    entry: Entry


def span(level: int) -> int:
    """The bytes that one entry of a table of ``level`` covers."""
    return PAGE_SIZE << 9 * (level - 1)


def decode(value: int, level: int, table_format: TableFormat) -> Entry:
    """Takes one entry of a table of ``level`` apart."""
    large = bool(value & _PAGE_SIZE_BIT)
    leaf = level == 1 or large
    target = value & _ADDRESS_MASK
    faults = []
    if table_format is TableFormat.NPT:
        present = bool(value & _NPT_PRESENT)
        # A nested walk is always a user access [amd/vol2 15.25.5].
        user = bool(value & _NPT_USER)
        read, write = present and user, present and user and bool(value & _NPT_WRITE)
        execute = present and user and not value & _NPT_NO_EXECUTE
        if leaf and level > 1:
            target &= ~(1 << 12)  # the PAT bit
    else:
        read, write, execute = (
            bool(value & bit) for bit in (_EPT_READ, _EPT_WRITE, _EPT_EXECUTE)
        )
        present = read or write or execute
        if write and not read:
            faults.append("WRITE without READ")
        if leaf and (value & _EPT_MEMORY_TYPE) >> 3 in (2, 3, 7):
            faults.append("a reserved memory type")
    if large and level == ROOT_LEVEL:
        faults.append("a page in the root table")
    if leaf and level > 1 and target % span(min(level, 3)):
        faults.append(f"a {span(level) >> 20} MiB page that is not aligned to its size")
    return Entry(
        value, present, leaf, target, read, write, execute, " and ".join(faults) if present else ""
    )


def walk(memory: PhysicalMemory, root: int, table_format: TableFormat) -> dict[int, Leaf]:
    """Every page that the table at ``root`` maps, by guest-physical address.

    A large page is one leaf. Permissions are those that hold over all levels together. Raises
    EvidenceError for a table that is none: outside of memory, reachable twice, with a reserved bit.
    """
    leaves: dict[int, Leaf] = memory.once(
        ("second-level table", root, table_format), lambda: _walk(memory, root, table_format))
    return leaves


def _walk(memory: PhysicalMemory, root: int, table_format: TableFormat) -> dict[int, Leaf]:
    budget = Budget()
    leaves: dict[int, Leaf] = {}
    visited: set[int] = set()
    pending = [(root, ROOT_LEVEL, 0, (True, True, True))]
    while pending:
        table, level, base, rights = pending.pop()
        if table in visited:
            raise EvidenceError(f"the table at Hpa {table:#x} is reachable twice")
        visited.add(table)
        budget.spend(_TABLE.size // 8)
        for index, value in enumerate(_TABLE.unpack(_table_bytes(memory, table, level))):
            if not value:
                continue
            entry = decode(value, level, table_format)
            if not entry.present:
                continue
            gpa = base + index * span(level)
            if entry.fault:
                raise EvidenceError(
                    f"the level-{level} entry {value:#x} for Gpa {gpa:#x} breaks a rule: {entry.fault}"
                )
            both = (
                rights[0] and entry.read,
                rights[1] and entry.write,
                rights[2] and entry.execute,
            )
            if not entry.leaf:
                pending.append((entry.target, level - 1, gpa, both))
                continue
            leaves[gpa] = Leaf(entry.target, *both, size=span(level))
            if len(leaves) > MAX_LEAVES:
                raise EvidenceError(f"the table at Hpa {root:#x} maps over {MAX_LEAVES} pages")
    return leaves


def steps(memory: PhysicalMemory, root: int, table_format: TableFormat, gpa: int) -> Iterator[Step]:
    """The walk for one address, level by level, to the leaf or the first entry that stops it."""
    table = root
    for level in range(ROOT_LEVEL, 0, -1):
        _require_table(memory, table, level)
        hpa = table + gpa // span(level) % 512 * 8
        entry = decode(int.from_bytes(memory.read(hpa, 8), "little"), level, table_format)
        yield Step(level, hpa, entry)
        if not entry.present or entry.leaf or entry.fault:
            return
        table = entry.target


def translate(memory: PhysicalMemory, root: int, table_format: TableFormat, gpa: int) -> Leaf | None:
    """The page that holds ``gpa``; None if it is not present."""
    if not 0 <= gpa < GUEST_PHYSICAL_END:
        return None
    read = write = execute = True
    for step in steps(memory, root, table_format, gpa):
        entry = step.entry
        read, write = read and entry.read, write and entry.write
        execute = execute and entry.execute
        if entry.present and entry.leaf and not entry.fault:
            return Leaf(entry.target, read, write, execute, span(step.level))
    return None


def guest_read(
    memory: PhysicalMemory, root: int, table_format: TableFormat, gpa: int, length: int
) -> bytes:
    """``length`` bytes of guest-physical memory; an EvidenceError if a page of them is not
    present."""
    if length < 0 or length > memory.size:
        raise EvidenceError(f"{length} bytes are more than the machine has")
    data = bytearray()
    while len(data) < length:
        at = gpa + len(data)
        leaf = translate(memory, root, table_format, at)
        if leaf is None:
            raise EvidenceError(f"Gpa {at:#x} is not present in the table at Hpa {root:#x}")
        offset = at % leaf.size
        data += memory.read(leaf.hpa + offset, min(length - len(data), leaf.size - offset))
    return bytes(data)


def _require_table(memory: PhysicalMemory, table: int, level: int) -> None:
    if table % PAGE_SIZE or not memory.contains(table, PAGE_SIZE):
        raise EvidenceError(f"the level-{level} table at Hpa {table:#x} is not a frame of the machine")


def _table_bytes(memory: PhysicalMemory, table: int, level: int) -> bytes:
    _require_table(memory, table, level)
    return memory.read(table, PAGE_SIZE)
