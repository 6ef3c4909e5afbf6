# SPDX-License-Identifier: MIT
"""The guest's keyed digest (guest/gkernel/digest.hh), worked out by the harness from the image."""

from __future__ import annotations

import struct

_MASK = (1 << 64) - 1
_START = 0x6E6573746C696E67
_MULTIPLIER = 0x9E3779B97F4A7C15
_FINAL_MULTIPLIER = 0xBF58476D1CE4E5B9
_ROTATION = 29


def key_of(nonce: str) -> int:
    """The digest's key for a run's nonce: its first 16 hexadecimal digits."""
    return int(nonce[:16], 16)


def scramble(value: int) -> int:
    """Mixes the bits of a 64-bit value so that each depends on all."""
    value ^= value >> 32
    value = value * _FINAL_MULTIPLIER & _MASK
    return value ^ value >> 29


def digest(data: bytes, key: int) -> int:
    """The digest of the 64-bit little-endian words in `data`, whose length is a multiple of 8."""
    if len(data) % 8:
        raise ValueError(f"a digest takes whole 64-bit words, not {len(data)} bytes")
    state = (key ^ _START) & _MASK
    rest = 64 - _ROTATION
    for (word,) in struct.iter_unpack("<Q", data):
        mixed = state ^ word
        state = (mixed << _ROTATION | mixed >> rest) * _MULTIPLIER & _MASK
    return scramble(state ^ len(data) // 8)


def written_page(key: int, address: int, size: int = 4096) -> bytes:
    """What the guest writes to `size` bytes at guest-physical `address`, a multiple of 8."""
    words = (
        scramble((key + where * _MULTIPLIER) & _MASK) for where in range(address, address + size, 8)
    )
    return struct.pack(f"<{size // 8}Q", *words)
