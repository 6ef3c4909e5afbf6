# SPDX-License-Identifier: MIT
"""lab6: the read() of questions 1 and 2, done by tiny's programs many times and counted. It is
hidden since it knows the right numbers."""

from __future__ import annotations

from collections.abc import Mapping

from grader.testkit import tiny
from grader.testkit.boot import BootResult
from grader.testkit.tiny import EXITED

CPUS = 1
READS = 64
ON_DEMAND, TRACED = range(2)
"""The runs."""
GUEST, REAL = 2, 6
"""The answers to the questions: page tables that the guest's kernel and the real processor get for
one read()."""
BESIDE = {"turns": 1, "rounds": 0}
AROUND_GUEST = 2 * BESIDE["turns"] + 3
"""Twice at the start, once a turn, and once where the first program ends."""
AROUND_REAL = 8 * AROUND_GUEST
"""At most."""


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], bytes]:
    """Tiny with reads and next to nothing else."""
    return {}, tiny.seeded(guests["tiny.elf"], nonce, reads=READS, **BESIDE)


def test_what_a_read_costs(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_trace: shadows are kept, so nothing but the six needs another table."""
    records = booted.evidence.records if booted.evidence is not None else ()
    assert len(records) > TRACED, f"run {len(records) + 1} has not ended: {booted.explain()}"
    for number in (ON_DEMAND, TRACED):
        record = records[number]
        wanted = tiny.exit_number(nonce, reads=READS, **BESIDE)
        assert (record.end, record.status) == (EXITED, wanted), f"tiny has gone wrong: {booted.serial[-1000:]}"
        assert record.guest_loads == GUEST * READS + AROUND_GUEST, (
            f"tiny loads a page table {record.guest_loads} times in {READS} reads, wanted are "
            f"{GUEST * READS + AROUND_GUEST}: {GUEST} for each, and {AROUND_GUEST} around them")
        least = REAL * READS
        assert least <= record.real_loads <= least + AROUND_REAL, (
            f"the real processor gets a page table {record.real_loads} times in {READS} reads, wanted is {REAL} for each")
