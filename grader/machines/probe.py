# SPDX-License-Identifier: MIT
"""Tries a machine with a kernel of a hundred bytes: does it start, and what can its CPU do?"""

from __future__ import annotations

import functools
import re
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from grader.machines import POWERED_OFF, Configuration, Machine, MachineError, machine

SECONDS = 20.0
_CODE_AT = 0x100000
_RESULT_AT = 0x200000
_SVM = 1 << 2  # CPUID 8000_0001, ECX
_NESTED_PAGING = 1 << 0  # CPUID 8000_000A, EDX
_VMX = 1 << 5  # CPUID 1, ECX
_EPT = 1 << 1  # MSR IA32_VMX_PROCBASED_CTLS2, EDX: what may be 1

_MARKER = b"power off: 0\n"
_CODE = bytes.fromhex(
    "b8 01000080  0fa2  890d 00002000"  # cpuid 8000_0001: ecx to 0x200000
    "b8 0a000080  0fa2  8915 04002000"  # cpuid 8000_000a: edx to 0x200004
    "b8 01000000  0fa2  890d 08002000"  # cpuid 1: ecx to 0x200008
    "f6c120 740d  b9 8b040000  0f32  8915 0c002000"  # with VMX, rdmsr 48b: edx to 0x20000c
    "66ba fb03  b003 ee"  # COM1: 8 bits a character
    "be 6e001000  66ba fd03  ec a840 74fb  ac  66ba f803  ee  3c0a 75ed"  # prints the marker
    "66ba fd03  ec a840 74fb"  # waits until it is on the line
    "31c0  66ba f400  ef  6687db  f4 ebfd"  # power off, as in kern/arch/x86_64/console.cc
) + _MARKER
_NOTE = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", _CODE_AT)  # PVH: the 32-bit entry point


@dataclass(frozen=True)
class Probe:
    """What came of the try."""

    seconds: float
    """from the start to the end of the emulator"""
    svm: bool
    nested_paging: bool
    vmx: bool
    ept: bool

    def lacks(self, vendor: str) -> str:
        """What of the vendor's virtualization is not there; empty if all is."""
        wanted = {
            "amd": {"SVM": self.svm, "nested paging": self.nested_paging},
            "intel": {"VMX": self.vmx, "EPT": self.ept},
        }[vendor]
        return " and ".join(name for name, there in wanted.items() if not there)


def vouch_for(machine: Machine) -> None:
    """Before anything counts: boots the tiny kernel, so that what the machine cannot do is not
    taken for an answer's fault. Raises MachineError.
    """
    made_of = machine.check()
    version = re.search(r"\d+\.\d+", made_of)
    try:
        lacking = try_machine(machine).lacks(machine.vendor)
        why = f"its CPU has no {lacking}" if lacking else ""
    except MachineError as problem:
        why = problem.why
    if why and version and version[0] in machine.tried:
        raise MachineError(f"{made_of}: {why}", f"`nest doctor` tries {machine.name} again; {machine.reinstall}")
    if why:
        raise MachineError(
            f"{made_of}: this tree was tried with the versions {' and '.join(machine.tried)}, and here {why}",
            f"install one of these versions; `nest doctor` tries {machine.name} again",
        )


def expect_alive(name: str) -> None:
    """Of a machine on which a kernel ended without a word: raises MachineError if no kernel runs
    there."""
    if trouble := _trouble(name):
        raise trouble


@functools.lru_cache
def _trouble(name: str) -> MachineError | None:
    try:
        try_machine(machine(name))
    except MachineError as problem:
        return problem
    return None


def try_machine(machine: Machine, cpus: int = 1, memory_mib: int = 32) -> Probe:
    """Boots the tiny kernel on a machine of this size. Raises MachineError."""
    with tempfile.TemporaryDirectory(prefix="nestling-") as folder:
        kernel = Path(folder) / "probe.elf"
        kernel.write_bytes(_image())
        started = time.monotonic()
        configuration = Configuration(kernel=kernel, cpus=cpus, memory_mib=memory_mib)
        with machine.start(configuration, lambda _: None) as running:
            end = running.wait(SECONDS)
            if end.reason != POWERED_OFF:
                raise MachineError(
                    f"{machine.name} starts, but runs no kernel: one that only powers off ended so: "
                    f"{end.in_words(running.seconds)} ({machine.check()})",
                    "this version of the emulator may be one that nest does not know yet; or its packages are "
                    f"not whole: {machine.reinstall}",
                )
        svm, paging, vmx, ept = struct.unpack("<4I", running.memory.read(_RESULT_AT, 16))
    return Probe(
        time.monotonic() - started,
        bool(svm & _SVM), bool(paging & _NESTED_PAGING), bool(vmx & _VMX), bool(ept & _EPT),
    )  # fmt: skip


def _image() -> bytes:
    """An ELF64 file: one segment with the code, one with the note."""
    offset = 64 + 2 * 56
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, _CODE_AT, 64, 0, 0, 64, 56, 2, 64, 0, 0
    )
    load = struct.pack(
        "<IIQQQQQQ", 1, 5, offset, _CODE_AT, _CODE_AT, len(_CODE), len(_CODE), 16
    )
    note_at = offset + len(_CODE)
    note = struct.pack("<IIQQQQQQ", 4, 4, note_at, 0, 0, len(_NOTE), len(_NOTE), 4)
    return head + load + note + _CODE + _NOTE
