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


def exit_code(status: int) -> bytes:
    """32- or 64-bit code that ends the guest with ``status`` (vmm/hypercall.hh), by the instruction of the
    CPU's vendor."""
    return b"".join((
        b"\x31\xc0\x0f\xa2\x89\xde",  # xor eax, eax; cpuid; mov esi, ebx
        b"\x31\xc0\xbb" + struct.pack("<I", status),  # xor eax, eax; mov ebx, status
        b"\xbaNest",  # mov edx, "Nest"
        b"\x81\xfeGenu",  # cmp esi, "Genu"
        b"\x74\x03\x0f\x01\xd9",  # je over the next; vmmcall
        b"\x0f\x01\xc1\xf4",  # vmcall; hlt
    ))  # fmt: skip


def touching_code(addresses: Sequence[int], status: int) -> bytes:
    """32-bit code, good at any address, that reads a byte at each guest-physical address below 4 GiB, in
    order, and then exits with ``status`` (vmm/hypercall.hh)."""
    reads = b"".join(b"\xa0" + struct.pack("<I", address) for address in addresses)  # mov al, [...]
    return reads + exit_code(status)
