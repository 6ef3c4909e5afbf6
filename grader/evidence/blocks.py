# SPDX-License-Identifier: MIT
"""A block of records that a kernel publishes at a symbol: its head, and what the records are made
of."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.evidence.memory import KERNEL_OFFSET, EvidenceError, PhysicalMemory
from grader.evidence.symbols import Symbols

# kern/lib/error.hh, in order. The record holds the number plus one.
ERRORS = (
    "InvalidArgument", "Unaligned", "OutOfRange", "Overlap", "AlreadyExists", "NotFound",
    "OutOfMemory", "BadFormat", "Truncated", "ShortRead", "DeviceFailure", "Unsupported", "Busy",
)  # fmt: skip

# kern/mm/frame_allocator.hh and vmm/frame_owners.hh.
MAX_OWNERS = 16
OWNERS = {
    0: "kernel", 1: "heap", 2: "page table", 3: "stack", 4: "test", 5: "user page", 6: "environment",
    8: "guest memory", 9: "second-level table", 10: "virtual CPU",
}  # fmt: skip


# Each block that is read from outside has a magic of its own, by the header that declares it.
MAGICS = {
    "vmm/evidence.hh": b"NESTLING-EVID-1",
    "vmm/user/guest_evidence.hh": b"NESTLING-GUEST1",
    "kern/proc/main/proc_evidence.hh": b"NESTLING-PROC-1",
    "kern/checksum/checksum_evidence.hh": b"NESTLING-CHECK1",
    "vmm/soft/main/soft_evidence.hh": b"NESTLING-SOFT-1",
    "kern/cap/main/micro_evidence.hh": b"NESTLING-MICRO1",
    "guest/gkernel/results.hh": b"NESTLING-GKERN1",
}


def wrong_magic(found: bytes, declared: str) -> str | None:
    """What is wrong with a block that begins with the 16 bytes ``found``, if it should be the one
    that the header ``declared`` describes; None if it is."""
    wanted = MAGICS[declared]
    if found == wanted.ljust(16, b"\0"):
        return None
    for header, magic in MAGICS.items():
        if found == magic.ljust(16, b"\0"):
            return f"this is the block of {header} ({magic!r}), and that of {declared} ({wanted!r}) is wanted"
    return f"the block of {declared} begins with {found!r}, not with {wanted!r}: never filled in"


@dataclass(frozen=True)
class Block:
    """A block of records that a kernel publishes at a symbol: the magic, the size of a record, how
    many there are, two numbers more, all of 64 bits, and then the records."""

    symbol: str
    max_records: int
    declared: str
    """in which header: a key of :data:`MAGICS`"""
    fields: tuple[tuple[str, str], ...]
    """the members of a record in order, with their ``struct`` formats"""

    _HEAD = struct.Struct("<16sQQQQ")

    @property
    def magic(self) -> bytes:
        """What the block begins with."""
        return MAGICS[self.declared]

    @property
    def record_size(self) -> int:
        """Bytes of one record."""
        return struct.calcsize("<" + "".join(form for _, form in self.fields))

    @property
    def size(self) -> int:
        """Bytes of the whole block."""
        return self._HEAD.size + self.max_records * self.record_size

    def read(self, kernel: Path, memory: PhysicalMemory) -> bytes:
        """The block of the kernel whose ELF file is ``kernel``."""
        symbol = Symbols.of(kernel).exactly_one(self.symbol)
        if symbol.size != self.size:
            raise EvidenceError(
                f"{self.symbol} in {kernel.name} has {symbol.size} bytes, and its reader in grader/ knows "
                f"{self.size}: {self.declared} was changed without it"
            )
        return memory.read(symbol.address - KERNEL_OFFSET, self.size)

    def unpack(self, block: bytes) -> tuple[int, int, list[dict[str, Any]]]:
        """The two numbers, and each record as its members' values."""
        magic, record_size, count, first, second = self._HEAD.unpack_from(block)
        if problem := wrong_magic(magic, self.declared):
            raise EvidenceError(problem)
        if record_size != self.record_size:
            raise EvidenceError(f"a record is said to have {record_size} bytes, not {self.record_size}")
        if count > self.max_records:
            raise EvidenceError(f"{count} records are announced, and there is room for {self.max_records}")
        begin, end = self._HEAD.size, self._HEAD.size + count * record_size
        return first, second, [self._record(block, at) for at in range(begin, end, record_size)]

    def _record(self, block: bytes, offset: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, form in self.fields:
            found = struct.unpack_from("<" + form, block, offset)
            offset += struct.calcsize("<" + form)
            values[name] = found if len(found) > 1 else found[0]
        return values


def text_of(raw: bytes) -> str:
    """A text that is padded with zeros."""
    return raw.split(b"\0")[0].decode("utf-8", "replace")


def error_name(value: int) -> str | None:
    """The name of a ``kern::Error`` that is kept as its number plus one; 0 is none."""
    if value == 0:
        return None
    return ERRORS[value - 1] if value <= len(ERRORS) else f"error {value - 1}"


def accounts_of(values: tuple[int, ...]) -> dict[str, int]:
    """Frames in use, by the name of the account."""
    return {OWNERS.get(index, f"owner {index}"): count for index, count in enumerate(values)}
