# SPDX-License-Identifier: MIT
"""The microkernel with a program that makes thousands of calls at random with what it has, and
leaves selectors behind: the kernel lives, a client and a server beside it notice nothing, and at
the end all memory is the root task's again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grader.build import lab_kernel
from grader.build.answers import reference_answers
from grader.course.lab import load_all
from grader.testkit import micro
from grader.testkit.boot import run_boot

pytestmark = pytest.mark.skipif(
    reference_answers(load_all()) is None, reason="a release has no reference answers"
)

CALLS = 10_000
WHERE = (("amd-qemu", 1), ("amd-qemu", 2), ("amd-qemu", 4), ("intel-bochs", 2))


def withstands(machine: str, cpus: int, calls: int, folder: Path) -> None:
    """Boots the kernel with a program that makes so many calls."""
    built = lab_kernel.build(print, next(lab for lab in load_all() if lab.kernel == "nestling-micro"), reference=True)
    nonce = os.urandom(32).hex()
    image = micro.keyed(built.program("micro").read_bytes(), nonce, hostile_calls=calls)
    result = run_boot(built.kernel, {}, image, machine=machine, cpus=cpus, transcript_dir=folder, runs="micro")
    assert (result.ended, result.status) == ("powered off", 0), result.explain()
    record = result.evidence.records[0]
    assert record.end == micro.ROOT_TASK_ENDED, result.explain()
    finished, seen_by_client, differing, made, done, rounds = record.report[:6]
    assert finished == 1
    assert seen_by_client == micro.client_digest(nonce) and differing == 0, f"of {rounds} rounds {differing} were disturbed"
    assert made >= calls and done > calls // 50, f"{made} calls, {done} of them Done: this was no test"
    assert (record.untyped_in_use, record.dead, record.ready, record.frames_left) == (0, 0, 0, 0)


@pytest.mark.parametrize(("machine", "cpus"), WHERE)
def test_a_hostile_program_hurts_nobody(machine: str, cpus: int, tmp_path: Path) -> None:
    """`nest test --only wild` makes a hundred thousand."""
    withstands(machine, cpus, CALLS, tmp_path / "transcript")
