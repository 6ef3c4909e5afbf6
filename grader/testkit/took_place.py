# SPDX-License-Identifier: MIT
"""Whether a plan took place, as far as it can be seen from outside.

Framework code alone writes the evidence, one record a step, in the plan's order. What an answer
does may end the machine in the middle of a step; it cannot make a step have no record, or a record
another step's. So evidence that departs from the plan was not made by carrying it out, and no test
of that boot can believe it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import Any

from grader.evidence.guests import BLOCK as GUESTS
from grader.evidence.guests import GuestEvidence
from grader.evidence.programs import ProgramEnd, ProgramRecord
from grader.evidence.vms import VmRecord, VmState
from grader.testkit.plans import PlanLine, RunPlan, VmPlan

NAME_BYTES = 31
"""What a record keeps of a name."""


def departure(plan: Sequence[PlanLine], evidence: Any, *, files: Collection[str], done: bool) -> str:
    """How the evidence departs from the plan, in words; empty if it does not. ``files``: the
    boot's, by name. ``done``: the kernel has said so, by powering off with 0; else it may have
    ended in any step, which then is the last one that has a record."""
    names = [_kept(re.findall(r" name=(\S+)", step.line())[0]) for step in plan]
    records = evidence.records
    if done and not evidence.finished:
        return "the kernel powered off as if the plan were done, and the evidence does not say that it is finished"
    if evidence.finished and len(records) != len(names):
        return f"the plan is said to be finished, with {len(records)} records for {len(names)} steps"
    for number, (record, name) in enumerate(zip_longest(records, names), 1):
        if record is None:
            break
        if name is None or record.name != name:
            wanted = f"step {number} of the plan is {name!r}" if name else f"the plan has {len(names)} steps"
            return f"record {number} is of {record.name!r}, and {wanted}"
    for step, record in zip(plan, records):
        is_over = evidence.finished or record is not records[-1]
        if isinstance(step, VmPlan) and (words := _vm(step, record, is_over)):
            return f"VM {record.name!r}: {words}"
        if isinstance(step, RunPlan) and (words := _program(step, record, is_over)):
            return f"program {record.name!r}: {words}"
    makers = {*names[: len(records)], *map(_kept, files)}  # a program that another has started is called as its file
    return _guests(evidence, makers) if isinstance(evidence, GuestEvidence) else ""


def _kept(name: str) -> str:
    return name.encode()[:NAME_BYTES].decode("utf-8", "replace")


def _vm(step: VmPlan, record: VmRecord, is_over: bool) -> str:
    if record.vcpu_count != step.vcpus:
        return f"it had {record.vcpu_count} vCPUs, and {step.vcpus} were planned"
    if is_over and record.state in (VmState.NONE, VmState.RUNNING):
        return f"its state is {record.state.name}, and a later step has begun"
    if record.state is VmState.EXITED and record.exits == 0:
        return "it exited by a hypercall, and had no exit"
    if record.state is VmState.REFUSED and (record.exits or record.error is None):
        return f"it was refused, with {record.exits} exits and the error {record.error}"
    if record.kept and not step.keep:
        return "it was kept, and the plan has it destroyed"
    return ""


def _program(step: RunPlan, record: ProgramRecord, is_over: bool) -> str:
    planned = step.count * step.repeat
    no_file = record.end is ProgramEnd.REFUSED and record.environments == record.refused == 1
    if record.environments > planned or (is_over and record.environments != planned and not no_file):
        return f"{record.environments} environments were made, and {planned} were planned"
    ended = record.exited + record.faulted + record.killed + record.stuck + record.refused
    if ended > record.environments:
        return f"{ended} environments have ended, of {record.environments}"
    if record.end is ProgramEnd.EXITED and record.exited == 0:
        return "its first environment exited, and none did"
    if record.kept and not step.keep:
        return "it was kept, and the plan has it destroyed"
    return ""


def _guests(evidence: GuestEvidence, makers: Collection[str]) -> str:
    guests = evidence.guests
    if len(guests) != min(evidence.guests_made, GUESTS.max_records):
        return f"{evidence.guests_made} guests were made, and there are {len(guests)} records of guests"
    for number, record in enumerate(guests, 1):
        if record.name != f"guest{number}":
            return f"record {number} of the guests is of {record.name!r}"
        if record.owner_name not in makers:
            return f"{record.name!r} is said to be of {record.owner_name!r}, which is no step that has begun and no program of the boot"
    return ""
