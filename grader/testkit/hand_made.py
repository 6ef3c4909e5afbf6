# SPDX-License-Identifier: MIT
"""Guests made by hand, byte by byte: they touch exactly the pages that they are told, and write
nothing, so that all of their memory can be compared with their image."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def multiboot2_tag(kind: int, *words: int, optional: bool = False) -> bytes:
    """A tag for `multiboot2_header`, of 32-bit words."""
    body = struct.pack(f"<HHI{len(words)}I", kind, optional, 8 + 4 * len(words), *words)
    return body + bytes(-len(body) % 8)


def multiboot2_header(*tags: bytes) -> bytes:
    """A multiboot2 header [multiboot2 3.1] with these tags and the end."""
    body = b"".join(tags) + multiboot2_tag(0)
    magic, size = 0xE85250D6, 16 + len(body)
    return struct.pack("<IIII", magic, 0, size, -(magic + size) & 0xFFFFFFFF) + body


#: A multiboot2 header with no tag but the end.
MULTIBOOT2_HEADER = multiboot2_header()
#: A multiboot1 header [multiboot 3.1], which nobody here starts.
MULTIBOOT1_HEADER = struct.pack("<III", 0x1BADB002, 0, -0x1BADB002 & 0xFFFFFFFF)


def exit_code(status: int) -> bytes:
    """32- or 64-bit code that ends the guest with ``status`` (vmm/hypercall.hh), by the instruction
    of the CPU's vendor."""
    return b"".join((
        b"\x31\xc0\x0f\xa2\x89\xde",  # xor eax, eax; cpuid; mov esi, ebx
        b"\x31\xc0\xbb" + struct.pack("<I", status),  # xor eax, eax; mov ebx, status
        b"\xbaNest",  # mov edx, "Nest"
        b"\x81\xfeGenu",  # cmp esi, "Genu"
        b"\x74\x03\x0f\x01\xd9",  # je over the next; vmmcall
        b"\x0f\x01\xc1\xf4",  # vmcall; hlt
    ))  # fmt: skip


def touching_code(addresses: Sequence[int], status: int) -> bytes:
    """32-bit code, good at any address, that reads a byte at each guest-physical address below 4
    GiB, in order, and then exits with ``status`` (vmm/hypercall.hh)."""
    reads = b"".join(b"\xa0" + struct.pack("<I", address) for address in addresses)  # mov al, [...]
    return reads + exit_code(status)
