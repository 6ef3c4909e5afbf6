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
_ROUNDS = 4
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
    of the real CPU and does not change the guest's."""
    digests = [_START, _START]
    values = list(seeds(nonce))

    def mix(program: int, value: int) -> None:
        digests[program] = (digests[program] ^ value) * _PRIME & _MASK

    def step(program: int) -> None:
        value = values[program]
        values[program] = value * _PRIME & _MASK if program == 0 else (value << 7 | value >> 25) & _MASK

    def add(program: int, value: int) -> None:
        values[program] = (values[program] + value) & _MASK

    calls = 0
    for turn in range(_TURNS, 0, -1):
        for program in (0, 1):
            if turn == _TURNS:  # its first turn: CLI is refused
                mix(program, 0)
                mix(program, _PROGRAM + _CLI_OFFSET)
            step(program)
            if turn == _TURNS:  # and its page comes on demand
                mix(program, _DEMAND + 4 * turn)
                mix(program, _WRITE_BY_A_PROGRAM)
            mix(program, values[program])
            calls += 1
            mix(program, _IF if silent else 0)
            mix(program, _IF)
            mix(program, 0 if silent else 1)  # an interrupt behind POPF,
            mix(program, 0)  # none between STI and CLI,
            mix(program, 1)  # and one behind the instruction behind STI
            mix(program, _WINDOWS[calls & 1])
            add(program, calls)
    shared = 0
    for _ in range(_ROUNDS):
        for program in (0, 1):
            add(program, shared)
            step(program)
            shared = values[program]
    for _ in range(_ROUNDS):
        step(0)
        add(1, values[0] & 0xFF)
        step(1)
    for program in (0, 1):
        mix(program, values[program])
    return digests[0] * _PRIME & _MASK ^ digests[1]
