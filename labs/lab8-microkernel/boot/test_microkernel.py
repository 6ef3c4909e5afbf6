# SPDX-License-Identifier: MIT
"""lab8: the microkernel with the root task kern/user/micro and its children in ring 3, all parts in
one boot.

Each part leaves a number in the root task's report. All that the programs have seen goes into it,
keyed by this run; the harness works out the same. What the kernel itself has counted is in its
evidence.
"""

from __future__ import annotations

from collections.abc import Mapping

from grader.testkit import micro
from grader.testkit.boot import BootResult
from grader.testkit.micro import PARTS, ROOT_TASK_ENDED, MicroRecord

CPUS = 4
ROUNDS = 300
"""Calls of the client to its server, in the part ping_pong."""


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], bytes]:
    """No plan, but the root task as it is."""
    return {}, micro.keyed(guests["user/micro.elf"], nonce)


def _record(booted: BootResult) -> MicroRecord:
    assert booted.evidence is not None and booted.evidence.finished, f"the kernel did not come to its end: {booted.explain()}"
    record: MicroRecord = booted.evidence.records[0]
    return record


def _right(booted: BootResult, nonce: str, part: str) -> MicroRecord:
    """The record, if the part has seen what it should."""
    record = _record(booted)
    place = PARTS.index(part)
    assert record.report[0] > place, (
        f"the part '{part}' did not come to its end, after {record.report[0]} others: {booted.explain()}")
    seen, wanted = record.report[place + 1], micro.number_of(part, nonce)
    assert seen == wanted, f"the part '{part}' has seen something else: its number is {seen:#x}, wanted is {wanted:#x}"
    return record


def test_lookup_passes_guards(booted: BootResult, nonce: str) -> None:
    """lab8.cap_lookup: a program's addresses lead through two CNodes with guards."""
    _right(booted, nonce, "lookup")


def test_derive_gives_a_badge(booted: BootResult, nonce: str) -> None:
    """lab8.cap_derive: a badge of this run arrives, and a right that was left out is missing."""
    _right(booted, nonce, "derive")


def test_revoke_takes_what_was_derived(booted: BootResult, nonce: str) -> None:
    """lab8.cap_revoke"""
    _right(booted, nonce, "revoke")


def test_revoke_ends_a_thread_that_runs(booted: BootResult, nonce: str) -> None:
    """lab8.cap_revoke: its address space, and then itself, on whichever CPU it is."""
    _right(booted, nonce, "end_thread")


def test_revoke_gives_all_memory_back(booted: BootResult) -> None:
    """lab8.cap_revoke: after the last part nothing is left of any."""
    record = _record(booted)
    assert record.end == ROOT_TASK_ENDED and record.report[0] == len(PARTS), f"the test did not end: {booted.explain()}"
    assert record.untyped_in_use == 0, f"{record.untyped_in_use} Untypeds still have something made of them"
    assert record.dead == 0, f"{record.dead} objects have ended, and were not emptied"
    assert record.ready == 0, f"{record.ready} threads are Ready that should not be there any more"
    assert record.frames_left == 0, f"the kernel has kept {record.frames_left} frames for itself"


def test_retype_is_all_or_nothing_and_clear(booted: BootResult, nonce: str) -> None:
    """lab8.untyped_retype"""
    _right(booted, nonce, "retype")


def test_retype_of_many_goes_on(booted: BootResult, nonce: str) -> None:
    """lab8.untyped_retype: 64 frames at once take more than one try."""
    record = _right(booted, nonce, "retype_long")
    assert record.preempted > 0, "no system call was preempted"


def test_transfer_of_a_long_message(booted: BootResult, nonce: str) -> None:
    """lab8.transfer"""
    _right(booted, nonce, "long_message")


def test_transfer_of_a_capability(booted: BootResult, nonce: str) -> None:
    """lab8.transfer: a Frame that came in a message shows what its sender has written."""
    _right(booted, nonce, "capability_in_message")


def test_send_meets_its_receiver(booted: BootResult, nonce: str) -> None:
    """lab8.ipc_send"""
    _right(booted, nonce, "rendezvous")


def test_send_of_faults_to_a_pager(booted: BootResult, nonce: str) -> None:
    """lab8.ipc_send: a pager in ring 3 maps pages for its client, which has faulted."""
    record = _right(booted, nonce, "paging")
    assert record.faults >= 8, f"{record.faults} faults, and the client has 8 pages to ask for"


def test_receive_is_woken_by_a_signal(booted: BootResult, nonce: str) -> None:
    """lab8.ipc_recv"""
    _right(booted, nonce, "bound")


def test_receive_from_threads_that_share_cpus(booted: BootResult, nonce: str) -> None:
    """lab8.ipc_recv: four threads that wait for each other without a call. How many CPUs they come
    to is a matter of luck on a busy host, and no test's."""
    _right(booted, nonce, "many")


def test_reply_is_used_once(booted: BootResult, nonce: str) -> None:
    """lab8.reply: the second one goes nowhere, and a client that has gone hurts nobody."""
    _right(booted, nonce, "replies")


def test_signal_of_an_interrupt(booted: BootResult, nonce: str) -> None:
    """lab8.signal: the machine's clock, with a driver in ring 3."""
    record = _right(booted, nonce, "interrupts")
    assert record.interrupts >= 5, f"{record.interrupts} interrupts have arrived"


def test_wait_finds_earlier_signals(booted: BootResult, nonce: str) -> None:
    """lab8.wait"""
    _right(booted, nonce, "signals")


def test_fastpath_has_served_the_client(booted: BootResult, nonce: str) -> None:
    """lab8.ipc_fastpath: right answers, and nearly all of them by the short way."""
    record = _right(booted, nonce, "ping_pong")
    assert record.fast_calls > ROUNDS // 2, f"{record.fast_calls} of the calls took the fast path"
    assert record.fast_replies > ROUNDS // 2, f"{record.fast_replies} of the replies took the fast path"
