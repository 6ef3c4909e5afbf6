# SPDX-License-Identifier: MIT
"""The kernel guest/tiny: an image with seeds of its own, and the number with which it exits."""

from __future__ import annotations

import hashlib
import struct

from grader.evidence.soft import EXITED, SoftRecord
from grader.testkit.images import GuestImage

__all__ = ["EXITED", "SoftRecord", "exit_number", "seeded", "seeds"]

_MASK = 0xFFFF_FFFF
_PRIME = 0x0100_0193
_START = 0x811C_9DC5
_TURNS = 8
_PROGRAM, _DEMAND = 0x4000_0000, 0x4000_2000
_CLI_OFFSET = 11
_WINDOWS = (0x1111_1111, 0x2222_2222)
_IF = 0x200
_WRITE_BY_A_PROGRAM = 6


def seeds(nonce: str) -> tuple[int, int]:
    """The seeds of the two programs in the run with this nonce."""
    first, second = struct.unpack("<II", hashlib.shake_128(f"{nonce}:tiny".encode()).digest(8))
    return first, second


def seeded(image: bytes, nonce: str) -> bytes:
    """The image with the seeds of this run."""
    made = bytearray(image)
    guest = GuestImage(image)
    for name, seed in zip(("seed_0", "seed_1"), seeds(nonce), strict=True):
        where = guest.symbol(name).paddr
        for segment in guest.segments:
            inside = where - segment.paddr
            if 0 <= inside < len(segment.data):
                offset = segment.offset + inside
                made[offset : offset + 4] = struct.pack("<I", seed)
    return bytes(made)


def exit_number(nonce: str, *, silent: bool = False) -> int:
    """The number with which tiny exits. ``silent``: where its PUSHF and POPF are executed by ring 3, which sees the IF
    of the real CPU."""
    state = _START

    def mix(value: int) -> None:
        nonlocal state
        state = (state ^ value) * _PRIME & _MASK

    values = list(seeds(nonce))
    calls = 0
    for turn in range(_TURNS, 0, -1):
        for program in (0, 1):
            value = values[program]
            if turn == _TURNS:  # its first turn: CLI is refused
                mix(0)
                mix(_PROGRAM + _CLI_OFFSET)
            value = value * _PRIME & _MASK if program == 0 else (value << 7 | value >> 25) & _MASK
            if turn == _TURNS:  # and its page comes on demand
                mix(_DEMAND + 4 * turn)
                mix(_WRITE_BY_A_PROGRAM)
            mix(value)
            calls += 1
            mix(_IF if silent else 0)
            mix(_IF)
            mix(_WINDOWS[calls & 1])
            values[program] = (value + calls) & _MASK
    return state
