# SPDX-License-Identifier: MIT
"""The symbols of an ELF file: from name to address, and from address to name."""

from __future__ import annotations

import bisect
import functools
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

_ENTRY = struct.Struct("<IBBHQQ")  # Elf64_Sym: name, info, other, shndx, value, size
_GLOBAL = 1
_FUNCTION = 2


class SymbolError(Exception):
    """A file is no ELF file, or lacks a symbol."""


@dataclass(frozen=True)
class Symbol:
    """A defined symbol."""

    name: str
    address: int
    size: int
    is_global: bool
    is_function: bool


class Symbols:
    """The defined symbols of one ELF64 file, read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                elf = ELFFile(file)
                table = elf.get_section_by_name(".symtab")
                if table is None or elf.elfclass != 64:
                    raise SymbolError(f"{path} has no ELF64 symbol table")
                self._names: bytes = elf.get_section(table["sh_link"]).data()
                self._entries: bytes = table.data()
        except (ELFError, OSError) as problem:
            raise SymbolError(f"{path}: {problem or 'not an ELF file'}") from problem

    @classmethod
    def of(cls, path: Path) -> Symbols:
        """The symbols of ``path``, kept until the file changes."""
        try:
            status = path.stat()
        except OSError as problem:
            raise SymbolError(f"{path}: {problem.strerror}") from problem
        return _cached(path, status.st_mtime_ns, status.st_ino, status.st_size)

    def find(self, name: str) -> list[Symbol]:
        """Every symbol called ``name``."""
        wanted = name.encode() + b"\0"
        found = []
        usable = len(self._entries) - len(self._entries) % _ENTRY.size
        for offset, info, _, section, value, size in _ENTRY.iter_unpack(self._entries[:usable]):
            if section and self._names.startswith(wanted, offset):
                found.append(self._symbol(offset, info, value, size))
        return found

    def exactly_one(self, name: str) -> Symbol:
        """The one global symbol called ``name``. Raises SymbolError."""
        found = [symbol for symbol in self.find(name) if symbol.is_global]
        if len(found) != 1:
            raise SymbolError(f"{self.path} has {len(found)} global symbols {name}, not one")
        return found[0]

    def describe(self, address: int) -> str:
        """``function+0x12`` for an address inside one, demangled; empty if there is none."""
        functions, begins = self._functions
        index = bisect.bisect_right(begins, address) - 1
        if index < 0:
            return ""
        symbol = functions[index]
        # Assembly functions may be without a size; they do not reach far.
        if address - symbol.address >= max(symbol.size, 1 if symbol.size else 256):
            return ""
        return f"{demangle(symbol.name)}+{address - symbol.address:#x}"

    @functools.cached_property
    def _functions(self) -> tuple[list[Symbol], list[int]]:
        usable = len(self._entries) - len(self._entries) % _ENTRY.size
        functions = [
            self._symbol(offset, info, value, size)
            for offset, info, _, section, value, size in _ENTRY.iter_unpack(self._entries[:usable])
            if section and info & 0xF in (0, _FUNCTION)
        ]
        functions.sort(key=lambda symbol: (symbol.address, symbol.is_function))
        return functions, [symbol.address for symbol in functions]

    def _symbol(self, offset: int, info: int, value: int, size: int) -> Symbol:
        end = self._names.find(b"\0", offset)
        name = self._names[offset : end if end >= 0 else len(self._names)]
        return Symbol(
            name.decode("utf-8", "replace"),
            value,
            size,
            is_global=info >> 4 == _GLOBAL,
            is_function=info & 0xF == _FUNCTION,
        )


@functools.lru_cache(maxsize=16)
def _cached(path: Path, *_: int) -> Symbols:
    return Symbols(path)


@functools.lru_cache(maxsize=1024)
def demangle(name: str) -> str:
    """The C++ name of a linker symbol; the symbol itself where c++filt is missing."""
    tool = shutil.which("c++filt")
    if tool is None or not name.startswith("_Z"):
        return name
    done = subprocess.run([tool, "--", name], capture_output=True, text=True, check=False)
    return done.stdout.strip() or name
