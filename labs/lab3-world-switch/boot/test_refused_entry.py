# SPDX-License-Identifier: MIT
"""lab3: entries that the CPU refuses on purpose, on Intel.

The host makes one control of the VMCS invalid just before an entry: before the first one, which is
a launch, and before a later one, which is a resume; there the count of entries jumps beyond 32
bits, too. In a boot of its own: who does not come back from a refusal stops the whole machine, with
interrupts disabled.
"""

from __future__ import annotations

from collections.abc import Mapping

from grader.testkit.boot import BootResult
from grader.testkit.images import Segment, elf_image
from grader.testkit.plans import RunPlan
from grader.testkit.records import GuestEnd
from grader.testkit.user_guests import VMM, arguments, common_files, end_of, record_of

CPUS = 1
MEMORY_MIB = 128
LIMIT_MS = 1000
ENDLESS = b"\xeb\xfe"  # jmp to itself
ENDLESS_AT, ENDLESS_KIB = 0x10_0000, 1088
LATER = 3
"""The boot sector's first words on its serial line are exits, so there is an entry of this
number."""
WRONG_LAUNCH = 4
"""VM-instruction error: a VMLAUNCH of a VMCS that was launched."""
INVALID_CONTROLS = 7
"""VM-instruction error: a control field is invalid [intel/vol3c 31.4]."""


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[RunPlan]]:
    """Two guests, of which neither would end by itself."""
    files = common_files(nonce, guests)
    files["endless.elf"] = elf_image([Segment(ENDLESS_AT, ENDLESS)], entry=ENDLESS_AT)
    endless = {"kernel": "endless.elf", "memory": ENDLESS_KIB}
    return files, [
        RunPlan(name, VMM, limit_ms=LIMIT_MS, probe=f"spoil:{entry}", args=arguments(endless))
        for name, entry in (("first", 1), ("later", LATER))
    ]


def _refused_once(booted: BootResult, name: str, entries: int, instruction: str, other: str) -> None:
    """The CPU has refused one entry of this guest, and the host has seen why."""
    record = record_of(booted, name)
    assert record.end is GuestEnd.REFUSED, (
        f"a control of the VMCS was invalid when {instruction} was due, and the guest "
        f"{end_of(booted, record)}; wanted: ended, since the CPU refused to enter it"
    )
    assert record.entries >= entries, (
        f"the guest was entered {record.entries} times before: the test itself is wrong"
    )
    assert record.instruction_error == INVALID_CONTROLS, (
        f"{instruction} was refused with VM-instruction error {INVALID_CONTROLS}, a control that is "
        f"invalid, and fragment 60 has found {record.instruction_error or 'none'}. 4 or 5: {other} was "
        "executed after it. None: CF and ZF are not as the CPU left them"
    )


def test_first_entry_looks_at_all_bits(booted: BootResult) -> None:
    """lab3.first_entry: env_runs is 2^32 + 1 at the entry that is refused: its lowest 32 bits alone
    say 1."""
    record = record_of(booted, "later")
    assert record.entries >= LATER - 1, (
        f"the guest was entered {record.entries} times; wanted, before an entry is refused on purpose: "
        f"{LATER - 1}. It {end_of(booted, record)}"
    )
    assert record.instruction_error != WRONG_LAUNCH, (
        "env_runs was 0x100000001, and the guest was launched: error 4. Wanted: a resume, since this is not the first "
        "entry. How many bits of env_runs does the comparison look at?"
    )


def test_enter_a_launch_that_is_refused(booted: BootResult) -> None:
    """lab3.launch_or_resume: when VMLAUNCH is refused, nothing else is tried, and the host gets to
    know."""
    _refused_once(booted, "first", 0, "VMLAUNCH", "VMRESUME")


def test_enter_a_resume_that_is_refused(booted: BootResult) -> None:
    """lab3.launch_or_resume: likewise VMRESUME."""
    _refused_once(booted, "later", LATER - 1, "VMRESUME", "VMLAUNCH")
