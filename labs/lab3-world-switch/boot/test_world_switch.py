# SPDX-License-Identifier: MIT
"""lab3: the booted cases of all sections, Intel's and AMD's, in one boot.

A guest makes 1024 round trips with this run's numbers in its registers: at one place, moved to
another CPU again and again, and side by side with its like. Then there are the course's guest
kernel, whose digests follow from this run's file, and a guest that never leaves by itself. What a
trusted VMREAD found, which entries there were, and the guests' memory are read from outside. Each
test's name begins with its section: rsp (lab3.host_rsp), first (lab3.first_entry), enter
(lab3.launch_or_resume) on Intel; state (lab3.svm_state), vmrun (lab3.svm_vmrun), rax
(lab3.svm_rax_rflags) on AMD.
"""

from __future__ import annotations

from collections.abc import Mapping

from grader.testkit.boot import BootResult
from grader.testkit.images import GuestImage, Segment, elf_image
from grader.testkit.plans import RunPlan
from grader.testkit.records import GuestEnd, GuestRecord, ProgramEnd
from grader.testkit.user_guests import (
    KERNEL, REGISTERS, ROUND_TRIP, ROUND_TRIP_STATUS, ROUNDS, VMM, Changed, answer_seen, arguments,
    changed_registers, check_digests, common_files, end_of, record_of, records_of, results_of,
    round_trip_file, rounds_seen,
)  # fmt: skip
from grader.testkit.user_programs import record_of as program_of

CPUS = 2
MEMORY_MIB = 128
KERNEL_KIB, SMALL_KIB = 6144, 3072
MOVE = 16
"""The moving guest goes to the other CPU after so many exits."""
GENERAL = REGISTERS[:16]
MSRS = REGISTERS[17:]
# Guests of the round trips, with the status of each.
TRAVELLERS = ("rounds", "moving", "pair")
SWITCHED = ("rounds", "moving", "pair", "kernel")
NEAR = 64
"""Bytes: what a section may have pushed."""
LOWER_HALF = 0xFFFF_FFFF
ENDLESS = b"\xeb\xfe"  # jmp to itself
ENDLESS_AT, ENDLESS_KIB = 0x10_0000, 1088
"""Small, so that it runs long before its limit, however busy this machine is."""


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[RunPlan]]:
    """All steps of the boot; each makes one guest, and `pair` two."""
    files = common_files(nonce, guests)
    files[ROUND_TRIP] = round_trip_file(nonce, guests)
    files["endless.elf"] = elf_image([Segment(ENDLESS_AT, ENDLESS)], entry=ENDLESS_AT)
    small = {"kernel": ROUND_TRIP, "memory": SMALL_KIB, "hypercalls": 1}
    kernel = {"kernel": KERNEL, "memory": KERNEL_KIB}
    endless = {"kernel": "endless.elf", "memory": ENDLESS_KIB}
    told = [f"nonce={nonce}", "touch=text,rodata,data,bss"]
    return files, [
        RunPlan("rounds", VMM, keep=True, cpus=1, args=arguments(small)),
        RunPlan("kernel", VMM, keep=True, args=arguments(kernel | {"hypercalls": 1}, told)),
        RunPlan("milestone", VMM, keep=True, args=arguments(kernel, told)),
        RunPlan("moving", VMM, keep=True, probe=f"move:{MOVE}", args=arguments(small)),
        RunPlan("pair", VMM, keep=True, count=2, cpus=1, args=arguments(small)),
        RunPlan("endless", VMM, limit_ms=500, cpus=1, args=arguments(endless)),
        RunPlan("last", VMM, keep=True, cpus=1, args=arguments(small)),
    ]


def _ran(booted: BootResult, name: str, status: int = ROUND_TRIP_STATUS) -> list[GuestRecord]:
    """The guests of one step, which must have ended by themselves."""
    records = records_of(booted, name)
    for record in records:
        assert record.end is GuestEnd.EXITED and record.status == status, (
            f"the guest of `{name}` did not run to its end: {end_of(booted, record)}; wanted: exited "
            f"with {status}"
        )
    return records


def _travelled(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes], *names: str, bits: int = (1 << 64) - 1
) -> None:
    """In the guests that ran to their end, all registers called `names` came back as they left, in
    these bits."""
    image = GuestImage(round_trip_file(nonce, guests))
    for step in TRAVELLERS:
        for record in _ran(booted, step):
            seen = rounds_seen(booted, record, image)
            assert seen == ROUNDS, f"the guest of `{step}` made {seen} round trips; wanted: {ROUNDS}"
            wrong = [
                one for one in changed_registers(booted, record, image, nonce)
                if one.register in names and (one.seen ^ one.wanted) & bits
            ]  # fmt: skip
            assert not wrong, f"in the guest of `{step}` {_words(wrong)}"


def _words(wrong: list[Changed]) -> str:
    registers = ", ".join(dict.fromkeys(one.register for one in wrong))
    first = wrong[0]
    return (
        f"these registers came back changed: {registers}; first in round trip {first.round}: "
        f"{first.register} was {first.wanted:#x} before the exit, and {first.seen:#x} after it"
    )


def _kernel_ran(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """The course's guest kernel has found all its memory, and ended with its hypercall."""
    (record,) = _ran(booted, "kernel", 0)
    image = GuestImage(common_files(nonce, guests)[KERNEL])
    check_digests(results_of(booted, record, image), image, nonce)


def _aborted_at_its_hypercall(booted: BootResult) -> None:
    """Without a handler the guest kernel runs up to its first hypercall, and the host says so."""
    record = record_of(booted, "milestone")
    assert record.end is GuestEnd.UNHANDLED, (
        f"no hypercall is served, and the guest {end_of(booted, record)}; wanted: ended by its first one"
    )
    for line in ("boot sector: from real mode to the guest kernel", "gkernel: done",
                 "Unhandled VMEXIT, aborting guest."):  # fmt: skip
        assert line in booted.serial, f"the console does not say `{line}`"


def _never_refused(booted: BootResult, *names: str) -> None:
    """The VM-instruction error of these guests' VMCS has never been set: no VMLAUNCH and no
    VMRESUME was one that the CPU had to refuse, whatever followed it."""
    for name in names:
        for record in records_of(booted, name):
            assert record.instruction_error == 0, (
                f"the CPU has refused an entry of the guest of `{name}` with VM-instruction error "
                f"{record.instruction_error}; wanted: none. 4 is a VMLAUNCH of a VMCS that was "
                "launched, 5 a VMRESUME of one that was not"
            )


def _one_launch_for_each_clear(record: GuestRecord, name: str) -> None:
    """With _never_refused: after a VMCLEAR the CPU takes only a launch, and else only a resume."""
    assert record.clears > 0, f"the VMCS of the guest of `{name}` was never cleared: the test is wrong"
    # The last VMCLEAR is that of the guest's end, or of its last move, and no entry follows.
    assert record.entries >= max(record.exits, record.clears - 1, ROUNDS), (
        f"the guest of `{name}` was entered {record.entries} times, with {record.exits} exits and "
        f"{record.clears} VMCLEARs; wanted: an entry for each exit"
    )


# lab3.host_rsp


def test_rsp_is_written_before_each_entry(booted: BootResult) -> None:
    """lab3.host_rsp: at each entry the field host RSP has been written."""
    for name in SWITCHED:
        for record in records_of(booted, name):
            assert record.host_rsp_found != 0, (
                f"the field host RSP held 0 when the guest of `{name}` should be entered, as in a new VMCS; wanted: "
                f"RSP, which was {record.host_rsp_wanted:#x}. Does VMWRITE get the field's number in one "
                "operand and RSP in the other, and the right field?"
            )


def test_rsp_is_near_the_stack(booted: BootResult) -> None:
    """lab3.host_rsp: what the field holds was taken from RSP: its lower half is right, or a few
    bytes off."""
    for name in SWITCHED:
        for record in records_of(booted, name):
            off = record.host_rsp_found - record.host_rsp_wanted & 0xFFFF_FFFF
            assert record.host_rsp_found and min(off, (1 << 32) - off) <= NEAR, (
                f"host RSP held {record.host_rsp_found:#x}, and RSP was {record.host_rsp_wanted:#x}, when the guest "
                f"of `{name}` should be entered"
            )


def test_rsp_of_the_host_is_in_the_vmcs(booted: BootResult) -> None:
    """lab3.host_rsp: at each entry the field host RSP holds the stack pointer of that moment."""
    for name in SWITCHED:
        for record in records_of(booted, name):
            assert record.host_rsp_mismatches == 0, (
                f"{record.host_rsp_mismatches} times the field host RSP was not RSP when the guest of "
                f"`{name}` should be entered; at the last one it held {record.host_rsp_found:#x}, and "
                f"RSP was {record.host_rsp_wanted:#x}"
            )
            assert record.entries > 0, f"the guest of `{name}` was never entered: {record.describe()}"
            assert record.host_rsp_found == record.host_rsp_wanted != 0, (
                f"host RSP held {record.host_rsp_found:#x}, and RSP was {record.host_rsp_wanted:#x}"
            )


def test_rsp_brings_the_host_back(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab3.host_rsp: after every exit the host goes on with its own stack, and the guest with its
    own registers."""
    _travelled(booted, nonce, guests, *GENERAL)
    _ran(booted, "last")


# lab3.first_entry


def test_first_entry_is_a_launch(booted: BootResult) -> None:
    """lab3.first_entry: the very first entry of a guest is one that the CPU accepts."""
    record = record_of(booted, "rounds")
    assert record.entries > 0, (
        f"the first entry of the first guest was refused with VM-instruction error {record.instruction_error}; "
        f"wanted: none. 5 is a VMRESUME where a VMLAUNCH was due. The guest {end_of(booted, record)}"
    )


def test_first_entry_is_the_one_after_vmclear(booted: BootResult) -> None:
    """lab3.first_entry: the first entry is told from all others: a guest that stays on its CPU."""
    _never_refused(booted, "rounds")
    for record in _ran(booted, "rounds"):
        _one_launch_for_each_clear(record, "rounds")


def test_first_entry_after_a_move(booted: BootResult) -> None:
    """lab3.first_entry: after a move to another CPU there is a first entry again."""
    _never_refused(booted, "moving")
    for record in _ran(booted, "moving"):
        _one_launch_for_each_clear(record, "moving")
        assert record.cpus == 0b11 and record.moves >= ROUNDS // MOVE // 2, (
            f"the guest has moved {record.moves} times, over the CPUs {record.cpus:#b}: the test itself "
            "is wrong"
        )
        assert record.clears >= record.moves, (
            f"the guest came to another CPU {record.moves} times, and its VMCS was cleared "
            f"{record.clears} times: the test itself is wrong"
        )


def test_first_entry_of_the_guest_kernel(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab3.first_entry: the guest kernel runs from the boot sector to its end."""
    _kernel_ran(booted, nonce, guests)


# lab3.launch_or_resume


def test_enter_launches_once_and_resumes_otherwise(booted: BootResult) -> None:
    """lab3.launch_or_resume: one VMLAUNCH for each VMCLEAR, VMRESUME for every other entry, and the
    CPU never refuses."""
    _never_refused(booted, "rounds", "moving", "pair", "kernel")
    for name in ("rounds", "moving", "pair"):
        for record in _ran(booted, name):
            _one_launch_for_each_clear(record, name)


def test_enter_changes_no_register(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab3.launch_or_resume: 1024 times out and in again, and every register is as it was."""
    _travelled(booted, nonce, guests, *REGISTERS)


def test_enter_milestone(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab3.launch_or_resume: the guest runs up to its first VMCALL, and with a handler to its
    end."""
    _aborted_at_its_hypercall(booted)
    _kernel_ran(booted, nonce, guests)


# lab3.svm_state


def test_state_of_the_guest_is_its_own(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab3.svm_state: the guest finds its FS and GS base and its SYSCALL and SYSENTER registers
    again, beside another guest and after moves."""
    _travelled(booted, nonce, guests, *MSRS)


def test_state_of_the_guest_kernel(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab3.svm_state: the guest kernel, which uses its GS base, runs to its end."""
    _kernel_ran(booted, nonce, guests)


def test_state_of_the_host_has_its_gs_base(booted: BootResult) -> None:
    """lab3.svm_state: after each exit the host's GS base is the host's again."""
    for name in SWITCHED:
        for record in records_of(booted, name):
            assert record.entries > 0, (
                f"the guest of `{name}` was never entered: {end_of(booted, record)}"
            )
            assert record.end is not GuestEnd.REFUSED, (
                f"behind an exit of the guest of `{name}` the host was not what it had been: "
                f"{end_of(booted, record)}"
            )


def test_state_of_the_host_comes_back(booted: BootResult) -> None:
    """lab3.svm_state: the host finds its own again: programs and guests go on running, on both
    CPUs."""
    for name in ("rounds", "kernel", "moving", "pair", "last"):
        program = program_of(booted, name)
        assert program.end is ProgramEnd.EXITED and program.status == 0, (
            f"the VMM `{name}`, a program of the host, {program.describe()}; wanted: exited with 0"
        )
    _ran(booted, "last")


# lab3.svm_vmrun


def test_vmrun_enters_and_comes_back(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab3.svm_vmrun: the guest kernel runs, and every round trip ends where it began."""
    _kernel_ran(booted, nonce, guests)
    _travelled(booted, nonce, guests, *GENERAL)


def test_vmrun_lets_interrupts_end_the_run(booted: BootResult) -> None:
    """lab3.svm_vmrun: a guest that never exits by itself is interrupted and stopped, and the host's
    interrupts go on."""
    record = record_of(booted, "endless")
    assert record.end is GuestEnd.KILLED, (
        f"a guest that only jumps to itself {record.describe()}; wanted: stopped at its time limit"
    )
    _ran(booted, "last")


def test_vmrun_loses_no_wake_up(booted: BootResult) -> None:
    """lab3.svm_vmrun: an interrupt that comes in the last moment waits for the guest and ends its
    run; none is taken between the last look at what others ask and the entry. A number that was
    written before, and whose interrupt is over, is seen by that look."""
    for record in _ran(booted, "moving"):
        assert record.kicks > 0, "nobody asked for anything: the test itself is wrong"
        assert record.kicks_lost == 0, (
            f"of {record.kicks} requests that came in the last moment before the guest should be entered, "
            f"{record.kicks_lost} were seen by nobody: their interrupt was taken by the host in the sections before "
            "VMRUN, or the number at RCX was not 0 and the guest was entered. Wanted: interrupts wait until the guest "
            "runs, and with a number the guest is not entered"
        )


def test_vmrun_milestone(booted: BootResult) -> None:
    """lab3.svm_vmrun: the guest runs up to its first VMMCALL."""
    _aborted_at_its_hypercall(booted)


# lab3.svm_rax_rflags


def test_rax_in_its_lower_half(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab3.svm_rax_rflags: the lower 32 bits of RAX come back from every exit as the guest left
    them."""
    _travelled(booted, nonce, guests, "RAX", bits=LOWER_HALF)


def test_rax_is_the_guests(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab3.svm_rax_rflags: RAX comes back from every exit as the guest left it."""
    _travelled(booted, nonce, guests, "RAX")


def test_rax_for_the_exit_handlers(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab3.svm_rax_rflags: RAX reaches the host, and its answers in RAX reach the guest."""
    _kernel_ran(booted, nonce, guests)
    image = GuestImage(round_trip_file(nonce, guests))
    for record in _ran(booted, "rounds"):
        seen = answer_seen(booted, record, image)
        assert seen >> 32 == 0, (
            f"the guest executed CPUID with RAX 0xffffffff00000000, and found {seen:#x} in RAX behind it; wanted: "
            "the host's answer, whose upper 32 bits are 0"
        )


def test_rax_and_the_flags(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab3.svm_rax_rflags: RFLAGS likewise."""
    _travelled(booted, nonce, guests, "RFLAGS")


def test_rax_uses_up_no_register(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab3.svm_rax_rflags: no other register is used up on the way."""
    _travelled(booted, nonce, guests, *(name for name in REGISTERS if name not in ("RAX", "RFLAGS")))
