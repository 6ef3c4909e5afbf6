# SPDX-License-Identifier: MIT
"""An independent walk of a user program's page tables, in a memory image and with no code of the
kernel's.

The tables are the work of student code: every entry may point anywhere, also back to its own table.
Frames of tables are visited once at most; one that is met twice in the lower half is an error. A
walk has a budget of entries, and is made once for each boot and root. [amd/vol2 5.3 and 5.4]
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from grader.evidence.memory import Budget, EvidenceError, PhysicalMemory

PAGE_SIZE = 4096
ROOT_LEVEL = 4
ENTRIES = 512
USER_ENTRIES = 256
"""Entries of the root that belong to the program; the upper half is the kernel's."""
MAX_PAGES = 1 << 18
"""More pages than a program here can have: 1 GiB."""

_TABLE = struct.Struct("<512Q")
_ADDRESS_MASK = 0x000F_FFFF_FFFF_F000
_PRESENT = 1 << 0
_WRITE = 1 << 1
_USER = 1 << 2
_LARGE = 1 << 7
_NO_EXECUTE = 1 << 63
_RESERVED = 0x000F_FF00_0000_0000  # no machine here has so many physical address bits


@dataclass(frozen=True)
class Page:
    """A page of a program's address space, with the rights that all levels grant together."""

    hpa: int
    user: bool
    write: bool
    execute: bool

    @property
    def rights(self) -> str:
        """``r-x`` and the like; ``kernel`` where ring 3 may not use it."""
        if not self.user:
            return "kernel"
        return "r" + ("w" if self.write else "-") + ("x" if self.execute else "-")


def walk(memory: PhysicalMemory, root: int) -> dict[int, Page]:
    """Every page of the lower half, by virtual address. Raises EvidenceError for a table that is
    none."""
    pages: dict[int, Page] = memory.once(("page table", root), lambda: _walk(memory, root))
    return pages


def _walk(memory: PhysicalMemory, root: int) -> dict[int, Page]:
    budget = Budget()
    pages: dict[int, Page] = {}
    visited: set[int] = set()
    pending = [(root, ROOT_LEVEL, 0, True, True, True)]
    while pending:
        table, level, base, user, write, execute = pending.pop()
        if table in visited:
            raise EvidenceError(f"the table at Hpa {table:#x} is reachable twice")
        visited.add(table)
        budget.spend(ENTRIES)
        entries = _entries(memory, table, level)
        for index in range(USER_ENTRIES if level == ROOT_LEVEL else ENTRIES):
            value = entries[index]
            if not value & _PRESENT:
                continue
            address = base + (index << 12 + 9 * (level - 1))
            _check(value, level, address)
            rights = (
                user and bool(value & _USER),
                write and bool(value & _WRITE),
                execute and not value & _NO_EXECUTE,
            )
            target = value & _ADDRESS_MASK
            if level > 1:
                pending.append((target, level - 1, address, *rights))
                continue
            if not memory.contains(target, PAGE_SIZE):
                raise EvidenceError(f"the page at {address:#x} is Hpa {target:#x}, which is no memory")
            pages[address] = Page(target, *rights)
            if len(pages) > MAX_PAGES:
                raise EvidenceError(f"the table at Hpa {root:#x} maps over {MAX_PAGES} pages")
    return pages


def table_count(memory: PhysicalMemory, root: int) -> int:
    """How many frames the tables of the lower half take, the root included. Raises
    EvidenceError."""
    budget = Budget()
    seen, tables = {root}, [root]
    for level in range(ROOT_LEVEL, 1, -1):
        used = USER_ENTRIES if level == ROOT_LEVEL else ENTRIES
        below = []
        for table in tables:
            budget.spend(ENTRIES)
            for value in _entries(memory, table, level)[:used]:
                if not value & _PRESENT:
                    continue
                target = value & _ADDRESS_MASK
                if target in seen:
                    raise EvidenceError(f"the table at Hpa {target:#x} is reachable twice")
                seen.add(target)
                below.append(target)
        tables = below
    return len(seen)


def user_pages_of_kernel(memory: PhysicalMemory, root: int) -> list[int]:
    """The indices of the root's upper half through which ring 3 could reach something."""
    found = []
    budget = Budget()
    barren: set[tuple[int, int]] = set()
    for index in range(USER_ENTRIES, ENTRIES):
        value = _entries(memory, root, ROOT_LEVEL)[index]
        if value & _PRESENT and value & _USER and _grants(memory, value, ROOT_LEVEL - 1, barren, budget):
            found.append(index)
    return found


def _grants(memory: PhysicalMemory, value: int, level: int, barren: set[tuple[int, int]], budget: Budget) -> bool:
    """Whether some page below this entry may be used by ring 3. ``barren``: tables, with their
    levels, below which there is none; the kernel's half may share tables."""
    table = value & _ADDRESS_MASK
    if (table, level) in barren:
        return False
    budget.spend(ENTRIES)
    for below in _entries(memory, table, level):
        if below & _PRESENT and below & _USER:
            if level == 1 or below & _LARGE or _grants(memory, below, level - 1, barren, budget):
                return True
    barren.add((table, level))
    return False


def read(memory: PhysicalMemory, root: int, address: int, length: int) -> bytes:
    """``length`` bytes of the program's memory; an EvidenceError if a page of them is not
    present."""
    pages = walk(memory, root)
    data = bytearray()
    while len(data) < length:
        at = address + len(data)
        page = pages.get(at // PAGE_SIZE * PAGE_SIZE)
        if page is None:
            raise EvidenceError(f"{at:#x} is not present in the table at Hpa {root:#x}")
        offset = at % PAGE_SIZE
        data += memory.read(page.hpa + offset, min(length - len(data), PAGE_SIZE - offset))
    return bytes(data)


def _check(value: int, level: int, address: int) -> None:
    if value & _RESERVED:
        raise EvidenceError(f"the level-{level} entry {value:#x} for {address:#x} has a reserved bit")
    if value & _LARGE and level == ROOT_LEVEL:
        raise EvidenceError(f"the root's entry {value:#x} for {address:#x} has the large-page bit")
    if value & _LARGE and level > 1:
        raise EvidenceError(f"the level-{level} entry {value:#x} for {address:#x} is a large page")


def _entries(memory: PhysicalMemory, table: int, level: int) -> tuple[int, ...]:
    if table % PAGE_SIZE or not memory.contains(table, PAGE_SIZE):
        raise EvidenceError(f"the level-{level} table at Hpa {table:#x} is not a frame of the machine")
    return _TABLE.unpack(memory.read(table, PAGE_SIZE))
