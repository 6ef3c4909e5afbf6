# SPDX-License-Identifier: MIT
"""lab6: how often the guest's kernel loads a page table, and how often the real processor gets
another one. Tiny takes turns by its system call alone here, so that each can be counted with a
pencil."""

from __future__ import annotations

from collections.abc import Mapping

from grader.testkit import tiny
from grader.testkit.boot import BootResult
from grader.testkit.tiny import EXITED, SoftRecord

CPUS = 1
TURNS = 16
"""Of each program."""
ON_DEMAND, TRACED = range(2)
"""The runs."""


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], bytes]:
    """Tiny without the part that waits for its timer."""
    return {}, tiny.seeded(guests["tiny.elf"], nonce, turns=TURNS, rounds=0)


def _run(booted: BootResult, nonce: str, number: int) -> SoftRecord:
    """The record of a run that exited with the right number."""
    records = booted.evidence.records if booted.evidence is not None else ()
    assert len(records) > number, f"run {number + 1} has not ended: {booted.explain()}"
    record: SoftRecord = records[number]
    wanted = tiny.exit_number(nonce, turns=TURNS, rounds=0)
    assert (record.end, record.status) == (EXITED, wanted), f"tiny has gone wrong: {booted.serial[-1000:]}"
    return record


def test_what_a_switch_costs(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_trace: the handout draws the five. Who flushes the whole TLB for an entry needs
    up to three more."""
    for number in (ON_DEMAND, TRACED):
        record = _run(booted, nonce, number)
        turns = 2 * TURNS
        assert record.guest_loads == turns + 3, (
            f"tiny loads a page table {record.guest_loads} times, wanted are {turns + 3}: once a turn, twice at its "
            "start, and once where its first program ends")
        assert 5 * turns <= record.real_loads <= 8 * turns + 32, (
            f"the real processor gets a page table {record.real_loads} times in {turns} turns, wanted is from 5 to 8 a "
            "turn")
