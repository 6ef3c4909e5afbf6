# SPDX-License-Identifier: MIT
"""What a boot of the kernel of lab 6 leaves behind: the block ``soft_evidence`` of
vmm/soft/main/soft_evidence.hh, read from the machine's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader.evidence.blocks import Block
from grader.evidence.memory import PhysicalMemory

_FIELDS = ("is_traced", "is_patched", "end", "status", "traps", "emulated", "rewritten", "software_interrupts",
           "faults", "filled", "traced", "dropped", "interrupts",
           "guest_loads", "real_loads", "nanoseconds", "frames_left")
BLOCK = Block("soft_evidence", 4, "vmm/soft/main/soft_evidence.hh", tuple((name, "Q") for name in _FIELDS))
"""Of ``vmm::soft::SoftRecord``; the first number is ``finished``."""

EXITED, ENDED, STOPPED, REFUSED = 1, 2, 3, 4
"""Values of ``end``."""


@dataclass(frozen=True)
class SoftRecord:
    """One run of the guest: ``vmm::soft::SoftRecord``."""

    is_traced: int
    is_patched: int
    end: int
    status: int
    traps: int
    emulated: int
    rewritten: int
    software_interrupts: int
    faults: int
    filled: int
    traced: int
    dropped: int
    interrupts: int
    guest_loads: int
    real_loads: int
    nanoseconds: int
    frames_left: int


@dataclass(frozen=True)
class SoftEvidence:
    """``vmm::soft::SoftEvidence``."""

    finished: bool
    """all runs have ended"""
    records: tuple[SoftRecord, ...] = ()


def load(kernel: Path, memory: PhysicalMemory) -> SoftEvidence:
    """Reads the evidence block of the kernel whose ELF file is ``kernel``."""
    return parse(BLOCK.read(kernel, memory))


def parse(block: bytes) -> SoftEvidence:
    """The evidence in the bytes of ``vmm::soft::SoftEvidence``."""
    finished, _, records = BLOCK.unpack(block)
    return SoftEvidence(finished == 1, tuple(SoftRecord(**values) for values in records))
