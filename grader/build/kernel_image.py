# SPDX-License-Identifier: MIT
"""Give a linked kernel image its own symbols.

The kernel names the functions of a backtrace from a table in its constants, which can only be
filled once the addresses are known: after linking. `fill_symbols` writes it into the image in
place; the room for it is an array in kern/arch/x86_64/symbols.cc. Run as a program, this file does
that step for CMake.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# Elf64_Ehdr from e_phoff on, and Elf64_Phdr, as far as they are needed.
_PHOFF = struct.Struct("<Q")
_PHOFF_AT = 32
_PHENT = struct.Struct("<HH")
_PHENT_AT = 54
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1

# struct SymbolTable in kern/arch/x86_64/symbols.cc: magic, bytes of room, entries, bytes of names.
_HEADER = struct.Struct("<8sIII4x")
_ENTRY = struct.Struct("<II")
_MAGIC = b"NESTSYM1"
_LONGEST_NAME = 120
_SHORTER = {"std::basic_string_view<char, std::char_traits<char> >": "std::string_view"}


class ImageError(Exception):
    """A file is no image of this kernel."""


def fill_symbols(elf: Path) -> int:
    """Write the table of functions into the image `elf`, in place. Returns how many it names."""
    listing = subprocess.run(
        ["nm", "-C", "-n", "--defined-only", str(elf)], capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        raise ImageError(f"nm cannot read {elf}: {listing.stderr.strip()}")
    functions: list[tuple[int, str]] = []
    places: dict[str, int] = {}
    for line in listing.stdout.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            for long, short in _SHORTER.items():
                name = name.replace(long, short)
            functions.append((int(address, 16), name))
        elif name == "symbol_table":
            places[name] = int(address, 16)
        if name in ("image_begin", "text_end"):
            places[name] = int(address, 16)
    missing = {"symbol_table", "image_begin", "text_end"} - places.keys()
    if missing:
        raise ImageError(f"{elf} is no kernel image: no symbol {', '.join(sorted(missing))}")
    functions = [
        entry for entry in functions
        if places["image_begin"] <= entry[0] < places["text_end"] and entry[1] != "image_begin"
    ]
    with elf.open("r+b") as file:
        data = file.read()
        at = _file_offset(data, places["symbol_table"])
        magic, room, _, _ = _HEADER.unpack_from(data, at)
        if magic != _MAGIC:
            raise ImageError(f"{elf}: symbol_table does not begin with {_MAGIC.decode()}")
        file.seek(at)
        table, count = _table(functions, places["image_begin"], room)
        file.write(table)
    return count


def _table(functions: Sequence[tuple[int, str]], base: int, room: int) -> tuple[bytes, int]:
    """The bytes of the table: header, entries sorted by address, names. What has no room is left
    out."""
    entries = bytearray()
    names = bytearray()
    left = room - _HEADER.size
    count = 0
    for address, name in functions:
        text = name.encode()[:_LONGEST_NAME] + b"\0"
        left -= _ENTRY.size + len(text)
        if left < 0:
            print(f"symbols: no room from {name} on; make SymbolTable larger", file=sys.stderr)
            break
        entries += _ENTRY.pack(address - base, len(names))
        names += text
        count += 1
    return _HEADER.pack(_MAGIC, room, count, len(names)) + bytes(entries) + bytes(names), count


def _file_offset(data: bytes, address: int) -> int:
    """Where in the file the byte of virtual `address` is."""
    (phoff,) = _PHOFF.unpack_from(data, _PHOFF_AT)
    size, count = _PHENT.unpack_from(data, _PHENT_AT)
    for index in range(count):
        kind, _, offset, vaddr, _, filesz, _, _ = _PROGRAM_HEADER.unpack_from(data, phoff + index * size)
        if kind == _PT_LOAD and vaddr <= address < vaddr + filesz:
            return offset + address - vaddr
    raise ImageError(f"no segment holds {address:#x}")


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            fill_symbols(Path(argument))
    except (ImageError, OSError) as problem:
        sys.exit(f"kernel_image: {problem}")
