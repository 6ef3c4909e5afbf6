# SPDX-License-Identifier: MIT
"""The rules for an answer's object, as it goes to the linker: its sections, its symbols, its
relocations.

The object was made by the compiler of a file that nobody has read, so nothing in it is believed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.gate import Finding

OBJECT_BYTES = 4 << 20
ZEROS_BYTES = 1 << 20
_DEBUG = r"\.debug_(?!gdb_scripts)\w+|\.zdebug_(?!gdb_scripts)\w+"
_ORDINARY = re.compile(
    r"|\.(text|rodata|data|bss|sdata|data\.rel|data\.rel\.ro|data\.rel\.local|data\.rel\.ro\.local)([.][\w.$]*)?"
    r"|\.(comment|eh_frame|note\.GNU-stack|note\.gnu\.property|symtab|strtab|shstrtab|llvm_addrsig|linker-options)"
    r"|asan_globals|" + _DEBUG)
_ASSEMBLY = re.compile(
    r"|\.(text|rodata|data|bss)|\.rodata\.todo|\.(note\.GNU-stack|note\.gnu\.property|symtab|strtab"
    r"|shstrtab|comment)|" + _DEBUG)
_SANITIZERS_OWN = re.compile(r"\.(init|fini)_array\.(00099|0|1)")
_SANITIZERS_FUNCTIONS = re.compile(r"_sub_[ID]_00099_\d+|[at]san\.module_[cd]tor")
_CLANGS_FLAG = ("___asan_globals_registered", 0xFFF2, 8)
"""Of AddressSanitizer by clang: one word of zeros for the whole program."""
_NAME = re.compile(r"[\w.$@]*")
NAME_LETTERS = 160
"""The longest name of an answer's own choice that is put into words, which may double with each ten
letters."""
_TLS_RELOCATIONS = {16, 17, 18, 19, 20, 21, 22, 23, 34, 35, 36}
_IRELATIVE = 37
X86_64, _AARCH64 = 62, 183
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_ALLOCATED, _EXECUTABLE, _WRITABLE = 2, 4, 1


@dataclass(frozen=True)
class Section:
    """A section's header, and its bytes if it has some."""

    name: str
    kind: str
    flags: int
    size: int
    info: int
    data: bytes

    @property
    def executable(self) -> bool:
        return bool(self.flags & _EXECUTABLE)


@dataclass(frozen=True)
class Symbol:
    """A symbol."""

    name: str
    kind: int
    bound: int
    section: int
    value: int
    size: int


@dataclass(frozen=True)
class Object:
    """An object file, read once."""

    machine: int
    sections: list[Section]
    symbols: list[Symbol]

    @property
    def undefined(self) -> list[str]:
        return sorted({one.name for one in self.symbols if one.section == 0 and one.name})


class NoObject(Exception):
    """What the compiler left is no object that can be read."""


def read(path: Path) -> Object:
    """Reads an object. Raises NoObject."""
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            sections, symbols = [], []
            for one in elf.iter_sections():
                kept = one["sh_type"] != "SHT_NOBITS" and not one.name.startswith((".debug", ".rela.debug"))
                sections.append(Section(one.name, str(one["sh_type"]), one["sh_flags"], one["sh_size"], one["sh_info"],
                                        file_bytes(file, one["sh_offset"], one["sh_size"]) if kept else b""))
                if one["sh_type"] == "SHT_SYMTAB":
                    names = elf.get_section(one["sh_link"])
                    text = file_bytes(file, names["sh_offset"], names["sh_size"])
                    for name, info, _, section, value, size in _SYMBOL.iter_unpack(sections[-1].data):
                        end = text.find(b"\0", name)
                        symbols.append(Symbol(text[name:end].decode("utf-8", "replace"), info & 15, info >> 4, section,
                                              value, size))
            return Object(elf.header["e_machine"] == "EM_X86_64" and X86_64 or _AARCH64, sections, symbols)
    except Exception as problem:  # a crafted file may break the reader anywhere
        raise NoObject(f"{type(problem).__name__}: {problem}") from problem


def file_bytes(file: object, offset: int, size: int) -> bytes:
    """A part of the file."""
    file.seek(offset)  # type: ignore[attr-defined]
    return file.read(size)  # type: ignore[attr-defined,no-any-return]


def findings(found: Object, flavour: str, assembly: bool, may_have: Callable[[str], bool],
             room: str = "") -> Iterator[Finding]:
    """What the object may not hold. `room`: the folder of the task's file, whose fragments it may
    be."""
    begun = {one.section for one in found.symbols if one.bound == 1 and one.value == 0}
    for number, section in enumerate(found.sections):
        if assembly and re.fullmatch(rf"(\.rela)?\.text\.{room}_asm_\w+\.\d\d", section.name):
            # A fragment of the world switch: docs/design.md, "The world switch in fragments". The
            # task's own begin with a name that the others know.
            if section.kind == "SHT_PROGBITS" and number not in begun:
                yield Finding(0, f"{section.name} is no fragment of this task: leave it to those who write it")
            continue
        yield from _section(section, flavour, assembly)
    zeros = sum(one.size for one in found.sections if one.kind == "SHT_NOBITS")
    if zeros > ZEROS_BYTES:
        yield Finding(0, f".bss has {zeros} bytes of variables, and a task has at most 1 MiB")
    for symbol in found.symbols:
        yield from _symbol(symbol)
    for name in found.undefined:
        if not may_have(name):
            from grader.gate.contract import demangled

            spelled = demangled(name, parameters=False) if _NAME.fullmatch(name) and len(name) <= NAME_LETTERS else _shown(name)
            yield Finding(0, f"it calls or uses {spelled}, which is no part of the task's contract: the header that the "
                          "task names, and what it includes, say what there is")
    yield from _relocations(found)
    yield from _before_main(found)


def _section(one: Section, flavour: str, assembly: bool) -> Iterator[Finding]:
    name = one.name.removeprefix(".rela") if one.kind == "SHT_RELA" else one.name
    if one.kind in ("SHT_INIT_ARRAY", "SHT_FINI_ARRAY", "SHT_PREINIT_ARRAY") or name.startswith(
            (".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors", ".init", ".fini")):
        if flavour in ("asan", "tsan") and _SANITIZERS_OWN.fullmatch(name) and one.size <= (
                24 if one.kind == "SHT_RELA" else 8):
            return
        yield Finding(0, f"{_shown(one.name)}: something in it runs before main or after it: give a global variable a "
                      "constant initialiser, and no constructor or destructor")
    elif ".tbss" in name or ".tdata" in name:
        yield Finding(0, f"{_shown(one.name)}: a task has no variables of a thread's own")
    elif not (_ASSEMBLY if assembly else _ORDINARY).fullmatch(name):
        yield Finding(0, f"the section {_shown(one.name)} has no use in a task: leave out what makes it")
    elif one.flags & _EXECUTABLE and (one.flags & _WRITABLE or not name.startswith(".text")):
        yield Finding(0, f"the section {_shown(one.name)} holds code where there should be none")


def _symbol(one: Symbol) -> Iterator[Finding]:
    if one.kind == 4:  # a file's name
        return
    if not _NAME.fullmatch(one.name):
        yield Finding(0, f"the symbol {_shown(one.name)} is no name")
    elif one.kind == 10:
        yield Finding(0, f"{_shown(one.name)} is an ifunc: its resolver would run before main")
    elif one.kind == 6:
        yield Finding(0, f"{_shown(one.name)} is a variable of a thread's own")
    elif one.section in (0xFFF1, 0xFFF2) and one.name and (one.name, one.section, one.size) != _CLANGS_FLAG:
        yield Finding(0, f"{_shown(one.name)} is a symbol without a section")


def _relocations(found: Object) -> Iterator[Finding]:
    if found.machine != X86_64:
        return
    for section in found.sections:
        if section.kind == "SHT_REL":
            yield Finding(0, f"{_shown(section.name)}: relocations of a form that no compiler here makes")
        if section.kind == "SHT_RELA" and not section.name.startswith(".rela.debug"):
            kinds = {info & 0xFFFFFFFF for _, info, _ in _RELA.iter_unpack(section.data)}
            if kinds & _TLS_RELOCATIONS:
                yield Finding(0, "it uses a variable of a thread's own")
            if _IRELATIVE in kinds:
                yield Finding(0, "it has an ifunc's relocation")


def _before_main(found: Object) -> Iterator[Finding]:
    """The one function that may run before main is the sanitizer's."""
    if found.machine != X86_64:
        return
    for section in found.sections:
        if section.kind != "SHT_RELA" or not _SANITIZERS_OWN.fullmatch(section.name.removeprefix(".rela")):
            continue
        for _, info, addend in _RELA.iter_unpack(section.data):
            target = found.symbols[info >> 32] if info >> 32 < len(found.symbols) else None
            place = (target.section, target.value + addend) if target else None
            names = [one.name for one in found.symbols if (one.section, one.value) == place and one.kind == 2]
            if not any(_SANITIZERS_FUNCTIONS.fullmatch(name) for name in names):
                yield Finding(0, f"{_shown(section.name)}: a function of its own runs before main")


def _shown(name: str) -> str:
    return (name if len(name) <= 60 else f"{name[:60]}...") if _NAME.fullmatch(name) else ascii(name[:60])
