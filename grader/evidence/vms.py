# SPDX-License-Identifier: MIT
"""What a booted machine left behind, read from outside.

The memory of the machine is a file that student code has written to: every number in it may be a
lie. Nothing here follows a pointer without a bound, and whatever does not fit is an
:class:`EvidenceError` that says what was found and what was wanted.

* :class:`PhysicalMemory`: bytes by host-physical address.
* :class:`Evidence` and :class:`VmRecord`: the block ``vmm_evidence`` of ``vmm/evidence.hh``.

grader/evidence/second_level.py walks the nested tables in such a memory.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.evidence.symbols import Symbols

KERNEL_OFFSET = 0xFFFF_FFFF_8000_0000
"""Virtual minus physical address of the host kernel."""

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
    "guest/gkernel/results.hh": b"NESTLING-GKERN1",
}


def wrong_magic(found: bytes, declared: str) -> str | None:
    """What is wrong with a block that begins with the 16 bytes ``found``, if it should be the one that
    the header ``declared`` describes; None if it is."""
    wanted = MAGICS[declared]
    if found == wanted.ljust(16, b"\0"):
        return None
    for header, magic in MAGICS.items():
        if found == magic.ljust(16, b"\0"):
            return f"this is the block of {header} ({magic!r}), and that of {declared} ({wanted!r}) is wanted"
    return f"the block of {declared} begins with {found!r}, not with {wanted!r}: never filled in"


class EvidenceError(Exception):
    """The memory does not hold what it should; the text says what was found and what was wanted."""


class PhysicalMemory:
    """The memory of a machine that has ended (or is stopped), by host-physical address."""

    def __init__(self, data: bytes | bytearray | mmap.mmap) -> None:
        self._data = data
        self.size = len(data)

    @classmethod
    def from_fd(cls, fd: int, size: int) -> PhysicalMemory:
        """Maps an open memory file; the descriptor may be closed afterwards."""
        return cls(mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ))

    @classmethod
    def from_file(cls, path: Path) -> PhysicalMemory:
        """Maps a memory file."""
        fd = os.open(path, os.O_RDONLY)
        try:
            return cls.from_fd(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def read(self, hpa: int, length: int) -> bytes:
        """The ``length`` bytes at ``hpa``; an :class:`EvidenceError` if they are not all memory."""
        if hpa < 0 or length < 0 or hpa + length > self.size:
            raise EvidenceError(
                f"{length} bytes at Hpa {hpa:#x} are not in the machine's {self.size:#x} bytes of memory"
            )
        return bytes(self._data[hpa : hpa + length])

    def contains(self, hpa: int, length: int = 1) -> bool:
        """Whether all of those bytes are memory."""
        return 0 <= hpa and 0 <= length and hpa + length <= self.size


@dataclass(frozen=True)
class Block:
    """A block of records that a kernel publishes at a symbol: the magic, the size of a record, how many there
    are, two numbers more, all of 64 bits, and then the records."""

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


BLOCK = Block(
    "vmm_evidence", 32, "vmm/evidence.hh",
    (
        ("name", "32s"), ("state", "Q"), ("status", "Q"), ("error", "Q"), ("table_root", "Q"),
        ("table_format", "Q"), ("vcpu_count", "Q"), ("kept", "Q"), ("entry", "Q"),
        ("nested_faults", "Q"), ("exits", "Q"), ("hold_faults", "Q"), ("hold_expired", "Q"),
        ("fills", "Q"), ("vmcb", "8Q"), ("before", "16Q"), ("created", "16Q"), ("ended", "16Q"),
        ("after", "16Q"), ("held_reads", "Q"), ("failed_reads", "Q"), ("failed_address", "Q"),
        ("creation_nanoseconds", "Q"), ("run_nanoseconds", "Q"), ("reason", "64s"),
    ),
)  # fmt: skip
"""Of ``vmm::VmRecord``; the numbers are ``finished`` and ``cpus``."""


class VmState(enum.IntEnum):
    """``vmm::VmState``."""

    NONE = 0
    REFUSED = 1
    RUNNING = 2
    EXITED = 3
    FAILED = 4
    STOPPED = 5


class TableFormat(enum.IntEnum):
    """``VmRecord::table_format``."""

    NPT = 0
    EPT = 1


@dataclass(frozen=True)
class VmRecord:
    """One virtual machine of the boot: ``vmm::VmRecord``."""

    name: str
    state: VmState
    status: int
    """what the guest gave to the exit hypercall"""
    error: str | None
    """a name of ``kern::Error``, for example ``"OutOfMemory"``"""
    table_root: int
    table_format: TableFormat
    vcpu_count: int
    kept: bool
    entry: int
    nested_faults: int
    exits: int
    hold_faults: int
    hold_expired: bool
    fills: int
    vmcb: tuple[int, ...]
    before: dict[str, int]
    """frames in use before the VM was made, by account, for example ``before["guest memory"]``"""
    created: dict[str, int]
    """when it was ready to run"""
    ended: dict[str, int]
    """when its last vCPU had stopped"""
    after: dict[str, int]
    """when it was destroyed; equal to ``ended`` if kept"""
    held_reads: int
    failed_reads: int
    failed_address: int
    creation_nanoseconds: int
    run_nanoseconds: int
    reason: str
    """why it was refused or ended, in words"""


@dataclass(frozen=True)
class Evidence:
    """``vmm::Evidence``."""

    finished: bool
    """the plan was carried out to its end"""
    cpus: int
    records: tuple[VmRecord, ...] = field(default_factory=tuple)

    def vm(self, name: str) -> VmRecord:
        """The record of the VM called ``name``."""
        for record in self.records:
            if record.name == name:
                return record
        names = ", ".join(record.name for record in self.records) or "none"
        raise EvidenceError(f"no record of a VM {name!r}; there are: {names}")


def load(kernel: Path, memory: PhysicalMemory) -> Evidence:
    """Reads the evidence block of the host kernel whose ELF file is ``kernel``."""
    return parse(BLOCK.read(kernel, memory))


def parse(block: bytes) -> Evidence:
    """The evidence in the bytes of ``vmm::Evidence``."""
    finished, cpus, records = BLOCK.unpack(block)
    return Evidence(finished == 1, cpus, tuple(_record(values) for values in records))


def _record(values: dict[str, Any]) -> VmRecord:
    name = text_of(values["name"])
    state, table_format = values["state"], values["table_format"]
    if state not in set(VmState) or table_format not in set(TableFormat):
        raise EvidenceError(f"the record of VM {name!r} has state {state}, format {table_format}")
    count, vmcb = values["vcpu_count"], values["vmcb"]
    if count > len(vmcb):
        raise EvidenceError(f"the record of VM {name!r} speaks of {count} vCPUs")
    return VmRecord(
        **values
        | {
            "name": name,
            "reason": text_of(values["reason"]),
            "state": VmState(state),
            "table_format": TableFormat(table_format),
            "error": error_name(values["error"]),
            "kept": values["kept"] == 1,
            "hold_expired": values["hold_expired"] == 1,
            "vmcb": vmcb[:count],
        }
        | {key: accounts_of(values[key]) for key in ("before", "created", "ended", "after")}
    )
