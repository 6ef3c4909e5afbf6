# SPDX-License-Identifier: MIT
"""Where a machine hung: each CPU's place in words and the way it came there, then the registers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from grader.evidence.memory import KERNEL_OFFSET, EvidenceError, PhysicalMemory
from grader.evidence.symbols import SymbolError, Symbols
from grader.machines import Running

MAX_FRAMES = 16
_CPU = re.compile(r"^CPU#(\d+)", re.MULTILINE)
_REGISTER = {  # 16- and 32-bit code shows EIP
    "RIP": re.compile(r"\b[RE]IP=([0-9a-f]{8,16})"),
    "RBP": re.compile(r"\b[RE]BP=([0-9a-f]{8,16})"),
    "CR3": re.compile(r"\bCR3=([0-9a-f]{8,16})"),
}
_HALTED = re.compile(r"\bHLT=1")
_PRESENT, _LARGE = 1 << 0, 1 << 7
_ADDRESS_MASK = 0x000F_FFFF_FFFF_F000


def describe(running: Running, kernel: Path, files: Mapping[str, bytes]) -> str:
    """The report on a machine that is still there; it is paused by this. Never fails."""
    try:
        raw = running.registers()
    except (OSError, ValueError) as problem:
        return f"the registers cannot be read: {problem}\n"
    symbols = _load({"kernel": kernel})
    with tempfile.TemporaryDirectory(prefix="nestling-") as folder:
        guests = {}
        for index, (name, data) in enumerate(files.items()):
            if data.startswith(b"\x7fELF"):
                guests[name] = Path(folder) / str(index)
                guests[name].write_bytes(data)
        symbols |= _load(guests)
    return report(raw, symbols, running.memory)


def report(raw: str, symbols: Mapping[str, Symbols], memory: PhysicalMemory) -> str:
    """The report from the text of QEMU's ``info registers -a``."""
    marks = [match.start() for match in _CPU.finditer(raw)] or [0]
    lines = []
    for begin, end in zip(marks, [*marks[1:], len(raw)]):
        lines += _cpu_lines(raw[begin:end], symbols, memory)
    return "\n".join(lines) + "\n\n" + raw.replace("\r\n", "\n")


def _cpu_lines(
    text: str, symbols: Mapping[str, Symbols], memory: PhysicalMemory
) -> list[str]:
    number = _CPU.match(text)
    value = {
        name: int(found[1], 16) for name, one in _REGISTER.items() if (found := one.search(text))
    }
    cpu = f"CPU {number[1] if number else '?'}"
    if "RIP" not in value:
        return [f"{cpu}: no registers"]
    halted = ", halted" if _HALTED.search(text) else ""
    lines = [f"{cpu}: at {value['RIP']:#x}{halted}: {_place(value['RIP'], symbols)}"]
    if value["RIP"] >= KERNEL_OFFSET and {"RBP", "CR3"} <= value.keys():
        for address in _callers(memory, value["CR3"], value["RBP"]):
            lines.append(f"    called from {address:#x}: {_place(address, symbols)}")
    return lines


def _place(address: int, symbols: Mapping[str, Symbols]) -> str:
    places = [
        f"{place} ({name})" for name, one in symbols.items() if (place := one.describe(address))
    ]
    if not places and address < KERNEL_OFFSET:
        return "outside of the kernel: in a guest or program, or a wild jump"
    return " or ".join(places) or "in no known function"


def _callers(memory: PhysicalMemory, cr3: int, rbp: int) -> list[int]:
    """Return addresses, by the chain of frame pointers through the kernel's own page tables."""
    found: list[int] = []
    for _ in range(MAX_FRAMES):
        try:
            back = int.from_bytes(_virtual_read(memory, cr3, rbp, 8), "little")
            address = int.from_bytes(_virtual_read(memory, cr3, rbp + 8, 8), "little")
        except EvidenceError:
            break
        if address < KERNEL_OFFSET:
            break
        found.append(address)
        if back <= rbp:  # stacks grow down: callers are further up
            break
        rbp = back
    return found


def _virtual_read(memory: PhysicalMemory, cr3: int, address: int, length: int) -> bytes:
    table = cr3 & _ADDRESS_MASK
    for level in (4, 3, 2, 1):
        size = 4096 << 9 * (level - 1)
        entry = int.from_bytes(memory.read(table + address // size % 512 * 8, 8), "little")
        if not entry & _PRESENT:
            raise EvidenceError(f"{address:#x} is not mapped")
        table = entry & _ADDRESS_MASK
        if level == 1 or entry & _LARGE:
            return memory.read((table & ~(size - 1)) + address % size, length)
    raise AssertionError("the last level is a leaf")


def _load(files: Mapping[str, Path]) -> dict[str, Symbols]:
    found = {}
    for name, path in files.items():
        try:
            found[name] = Symbols(path)
        except SymbolError:
            continue
    return found
