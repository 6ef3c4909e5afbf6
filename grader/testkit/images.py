# SPDX-License-Identifier: MIT
"""Makes what the machine is given: file-system images, and guest images filled for one run."""

from __future__ import annotations

import hashlib
import io
import struct
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from elftools.elf.elffile import ELFFile

BLOCK_SIZE = 512
PAGE_SIZE = 4096

# kern/fs/file_system.hh: ImageHeader and DirectoryEntry.
_FS_HEADER = struct.Struct("<8sQQ")
_FS_ENTRY = struct.Struct("<48sQQ")
_FS_MAGIC = b"NESTFS1\0"

PT_LOAD = 1
PF_X, PF_W, PF_R = 1, 2, 4

#: Symbols of gkernel whose bytes are made for each run (guest/gkernel/patterns.S).
PATTERN_SYMBOLS = ("pattern_rodata", "pattern_data")


def _align_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def file_system_image(files: Mapping[str, bytes]) -> bytes:
    """An image that kern::FileSystem mounts: the files, each on a 4096-byte boundary."""
    directory = bytearray()
    contents = bytearray()
    start = _align_up(BLOCK_SIZE + len(files) * _FS_ENTRY.size, PAGE_SIZE)
    for name, data in files.items():
        encoded = name.encode()
        if not 0 < len(encoded) < 48 or b"\0" in encoded or b"/" in encoded:
            raise ValueError(f"file name {name!r}: it needs 1 to 47 bytes, without '/'")
        directory += _FS_ENTRY.pack(encoded, (start + len(contents)) // BLOCK_SIZE, len(data))
        contents += data
        contents += bytes(-len(contents) % PAGE_SIZE)
    head = bytearray(_FS_HEADER.pack(_FS_MAGIC, len(files), (start + len(contents)) // BLOCK_SIZE))
    head += bytes(BLOCK_SIZE - len(head))
    head += directory
    head += bytes(start - len(head))
    return bytes(head + contents)


def pattern(nonce: str, name: str, size: int) -> bytes:
    """`size` bytes for the symbol `name` in the run with this nonce."""
    return hashlib.shake_128(f"{nonce}:{name}".encode()).digest(size)


@dataclass(frozen=True)
class Symbol:
    """A symbol of a guest image: where it runs, where it is loaded, and its size in bytes."""

    name: str
    vaddr: int
    paddr: int
    size: int


class GuestImage:
    """What the harness knows of a guest from its ELF file alone."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._elf = ELFFile(io.BytesIO(data))
        self.segments = [
            Segment(
                paddr=s["p_paddr"],
                data=data[s["p_offset"] : s["p_offset"] + s["p_filesz"]],
                memsz=s["p_memsz"],
                vaddr=s["p_vaddr"],
                flags=s["p_flags"],
                offset=s["p_offset"],
            )
            for s in self._elf.iter_segments()
            if s["p_type"] == "PT_LOAD"
        ]

    @property
    def entry(self) -> int:
        """The guest-physical address of the first instruction."""
        return self.physical(self._elf["e_entry"])

    def physical(self, vaddr: int) -> int:
        """Where the segment that holds the virtual address `vaddr` puts it in physical memory."""
        for segment in self.segments:
            if segment.virtual <= vaddr < segment.virtual + segment.size:
                return vaddr - segment.virtual + segment.paddr
        raise ValueError(f"no segment holds {vaddr:#x}")

    def symbol(self, name: str) -> Symbol:
        """The symbol `name` of the image's symbol table."""
        found = _symbols(self._elf).get(name)
        if found is None:
            raise ValueError(f"the guest image has no symbol {name}")
        vaddr, size = found
        return Symbol(name, vaddr, self.physical(vaddr), size)

    def memory(self, gpa: int, size: int) -> bytes:
        """What [gpa, gpa + size) holds before the guest has written: segment bytes, zeros
        elsewhere."""
        out = bytearray(size)
        for segment in self.segments:
            begin = max(gpa, segment.paddr)
            end = min(gpa + size, segment.paddr + len(segment.data))
            if begin < end:
                from_ = begin - segment.paddr
                out[begin - gpa : end - gpa] = segment.data[from_ : from_ + end - begin]
        return bytes(out)


_TABLES: OrderedDict[bytes, dict[str, tuple[int, int]]] = OrderedDict()
"""Symbol tables that were read, by their content: a guest's image is filled anew for each boot, and
they stay."""
_MOST_TABLES = 32


def _symbols(elf: ELFFile) -> dict[str, tuple[int, int]]:
    """Value and size of each symbol, the first of a name."""
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return {}
    key = hashlib.sha256(table.data() + table.stringtable.data()).digest()
    if key not in _TABLES:
        found: dict[str, tuple[int, int]] = {}
        for one in table.iter_symbols():
            found.setdefault(one.name, (one["st_value"], one["st_size"]))
        _TABLES[key] = found
        if len(_TABLES) > _MOST_TABLES:
            _TABLES.popitem(last=False)
    return _TABLES[key]


def fill_patterns(image: bytes, nonce: str) -> bytes:
    """The gkernel image with the bytes of its pattern symbols made from the nonce."""
    guest = GuestImage(image)
    return fill_symbols(image, {name: pattern(nonce, name, guest.symbol(name).size) for name in PATTERN_SYMBOLS})


def fill_symbols(image: bytes, contents: Mapping[str, bytes]) -> bytes:
    """The guest's image with other bytes at these symbols, as many as each has."""
    filled = bytearray(image)
    guest = GuestImage(image)
    for name, data in contents.items():
        symbol = guest.symbol(name)
        if len(data) != symbol.size:
            raise ValueError(f"{name} has {symbol.size} bytes, not {len(data)}")
        for segment in guest.segments:
            inside = symbol.paddr - segment.paddr
            if 0 <= inside and inside + symbol.size <= len(segment.data):
                where = segment.offset + inside
                filled[where : where + symbol.size] = data
                break
        else:
            raise ValueError(f"no segment of the guest image holds the file bytes of {name}")
    return bytes(filled)


@dataclass(frozen=True)
class Segment:
    """A program header and its bytes. Whatever is not given follows from the bytes; what is given
    is written as it is, right or wrong, so that hostile images can be made too."""

    paddr: int
    data: bytes = b""
    memsz: int | None = None
    vaddr: int | None = None
    flags: int = PF_R | PF_W | PF_X
    offset: int | None = None
    filesz: int | None = None
    align: int = PAGE_SIZE
    type: int = PT_LOAD

    @property
    def virtual(self) -> int:
        """The first byte's virtual address."""
        return self.paddr if self.vaddr is None else self.vaddr

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.data) if self.memsz is None else self.memsz


def elf_image(
    segments: Iterable[Segment], *, entry: int, bits: int = 64, header_count: int | None = None
) -> bytes:
    """An ELF executable out of segments, entered at the virtual address `entry`.

    Segments without an `offset` are laid one after the other, at an offset that shares nothing with
    their page offset in memory, so that a loader that mixes the two is found out. `header_count`
    replaces e_phnum."""
    segments = list(segments)
    if bits == 64:
        head, program = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
    elif bits == 32:
        head, program = struct.Struct("<16sHHIIIIIHHHHHH"), struct.Struct("<IIIIIIII")
    else:
        raise ValueError(f"an ELF file has 32 or 64 bits, not {bits}")
    body = bytearray()
    start = head.size + program.size * len(segments)
    headers = bytearray()
    for segment in segments:
        offset = segment.offset
        if offset is None:
            body += bytes(-(start + len(body)) % 8)
            offset = start + len(body)
            body += segment.data
        filesz = len(segment.data) if segment.filesz is None else segment.filesz
        places = (offset, segment.virtual, segment.paddr, filesz, segment.size)
        if bits == 64:
            headers += program.pack(segment.type, segment.flags, *places, segment.align)
        else:
            headers += program.pack(segment.type, *places, segment.flags, segment.align)
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + bytes(9)
    count = len(segments) if header_count is None else header_count
    machine = 62 if bits == 64 else 3
    header = head.pack(
        ident, 2, machine, 1, entry, head.size, 0, 0, head.size, program.size, count, 0, 0, 0
    )
    return bytes(header + headers + body)
