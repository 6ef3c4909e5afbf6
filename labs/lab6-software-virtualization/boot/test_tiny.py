# SPDX-License-Identifier: MIT
"""lab6: the kernel guest/tiny and its two programs in ring 3, three times in one boot: with shadows
filled on demand, with traced tables, and with its sensitive instructions left as they are. Each
time it prints digests of what it has seen, and exits with a number that is made of them; each
begins with the seeds of this run."""

from __future__ import annotations

import re
from collections.abc import Mapping

from grader.testkit import tiny
from grader.testkit.boot import BootResult
from grader.testkit.tiny import EXITED, ROUNDS, TURNS, SoftRecord

CPUS = 1
CALLS = 2 * 2 * TURNS + 2 + 3 * ROUNDS + 2
"""INT 0x80 and INT3 at each turn; both begin the clock, and end; one sleeps and writes, and the
other reads."""
FAULTS = 2 + 2 * TURNS
"""Each executes CLI once, and touches a page that is not there at each turn."""
SITES = 7 * 2 * TURNS
"""PUSHF and POPF, at each turn."""
TABLE_WRITES = 3 * 2 * TURNS
"""At each turn the window moves, and the page on demand goes and comes."""
INTERRUPTS = 2 * 2 * TURNS + 2 * ROUNDS - 1 + ROUNDS
"""At least: two of its own at each turn, the timer's that end each wait but the first, one for each
byte."""
ON_DEMAND, TRACED, UNPATCHED = range(3)
"""The runs."""


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


def _saw(booted: BootResult, nonce: str, aspect: str, number: int = ON_DEMAND, *, silent: bool = False) -> SoftRecord:
    """The record of a run in which tiny has seen the right ``aspect``."""
    record = _run(booted, number)
    seen = tiny.printed(re.split(r"^guest: .*, sites .*$", booted.serial, flags=re.MULTILINE)[number + 1])
    wanted = tiny.digests(nonce, silent=silent)
    assert aspect in seen, f"tiny has printed no digests: {booted.serial[-1000:]}"
    assert seen[aspect] == wanted[aspect], (
        f"the digest of what tiny has seen, its {aspect}, is {seen[aspect]:#x}, wanted is {wanted[aspect]:#x}")
    return record


def test_the_system_calls_arrive(booted: BootResult, nonce: str) -> None:
    """lab6.classify_trap"""
    record = _saw(booted, nonce, "values")
    assert record.software_interrupts == CALLS, f"{record.software_interrupts} INT, wanted are {CALLS}"


def test_a_programs_cli_is_its_own_fault(booted: BootResult, nonce: str) -> None:
    """lab6.classify_trap: tiny mixes the fault's error code and EIP."""
    _saw(booted, nonce, "faults")


def test_the_kernels_instructions_are_done(booted: BootResult, nonce: str) -> None:
    """lab6.emulate_privileged"""
    assert _right(booted, nonce, ON_DEMAND).emulated > 0


def test_sti_protects_one_instruction(booted: BootResult, nonce: str) -> None:
    """lab6.emulate_privileged: an interrupt waits; it comes neither between STI and CLI, nor later
    than behind NOP."""
    _saw(booted, nonce, "arrivals")


def test_the_kernel_halts_until_an_interrupt(booted: BootResult, nonce: str) -> None:
    """lab6.emulate_privileged: one program sleeps and the other waits for its byte, so nothing else
    goes on."""
    _saw(booted, nonce, "input")


def test_the_programs_faults_are_delivered(booted: BootResult, nonce: str) -> None:
    """lab6.deliver_event"""
    record = _saw(booted, nonce, "faults")
    assert record.faults == FAULTS, f"{record.faults} faults of the guest's own, wanted are {FAULTS}"


def test_interrupts_wait_for_if(booted: BootResult, nonce: str) -> None:
    """lab6.deliver_event: those that tiny sends to itself come when POPF or STI has let them in."""
    record = _saw(booted, nonce, "arrivals")
    assert record.interrupts >= INTERRUPTS, f"{record.interrupts} interrupts, wanted are at least {INTERRUPTS}"


def test_a_handler_returns_to_where_if_is_0(booted: BootResult, nonce: str) -> None:
    """lab6.deliver_event: INT3 in a critical section; the frame has the guest's IF."""
    _saw(booted, nonce, "flags")


def test_the_timer_takes_the_cpu(booted: BootResult, nonce: str) -> None:
    """lab6.deliver_event: each program waits in a loop for the other."""
    _saw(booted, nonce, "clock", TRACED)


def test_the_programs_take_turns(booted: BootResult, nonce: str) -> None:
    """lab6.return_from_event"""
    _saw(booted, nonce, "values")
    assert "[guest] " + "ab" * TURNS in booted.serial, "the two programs do not take turns"


def test_programs_are_interrupted_anywhere(booted: BootResult, nonce: str) -> None:
    """lab6.return_from_event: a program that the timer has interrupted goes on as if nothing had
    been."""
    _saw(booted, nonce, "clock")


def test_memory_comes_on_demand(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_fill"""
    assert _saw(booted, nonce, "values").filled > 0
    _saw(booted, nonce, "faults")


def test_a_page_that_both_programs_have(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_fill: in each run the guest's memory lies elsewhere in the machine."""
    for number in (ON_DEMAND, TRACED):
        _saw(booted, nonce, "clock", number)


def test_a_window_that_moves(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_flush: tiny maps another page at each call, and says INVLPG."""
    _saw(booted, nonce, "window")


def test_each_program_has_its_own_pages(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_flush: at the same addresses, and a write to CR3 is all that tells."""
    _saw(booted, nonce, "values")
    _saw(booted, nonce, "input")


def test_traced_tables_say_what_the_guests_say(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_trace"""
    record = _saw(booted, nonce, "values", TRACED)
    assert record.traced == TABLE_WRITES, f"{record.traced} writes to tables were traced, wanted are {TABLE_WRITES}"
    on_demand = _run(booted, ON_DEMAND).filled
    assert record.filled < on_demand, f"{record.filled} pages were filled, and on demand {on_demand}: nothing was kept"


def test_a_traced_window(booted: BootResult, nonce: str) -> None:
    """lab6.shadow_trace: the store is all that tells where the window leads."""
    _saw(booted, nonce, "window", TRACED)


def test_sensitive_instructions_are_rewritten(booted: BootResult, nonce: str) -> None:
    """lab6.rewrite_sensitive: in each run anew."""
    for number in (ON_DEMAND, TRACED):
        record = _saw(booted, nonce, "flags", number)
        assert record.rewritten == SITES, f"{record.rewritten} sites trapped, wanted are {SITES}"


def test_without_it_tiny_goes_wrong_without_a_sound(booted: BootResult, nonce: str) -> None:
    """lab6.rewrite_sensitive: with them it is right, and without it exits as well, with another
    number."""
    _right(booted, nonce, ON_DEMAND)
    assert _run(booted, UNPATCHED).status == tiny.exit_number(nonce, silent=True)


def test_every_frame_is_given_back(booted: BootResult) -> None:
    """lab6.shadow_flush: nothing is left of a guest."""
    left = [record.frames_left for record in booted.evidence.records]
    assert left[1:] == [0, 0], f"frames that were not given back, by run: {left}"
