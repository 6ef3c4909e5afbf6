# SPDX-License-Identifier: MIT
"""The memory of a machine, read from outside.

It is a file that student code has written to: every number in it may be a lie. Nothing in this room
follows a pointer without a bound, and whatever does not fit is an :class:`EvidenceError` that says
what was found and what was wanted.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

KERNEL_OFFSET = 0xFFFF_FFFF_8000_0000
"""Virtual minus physical address of the host kernel."""


class EvidenceError(Exception):
    """The memory does not hold what it should; the text says what was found and what was wanted."""


MAX_ENTRIES = 1 << 23
"""of tables, at which one walk looks: 16384 tables, many times what any kernel here makes"""


class Budget:
    """What one walk may cost, whatever the tables say: so many entries."""

    def __init__(self, entries: int = MAX_ENTRIES) -> None:
        self._most = self._left = entries

    def spend(self, entries: int) -> None:
        """Before that many entries are looked at. Raises :class:`EvidenceError` if there are too
        many."""
        self._left -= entries
        if self._left < 0:
            raise EvidenceError(f"the tables have over {self._most} entries, which no right kernel needs")


class PhysicalMemory:
    """The memory of a machine that has ended (or is stopped), by host-physical address."""

    def __init__(self, data: bytes | bytearray | mmap.mmap) -> None:
        self._data = data
        self.size = len(data)
        self._made: dict[Hashable, tuple[Any, EvidenceError | None]] = {}

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

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What ``make`` makes of the memory of a machine that has ended; it is made once for each
        key. An :class:`EvidenceError` is kept likewise."""
        if key not in self._made:
            try:
                self._made[key] = make(), None
            except EvidenceError as problem:
                self._made[key] = None, problem
        made, problem = self._made[key]
        if problem is not None:
            raise EvidenceError(str(problem))
        return made

    def contains(self, hpa: int, length: int = 1) -> bool:
        """Whether all of those bytes are memory."""
        return 0 <= hpa and 0 <= length and hpa + length <= self.size
