# SPDX-License-Identifier: MIT
"""lab6: the kernel guest/tiny and its two programs in ring 3, three times in one boot: with shadows filled on demand,
with traced tables, and with its sensitive instructions left as they are. Each time it exits with a number into which its
seeds and everything that it has seen go; the seeds are of this run."""

from __future__ import annotations

from collections.abc import Mapping

from grader.testkit import tiny
from grader.testkit.boot import BootResult
from grader.testkit.tiny import EXITED, SoftRecord

CPUS = 1
TURNS = 8
ROUNDS = 4
CALLS = 2 * TURNS + 2 + 3 * ROUNDS + 2
"""Both take turns, begin the clock, and end; one sleeps and writes, and the other reads."""
SITES = 6 * 2 * TURNS
"""PUSHF and POPF, at each turn."""
OWN_INTERRUPTS = 2 * 2 * TURNS
"""That the kernel sends to itself, at each turn."""
TICKS = 2 * ROUNDS - 1
"""Without so many of the timer's the programs that wait for each other do not end."""
FAULTS = 4
"""Each executes CLI once, and touches one page that is not there."""


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], bytes]:
    """No plan, but tiny as it is."""
    return {}, tiny.seeded(guests["tiny.elf"], nonce)


def _run(booted: BootResult, number: int) -> SoftRecord:
    """The record of a run that exited."""
    records = booted.evidence.records if booted.evidence is not None else ()
    assert len(records) > number, f"run {number + 1} has not ended: {booted.explain()}"
    record: SoftRecord = records[number]
    assert record.end == EXITED, f"tiny has not exited: {booted.serial[-1000:]}"
    return record


def _right(booted: BootResult, nonce: str, number: int) -> SoftRecord:
    """The same, if it exited with the right number."""
    record = _run(booted, number)
    wanted = tiny.exit_number(nonce)
    assert record.status == wanted, (
        f"tiny exits with {record.status:#x}, wanted is {wanted:#x}: it has seen something else")
    return record


def test_the_system_calls_arrive(booted: BootResult, nonce: str) -> None:
    """lab6.classify_trap"""
    record = _right(booted, nonce, 0)
    assert record.software_interrupts == CALLS, f"{record.software_interrupts} system calls, wanted are {CALLS}"


def test_the_kernels_instructions_are_done(booted: BootResult, nonce: str) -> None:
    """lab6.emulate_privileged"""
    assert _right(booted, nonce, 0).emulated > 0


def test_the_programs_faults_are_delivered(booted: BootResult, nonce: str) -> None:
    """lab6.deliver_event"""
    record = _right(booted, nonce, 0)
    assert record.faults == FAULTS, f"{record.faults} faults of the guest's own, wanted are {FAULTS}"


def test_the_programs_take_turns(booted: BootResult, nonce: str) -> None:
    """lab6.return_from_event"""
    _right(booted, nonce, 0)
    assert "[guest] " + "ab" * TURNS in booted.serial, "the two programs do not take turns"


def test_memory_comes_on_demand(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_fill"""
    assert _right(booted, nonce, 0).filled > 0


def test_a_window_that_moves(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_flush: tiny maps another page at each call, and says INVLPG."""
    _right(booted, nonce, 0)


def test_traced_tables_say_what_the_guests_say(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_trace"""
    record = _right(booted, nonce, 1)
    assert record.traced == 2 * TURNS + 2, f"{record.traced} writes to tables were traced, wanted are {2 * TURNS + 2}"
    on_demand = _run(booted, 0).filled
    assert record.filled < on_demand, f"{record.filled} pages were filled, and on demand {on_demand}: nothing was kept"


def test_sensitive_instructions_are_rewritten(booted: BootResult, nonce: str) -> None:
    """lab6.rewrite_sensitive: with them tiny is right, and without it is wrong, and does not say so."""
    record = _right(booted, nonce, 0)
    assert record.rewritten == SITES, f"{record.rewritten} sites trapped, wanted are {SITES}"
    assert _run(booted, 2).status == tiny.exit_number(nonce, silent=True)


def test_every_frame_is_given_back(booted: BootResult) -> None:
    """lab6.shadow_flush: nothing is left of a guest."""
    left = [record.frames_left for record in booted.evidence.records]
    assert left[1:] == [0, 0], f"frames that were not given back, by run: {left}"
