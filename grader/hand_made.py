# SPDX-License-Identifier: MIT
"""Guests made by hand, byte by byte: they touch exactly the pages that they are told, and write nothing,
so that all of their memory can be compared with their image."""

from __future__ import annotations

import struct
from collections.abc import Sequence

#: A multiboot2 header with no tag but the end [multiboot2 3.1].
MULTIBOOT2_HEADER = struct.pack(
    "<IIIIHHI", 0xE85250D6, 0, 24, -(0xE85250D6 + 24) & 0xFFFFFFFF, 0, 0, 8
)


def touching_code(addresses: Sequence[int], status: int) -> bytes:
    """32-bit code, good at any address, that reads a byte at each guest-physical address below 4 GiB, in
    order, and then exits with ``status`` (vmm/hypercall.hh)."""
    reads = b"".join(b"\xa0" + struct.pack("<I", address) for address in addresses)  # mov al, [...]
    leave = b"\xbb" + struct.pack("<I", status)  # mov ebx, status
    leave += b"\x31\xc0"  # xor eax, eax
    leave += b"\x0f\x01\xd9"  # vmmcall
    return reads + leave + b"\xf4"  # hlt
