# SPDX-License-Identifier: MIT
"""What a boot of the kernel of lab 0 leaves behind: the block ``checksum_evidence`` of
kern/checksum/checksum_evidence.hh, read from the machine's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader.evidence.blocks import Block
from grader.evidence.memory import PhysicalMemory

BLOCK = Block("checksum_evidence", 8, "kern/checksum/checksum_evidence.hh", (("length", "Q"), ("checksum", "Q")))
"""Of ``kern::ModuleRecord``; the numbers are ``finished`` and ``cpus``."""


@dataclass(frozen=True)
class ModuleRecord:
    """One boot module: ``kern::ModuleRecord``."""

    length: int
    checksum: int


@dataclass(frozen=True)
class ChecksumEvidence:
    """``kern::ChecksumEvidence``."""

    finished: bool
    """all modules were looked at"""
    cpus: int
    records: tuple[ModuleRecord, ...] = ()


def load(kernel: Path, memory: PhysicalMemory) -> ChecksumEvidence:
    """Reads the evidence block of the kernel whose ELF file is ``kernel``."""
    return parse(BLOCK.read(kernel, memory))


def parse(block: bytes) -> ChecksumEvidence:
    """The evidence in the bytes of ``kern::ChecksumEvidence``."""
    finished, cpus, records = BLOCK.unpack(block)
    return ChecksumEvidence(finished == 1, cpus, tuple(ModuleRecord(**values) for values in records))
