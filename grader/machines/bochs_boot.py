# SPDX-License-Identifier: MIT
"""Enters a kernel in Bochs without a disk and a boot loader, as QEMU's ``-kernel`` does: by PVH.

Bochs puts the kernel's segments and the module into memory before the BIOS runs. The BIOS sets up
the machine and its ACPI tables and calls the option ROMs; ours switches to 32-bit protected mode
and jumps to the kernel. The start information lies in the ROM too.

From a CD, the BIOS waits for a key that opens its menu, three seconds by its own clock, which cost
more than ten with two CPUs: there, an option ROM makes that clock fast.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from grader.machines import MachineError

RAM_AT = 0x100000
ROM_AT = 0xD0000
LOW_END = 0x9F000
"""Usable memory below 1 MiB ends here: the BIOS's own data follows."""
BIOS_TOP_BYTES = 0x10000
"""At the end of memory the BIOS keeps its ACPI tables."""
PAGE = 4096
ROM_BLOCK, ROM_MAX = 512, 0x8000
USABLE = 1
PVH_MAGIC, PVH_NOTE = 0x336EC578, 18

_START_INFO = struct.Struct("<IIIIQQQQII")  # [xen public/arch-x86/hvm/start_info.h], version 1
_MODULE = struct.Struct("<QQQQ")
_RANGE = struct.Struct("<QQII")

# The ROM: signature and length, code from offset 3 on, then tables, then the start information.
_SIGNATURE = b"\x55\xaa"
_CODE_AT, _PROTECTED_AT, _GDT_AT, _INFO_AT = 3, 0x30, 0x58, 0x80
_GDT = struct.pack("<QQQ", 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF)
_GDT_POINTER_AT = _GDT_AT + len(_GDT)
_REAL_MODE = (
    bytes.fromhex("fa  e492 0c02 e692")  # no interrupts; A20 on, by port 0x92
    + bytes.fromhex("2e660f0116") + struct.pack("<H", _GDT_POINTER_AT)  # lgdt cs:...
    + bytes.fromhex("0f20c0 0c01 0f22c0")  # CR0.PE
    + bytes.fromhex("66ea") + struct.pack("<IH", ROM_AT + _PROTECTED_AT, 0x08)  # far jump
)  # fmt: skip


# An option ROM that makes the BIOS's clock, channel 0 of the PIT, run at 1 kHz in place of 18.2 Hz.
_FAST_CLOCK = bytes.fromhex("50  b036e643 b0a9e640 b004e640  58 cb")


@dataclass(frozen=True)
class DirectBoot:
    """What Bochs is to load."""

    ram: bytes
    """to RAM_AT"""
    rom: bytes
    """to ROM_AT"""


def direct_boot(kernel: Path, module: bytes | None, command_line: str, memory_mib: int) -> DirectBoot:
    """The two images for a kernel. Raises MachineError if it cannot be entered so."""
    end = (memory_mib << 20) - BIOS_TOP_BYTES
    try:
        ram, entry = _load(kernel, end)
    except (ELFError, OSError) as problem:
        raise MachineError(f"{kernel} cannot be loaded: {problem}", "build it anew") from problem
    module_at = RAM_AT + len(ram)
    if module is not None:
        ram += module + bytes(-len(module) % PAGE)
    if RAM_AT + len(ram) > end:
        raise MachineError(
            f"kernel and module need {RAM_AT + len(ram) >> 20} MiB of memory", "ask for more memory"
        )
    modules = [] if module is None else [(module_at, len(module))]
    return DirectBoot(bytes(ram), _rom(entry, modules, command_line.encode(), end))


def fast_clock() -> bytes:
    """An option ROM for a BIOS that boots a CD."""
    return _finished(bytearray(_SIGNATURE + b"\0" + _FAST_CLOCK))


def _load(kernel: Path, end: int) -> tuple[bytearray, int]:
    """The kernel as it lies in memory from RAM_AT on, in whole pages; and its entry point by
    PVH."""
    ram = bytearray()
    with kernel.open("rb") as file:
        elf = ELFFile(file)
        entry = None
        for segment in elf.iter_segments():
            if segment["p_type"] == "PT_NOTE":
                data = segment.data()
                entry = _note(data) if entry is None else entry
            if segment["p_type"] != "PT_LOAD" or segment["p_memsz"] == 0:
                continue
            at, size = segment["p_paddr"] - RAM_AT, segment["p_memsz"]
            if at < 0 or size < segment["p_filesz"] or RAM_AT + at + size > end:
                raise MachineError(
                    f"{kernel.name} has a segment at {segment['p_paddr']:#x}, where no memory is free",
                    "link it to addresses from 1 MiB on, or ask for more memory",
                )
            ram += bytes(max(0, at + size - len(ram)))
            ram[at : at + segment["p_filesz"]] = segment.data()
    if entry is None:
        raise MachineError(f"{kernel.name} has no PVH note", "boot it from a CD image")
    return ram + bytes(-len(ram) % PAGE), entry


def _note(data: bytes) -> int | None:
    """The entry point in a PVH note."""
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, at)
        name = data[at + 12 : at + 12 + name_size]
        at += 12 + (name_size + 3 & ~3)
        if (name, kind) == (b"Xen\0", PVH_NOTE) and size in (4, 8):
            return int.from_bytes(data[at : at + 4], "little")
        at += size + 3 & ~3
    return None


def _rom(entry: int, modules: list[tuple[int, int]], command_line: bytes, end: int) -> bytes:
    code = b"".join([
        bytes.fromhex("66b81000 8ed8 8ec0 8ed0 8ee0 8ee8"),  # the data segments
        bytes.fromhex("bb"), struct.pack("<I", ROM_AT + _INFO_AT),  # ebx: the start information
        bytes.fromhex("31ed b8"), struct.pack("<I", entry), bytes.fromhex("ffe0"),
    ])  # fmt: skip
    modules_at = ROM_AT + _INFO_AT + _START_INFO.size
    memory_at = modules_at + len(modules) * _MODULE.size
    ranges = [(0, LOW_END), (RAM_AT, end - RAM_AT)]
    text_at = memory_at + len(ranges) * _RANGE.size
    rom = bytearray(_INFO_AT)
    rom[: len(_SIGNATURE)] = _SIGNATURE
    for at, piece in (
        (_CODE_AT, _REAL_MODE), (_PROTECTED_AT, code), (_GDT_AT, _GDT),
        (_GDT_POINTER_AT, struct.pack("<HI", len(_GDT) - 1, ROM_AT + _GDT_AT)),
    ):  # fmt: skip
        rom[at : at + len(piece)] = piece
    rom += _START_INFO.pack(
        PVH_MAGIC, 1, 0, len(modules), modules_at, text_at, 0, memory_at, len(ranges), 0
    )
    for address, size in modules:
        rom += _MODULE.pack(address, size, 0, 0)
    for address, size in ranges:
        rom += _RANGE.pack(address, size, USABLE, 0)
    if len(rom + command_line) + ROM_BLOCK > ROM_MAX:
        raise MachineError("the command line is too long", "give a shorter one")
    return _finished(rom + command_line + b"\0")


def _finished(rom: bytearray) -> bytes:
    """Whole blocks, with their number and the sum that the BIOS wants."""
    rom += bytes(-(len(rom) + 1) % ROM_BLOCK)
    rom[2] = (len(rom) + 1) // ROM_BLOCK
    return bytes(rom) + bytes([-sum(rom) % 256])
