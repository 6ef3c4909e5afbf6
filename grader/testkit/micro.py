# SPDX-License-Identifier: MIT
"""The root task kern/user/micro: an image with this run's key, and the number that each of its
parts leaves."""

from __future__ import annotations

import struct

from grader.evidence.micro import ROOT_TASK_ENDED, MicroRecord
from grader.testkit.digest import digest, key_of, scramble
from grader.testkit.images import GuestImage

__all__ = ["PARTS", "ROOT_TASK_ENDED", "MicroRecord", "client_digest", "keyed", "measuring", "number_of"]

_MASK = (1 << 64) - 1
(_DONE, _INVALID_CAPABILITY, _INVALID_ARGUMENT, _NOT_ALLOWED, _SLOT_EMPTY, _NOT_ENOUGH_MEMORY) = (0, 2, 3, 4, 5, 7)
"""Of kern::cap::Status."""
_ROUNDS, _PAGES, _THREADS = 300, 8, 4
PARTS = (
    "lookup", "derive", "revoke", "end_thread", "retype", "retype_long", "long_message", "capability_in_message",
    "rendezvous", "bound", "replies", "interrupts", "signals", "ping_pong", "paging", "many",
)  # fmt: skip
"""In the order of kern/user/micro/main.cc."""


def keyed(image: bytes, nonce: str, *, hostile_calls: int = 0) -> bytes:
    """The image with the key of this run. ``hostile_calls``: in the place of its parts it runs
    hostile children, until they have made so many calls."""
    return _with(image, micro_key=key_of(nonce), micro_role=int(hostile_calls != 0), micro_calls=hostile_calls)


def measuring(image: bytes) -> bytes:
    """The image that measures in the place of its parts."""
    return _with(image, micro_role=2)


def _with(image: bytes, **values: int) -> bytes:
    made = bytearray(image)
    guest = GuestImage(image)
    for name, value in values.items():
        where = guest.symbol(name).vaddr
        segment = next(one for one in guest.segments if one.virtual <= where < one.virtual + len(one.data))
        at = (segment.offset or 0) + where - segment.virtual
        made[at : at + 8] = struct.pack("<Q", value)
    return bytes(made)


def _seen(part: str, key: int) -> list[int]:
    """What the part sees, in order."""
    empty = _SLOT_EMPTY
    words = {
        "lookup": [word for badge in (3, 4) for word in (badge, _DONE, *[_INVALID_CAPABILITY] * 3)] + [1],
        "derive": [key | 1, key, _NOT_ALLOWED, 99, 0],
        "revoke": [_DONE, _DONE, _DONE, empty, empty, _DONE, _DONE, empty, _DONE],
        "end_thread": [10, _DONE, 0, 11, _DONE, 0, 12, _DONE, _DONE, 0],
        "retype": [_NOT_ENOUGH_MEMORY, empty, _DONE, 6, _DONE, _DONE, _DONE, _DONE, 0, _INVALID_ARGUMENT],
        "retype_long": [_NOT_ENOUGH_MEMORY, _DONE, _DONE],
        "long_message": [64, *(scramble(key + i & _MASK) for i in range(64))],
        "capability_in_message": [6, 1, _NOT_ALLOWED, _DONE, *(scramble(key ^ i) for i in range(0, 4096, 8))],
        "rendezvous": [20 + 21 + 22, 0b111, _DONE, 0, 0],
        "bound": [0x40, 4, _DONE],
        "replies": [key, 11, 11, 13, 3, _DONE, _DONE],
        "interrupts": [_DONE, _DONE, *[0x80] * 5, _DONE],
        "signals": [0x33, 0, 0x22],
        "many": [_THREADS * (_THREADS + 1) // 2] * _THREADS + [sum(range(30, 30 + _THREADS))],
    }
    if part == "ping_pong":
        return [_client(key)]
    if part == "paging":
        return [_digest(key, [scramble(key + i & _MASK) for i in range(_PAGES)])]
    return words[part]


def _digest(key: int, words: list[int]) -> int:
    return digest(struct.pack(f"<{len(words)}Q", *words), key)


def _client(key: int) -> int:
    answers = [(scramble(scramble(key + i & _MASK) ^ 0x77), i + 1) for i in range(_ROUNDS)]
    return _digest(key, [word for answer in answers for word in answer])


def client_digest(nonce: str) -> int:
    """What the client of a server says, in the run with this nonce."""
    return _client(key_of(nonce))


def number_of(part: str, nonce: str) -> int:
    """What the part leaves in the report in the run with this nonce."""
    key = key_of(nonce)
    return _digest(key + PARTS.index(part) & _MASK, _seen(part, key))
