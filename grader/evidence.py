# SPDX-License-Identifier: MIT
"""What a booted machine left behind, read from outside.

The memory of the machine is a file that student code has written to: every number in it may be a
lie. Nothing here follows a pointer without a bound, and whatever does not fit is an
:class:`EvidenceError` that says what was found and what was wanted.

* :class:`PhysicalMemory`: bytes by host-physical address.
* :class:`Evidence` and :class:`VmRecord`: the block ``vmm_evidence`` of ``vmm/evidence.hh``.
* :func:`walk` and :func:`translate`: second-level tables (NPT and EPT), read with no code of the
  hypervisor's.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

PAGE_SIZE = 4096
LARGE_PAGE_SIZE = 2 << 20
KERNEL_OFFSET = 0xFFFF_FFFF_8000_0000
"""Virtual minus physical address of the host kernel."""

SYMBOL = "vmm_evidence"
MAGIC = b"NESTLING-EVID-1"
MAX_RECORDS = 32

# kern/lib/error.hh, in order. The record holds the number plus one.
ERRORS = (
    "InvalidArgument", "Unaligned", "OutOfRange", "Overlap", "AlreadyExists", "NotFound",
    "OutOfMemory", "BadFormat", "Truncated", "ShortRead", "DeviceFailure", "Unsupported", "Busy",
)  # fmt: skip

# kern/mm/frame_allocator.hh and vmm/frame_owners.hh.
MAX_OWNERS = 16
OWNERS = {
    0: "kernel", 1: "heap", 2: "page table", 3: "stack", 4: "test",
    8: "guest memory", 9: "second-level table", 10: "virtual CPU",
}  # fmt: skip


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
    ended: dict[str, int]
    after: dict[str, int]


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


@dataclass(frozen=True)
class Leaf:
    """One page that a second-level table maps."""

    hpa: int
    read: bool
    write: bool
    execute: bool
    size: int = PAGE_SIZE


@dataclass(frozen=True)
class Step:
    """One level of a walk: the entry that was read and where it stands."""

    level: int
    entry_hpa: int
    entry: int
    present: bool
    leaf: bool
    target: int
    read: bool
    write: bool
    execute: bool
    note: str = ""
    """what is wrong with the entry, if anything"""


def load(kernel: Path, memory: PhysicalMemory) -> Evidence:
    """Reads the evidence block of the host kernel whose ELF file is ``kernel``."""
    raise NotImplementedError


def walk(memory: PhysicalMemory, root: int, table_format: TableFormat) -> dict[int, Leaf]:
    """Every page that the table at ``root`` maps, by guest-physical address."""
    raise NotImplementedError


def steps(memory: PhysicalMemory, root: int, table_format: TableFormat, gpa: int) -> Iterator[Step]:
    """The walk for one address, level by level, down to the leaf or the first absent entry."""
    raise NotImplementedError


def translate(memory: PhysicalMemory, root: int, table_format: TableFormat, gpa: int) -> Leaf | None:
    """The page that holds ``gpa``, or None if it is not present."""
    raise NotImplementedError
