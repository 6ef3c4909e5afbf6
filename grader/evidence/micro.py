# SPDX-License-Identifier: MIT
"""What a boot of the microkernel leaves behind: the block ``micro_evidence`` of
kern/cap/main/micro_evidence.hh, read from the machine's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader.evidence.blocks import Block
from grader.evidence.memory import PhysicalMemory

_FIELDS = (
    ("end", "Q"), ("cpus", "Q"), ("system_calls", "8Q"), ("preempted", "Q"), ("slices", "Q"),
    ("faults", "Q"), ("interrupts", "Q"), ("fast_calls", "Q"), ("fast_replies", "Q"), ("bytes", "Q"),
    ("frames_left", "Q"), ("untyped_in_use", "Q"), ("dead", "Q"), ("ready", "Q"), ("report", "64Q"),
)  # fmt: skip
BLOCK = Block("micro_evidence", 1, "kern/cap/main/micro_evidence.hh", _FIELDS)
"""Of ``kern::cap::MicroRecord``; the first number is ``finished``."""

ROOT_TASK_ENDED, NOBODY_CAN_RUN, TIME_IS_OVER = 1, 2, 3
"""Values of ``end``."""


@dataclass(frozen=True)
class MicroRecord:
    """The run: ``kern::cap::MicroRecord``."""

    end: int
    cpus: int
    system_calls: tuple[int, ...]
    preempted: int
    slices: int
    faults: int
    interrupts: int
    fast_calls: int
    fast_replies: int
    bytes: int
    frames_left: int
    untyped_in_use: int
    dead: int
    ready: int
    report: tuple[int, ...]


@dataclass(frozen=True)
class MicroEvidence:
    """``kern::cap::MicroEvidence``."""

    finished: bool
    """the record is complete"""
    records: tuple[MicroRecord, ...] = ()


def load(kernel: Path, memory: PhysicalMemory) -> MicroEvidence:
    """Reads the evidence block of the kernel whose ELF file is ``kernel``."""
    return parse(BLOCK.read(kernel, memory))


def parse(block: bytes) -> MicroEvidence:
    """The evidence in the bytes of ``kern::cap::MicroEvidence``."""
    finished, _, records = BLOCK.unpack(block)
    return MicroEvidence(finished == 1, tuple(MicroRecord(**values) for values in records))
