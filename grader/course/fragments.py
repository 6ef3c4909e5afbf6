# SPDX-License-Identifier: MIT
"""Functions in assembly that the linker puts together: fragments in sections ``.text.FUNCTION.NN``,
from several files, in the order of NN. For the pages that show such a function whole.

Which fragments there are is read in the objects that the assembler makes, so a page says what is
linked. The linker puts sections of these names in the order of the names
(kern/arch/x86_64/kernel.ld).
"""

from __future__ import annotations

import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from grader import CannotRun

COMPILER = "g++" if platform.machine() == "x86_64" else "x86_64-linux-gnu-g++"
_SECTION = re.compile(r"\.text\.(\w+)\.(\d\d)")
_BEGIN = re.compile(r"\s*\w+_section\s+(\d\d),\s*(\w+)\s*$")
_END = re.compile(r"\s*(\w+_section\s+\d\d,|\.section\b|\.text\b)")
_SAYS_NOTHING = re.compile(r"\s*(//.*)?$")


@dataclass(frozen=True)
class Fragment:
    """A piece of a function, which ends where the next one begins."""

    order: str
    label: str
    file: str
    """from the root"""
    source: tuple[str, ...]
    """the lines behind the one with its number and its label"""


def functions(files: Iterable[str], root: Path) -> dict[str, list[Fragment]]:
    """By function, the fragments that stand in these files, in their linked order."""
    found: dict[str, list[tuple[str, Fragment]]] = {}
    with tempfile.TemporaryDirectory(prefix="nestling-fragments-") as folder:
        for file in files:
            text = (root / file).read_text(encoding="utf-8")
            if not any(map(_BEGIN.match, text.splitlines())):
                continue
            for section, function, order, label in _assembled(file, root, Path(folder) / "fragment.o"):
                fragment = Fragment(order, label, file, _source(text, order, label))
                found.setdefault(function, []).append((section, fragment))
    return {function: [fragment for _, fragment in sorted(several, key=lambda one: one[0])]
            for function, several in sorted(found.items())}


def _assembled(file: str, root: Path, made: Path) -> list[tuple[str, str, str, str]]:
    """The sections of a file that are fragments: name, function, number, label."""
    done = subprocess.run([COMPILER, f"-I{root}", "-c", file, "-o", made], cwd=root, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise CannotRun(f"{done.stderr}{file} cannot be assembled, so no page can show it\n  mend: undo what was changed in it")
    with made.open("rb") as stream:
        elf = ELFFile(stream)
        labels = {symbol["st_shndx"]: symbol.name for symbol in elf.get_section_by_name(".symtab").iter_symbols()
                  if symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol["st_value"] == 0}
        return [(section.name, *match.groups(), labels[index]) for index, section in enumerate(elf.iter_sections())
                if (match := _SECTION.fullmatch(section.name))]


def _source(text: str, order: str, label: str) -> tuple[str, ...]:
    """What stands in a fragment, without comments at its end: they are about what follows."""
    lines = text.splitlines()
    begin = next(at for at, line in enumerate(lines) if (match := _BEGIN.match(line)) and match.groups() == (order, label))
    mine = []
    for line in lines[begin + 1:]:
        if _END.match(line):
            break
        mine.append(line)
    while mine and _SAYS_NOTHING.match(mine[-1]):
        mine.pop()
    return tuple(mine)
