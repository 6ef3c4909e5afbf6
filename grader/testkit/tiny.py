# SPDX-License-Identifier: MIT
"""The kernel guest/tiny: an image with seeds of its own, and the numbers that it makes of what it
sees."""

from __future__ import annotations

import hashlib
import re
import struct

from grader.evidence.soft import EXITED, SoftRecord
from grader.testkit.images import GuestImage

__all__ = ["ASPECTS", "EXITED", "ROUNDS", "TURNS", "SoftRecord", "digests", "exit_number", "printed", "seeded", "seeds"]

ASPECTS = ("values", "faults", "flags", "arrivals", "window", "clock", "input")
"""What its digests are of: ``SEEN_VALUES`` and the others of guest/tiny/tiny.h."""

_MASK = 0xFFFF_FFFF
_PRIME = 0x0100_0193
_START = 0x811C_9DC5
TURNS, ROUNDS = 8, 4
"""As they stand in its image."""
_PROGRAM, _DEMAND = 0x4000_0000, 0x4000_2000
_CLI_OFFSET = 6
_WINDOWS = (0x1111_1111, 0x2222_2222)
_IF = 0x200
_WRITE_BY_A_PROGRAM = 6


def seeds(nonce: str) -> tuple[int, int]:
    """The seeds of the two programs in the run with this nonce."""
    first, second = struct.unpack("<II", hashlib.shake_128(f"{nonce}:tiny".encode()).digest(8))
    return first, second


def seeded(image: bytes, nonce: str, *, turns: int = TURNS, reads: int = 0, rounds: int = ROUNDS) -> bytes:
    """The image with the seeds of this run, and with so much to do: turns that the programs take by
    a system call, reads of which each waits for the other program, and rounds by the timer and the
    serial line."""
    first, second = seeds(nonce)
    made = bytearray(image)
    guest = GuestImage(image)
    for name, value in (("seed_0", first), ("seed_1", second), ("turns", turns), ("reads", reads), ("rounds", rounds)):
        where = guest.symbol(name).paddr
        for segment in guest.segments:
            inside = where - segment.paddr
            if 0 <= inside < len(segment.data):
                offset = segment.offset + inside
                made[offset : offset + 4] = struct.pack("<I", value)
    return bytes(made)


def digests(nonce: str, *, silent: bool = False, turns: int = TURNS, reads: int = 0, rounds: int = ROUNDS) -> dict[str, int]:
    """What tiny prints at its end, by ASPECTS. ``silent``: where its PUSHF and POPF are executed by
    ring 3, which sees the IF of the real CPU and does not change the guest's."""
    values = list(seeds(nonce))
    start = _START
    for value in values:
        start = (start ^ value) * _PRIME & _MASK
    made = dict.fromkeys(ASPECTS, start)

    def mix(aspect: str, value: int) -> None:
        made[aspect] = (made[aspect] ^ value) * _PRIME & _MASK

    def step(program: int) -> None:
        value = values[program]
        values[program] = value * _PRIME & _MASK if program == 0 else (value << 7 | value >> 25) & _MASK

    def add(program: int, value: int) -> None:
        values[program] = (values[program] + value) & _MASK

    calls = 0
    for turn in range(turns, 0, -1):
        for program in (0, 1):
            if turn == turns:  # its first turn: CLI is refused
                mix("faults", 0)
                mix("faults", _PROGRAM + _CLI_OFFSET)
            step(program)
            mix("faults", _DEMAND + 4 * turn)  # its page comes on demand
            mix("faults", _WRITE_BY_A_PROGRAM)
            mix("values", values[program])
            calls += 1
            mix("flags", _IF if silent else 0)
            mix("flags", _IF)
            mix("flags", _IF if silent else 0)  # behind a handler of the kernel's
            mix("arrivals", 0 if silent else 1)  # an interrupt behind POPF,
            mix("arrivals", 0)  # none between STI and CLI,
            mix("arrivals", 1)  # and one behind the instruction behind STI
            mix("window", _WINDOWS[calls & 1])
            add(program, calls)
    for _ in range(reads):
        step(1)
        add(0, values[1] & 0xFF)
        step(0)
    shared = 0
    for _ in range(rounds):
        for program in (0, 1):
            add(program, shared)
            step(program)
            shared = values[program]
    mix("clock", shared)
    for _ in range(rounds):
        step(0)
        add(1, values[0] & 0xFF)
        step(1)
    for value in values:
        mix("input", value)
    return made


def exit_number(nonce: str, *, silent: bool = False, turns: int = TURNS, reads: int = 0, rounds: int = ROUNDS) -> int:
    """The number with which tiny exits: all of its digests in one."""
    state = _START
    for digest in digests(nonce, silent=silent, turns=turns, reads=reads, rounds=rounds).values():
        state = (state ^ digest) * _PRIME & _MASK
    return state


def printed(serial: str) -> dict[str, int]:
    """The digests in what tiny has printed; nothing if it did not come to its end."""
    line = re.search(rf"\] ((?:[0-9a-f]{{8}} ){{{len(ASPECTS)}}})", serial)
    return dict(zip(ASPECTS, (int(word, 16) for word in line[1].split()), strict=True)) if line else {}
