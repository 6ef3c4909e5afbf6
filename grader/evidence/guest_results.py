# SPDX-License-Identifier: MIT
"""What gkernel found in its memory (guest/gkernel/results.hh), read from outside.

The guest is framework code, but its memory was filled by the student's: nothing in it is believed
before it was compared with what the image says."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from grader.evidence.blocks import wrong_magic

SYMBOL = "guest_results"
MAX_AREAS = 16
MAX_CPUS = 8
_HEAD = struct.Struct("<16s8Q")
_AREA = struct.Struct("<5Q")
_CPU = struct.Struct("<4Q")
SIZE = _HEAD.size + MAX_AREAS * _AREA.size + MAX_CPUS * _CPU.size

#: The bits of `problems`, in words.
PROBLEMS = {
    1: "the memory map names no RAM",
    2: "two ranges of RAM in the memory map overlap",
    4: "the memory map has RAM in the hole for devices",
    8: "the guest kernel does not lie in RAM",
    16: "not all vCPUs came up",
    32: "memory did not keep what was written to it",
    64: "bss was not zero at the start",
    128: "the guest did not understand its command line",
}


@dataclass(frozen=True)
class AreaResult:
    """The pages of one part of ``touch=``."""

    address: int
    pages: int
    digest: int
    not_zero: int
    wrong_words: int


@dataclass(frozen=True)
class CpuResult:
    """What one vCPU saw."""

    up: int
    race_digest: int
    each_digest: int
    timer_interrupts: int


@dataclass(frozen=True)
class GuestResults:
    """``guest::GuestResults``."""

    key: int
    cpus: int
    memory_kib: int
    problems: int
    finished: bool
    x2apic: bool
    """its vCPUs have an x2APIC; otherwise an xAPIC alone"""
    device_interrupts: int
    areas: tuple[AreaResult, ...]
    cpu: tuple[CpuResult, ...]

    @property
    def problem_words(self) -> str:
        """The problems that the guest found, in words; empty if there are none."""
        return "; ".join(words for bit, words in PROBLEMS.items() if self.problems & bit)


def parse(block: bytes) -> GuestResults:
    """The results in the bytes at the symbol ``guest_results``; a ValueError if they are none."""
    magic, key, cpus, memory, problems, finished, area_count, x2apic, devices = _HEAD.unpack_from(block)
    if problem := wrong_magic(magic, "guest/gkernel/results.hh"):
        raise ValueError(problem)
    areas = _AREA.iter_unpack(block[_HEAD.size : _HEAD.size + MAX_AREAS * _AREA.size])
    found = [AreaResult(*fields) for fields in areas][: min(area_count, MAX_AREAS)]
    per_cpu = _CPU.iter_unpack(block[_HEAD.size + MAX_AREAS * _AREA.size : SIZE])
    cpu = [CpuResult(*fields) for fields in per_cpu][: min(cpus, MAX_CPUS)]
    return GuestResults(key, cpus, memory, problems, finished == 1, x2apic == 1, devices, tuple(found), tuple(cpu))
