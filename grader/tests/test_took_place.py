# SPDX-License-Identifier: MIT
"""Evidence that is whole in itself, and was not made by carrying out the plan."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from grader.evidence import guests as guest_evidence
from grader.evidence import programs, vms
from grader.evidence.blocks import Block
from grader.testkit.plans import PlanLine, RunPlan, VmPlan
from grader.testkit.took_place import departure
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.toy_tree import Tree


def block(kind: Block, records: Sequence[dict[str, Any]], first: int, second: int) -> bytes:
    """The bytes of a block; what is not given of a record is zero."""
    data = struct.pack("<16sQQQQ", kind.magic, kind.record_size, len(records), first, second)
    for record in records:
        for name, form in kind.fields:
            count = 1 if form.endswith("s") else int(form[:-1] or 1)
            value = record.get(name, "" if form.endswith("s") else 0)
            data += struct.pack(f"<{form}", *([value.encode()] if isinstance(value, str) else [value] * count))
    return data.ljust(kind.size, b"\0")


EXITED, REFUSED, RUNNING = 3, 1, 2
FILES = ("a", "b", "c", "child.elf")
VMS: list[PlanLine] = [VmPlan("one", "a", vcpus=2), VmPlan("two", "b", keep=False), VmPlan("three", "c")]
RUNS: list[PlanLine] = [RunPlan("one", "a", count=2, repeat=3), RunPlan("two", "b"), RunPlan("three", "c", keep=True)]


def vm(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": EXITED, "exits": 5, "vcpu_count": 1} | more


def run(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "end": EXITED, "environments": 1, "exited": 1} | more


def right_vms() -> list[dict[str, Any]]:
    return [vm("one", vcpu_count=2, kept=1), vm("two"), vm("three", state=REFUSED, exits=0, error=1)]


def right_runs() -> list[dict[str, Any]]:
    return [run("one", environments=6, exited=4, killed=2), run("two", end=REFUSED, exited=0, refused=1),
            run("three", kept=1)]


def of_vms(records: Sequence[dict[str, Any]], *, finished: int = 1, done: bool = True) -> str:
    return departure(VMS, vms.parse(block(vms.BLOCK, records, finished, 4)), files=FILES, done=done)


def of_runs(records: Sequence[dict[str, Any]], *, finished: int = 1, done: bool = True) -> str:
    return departure(RUNS, programs.parse(block(programs.BLOCK, records, finished, 4)), files=FILES, done=done)


def of_guests(guests: Sequence[dict[str, Any]], made: int, records: int = 3) -> str:
    programs_found = programs.parse(block(programs.BLOCK, right_runs()[:records], int(records == 3), 4))
    found = guest_evidence.parse(block(guest_evidence.BLOCK, guests, made, 1), programs_found)
    return departure(RUNS, found, files=FILES, done=records == 3)


def test_what_took_place_fits() -> None:
    assert of_vms(right_vms()) == "" and of_runs(right_runs()) == ""
    long = "a-name-of-more-than-thirty-one-bytes"
    found = vms.parse(block(vms.BLOCK, [vm(long[:31])], 1, 4))
    assert departure([VmPlan(long, "a")], found, files=FILES, done=True) == ""
    assert of_guests([{"name": "guest1", "owner_name": "one"}, {"name": "guest2", "owner_name": "child.elf"}], 2) == ""
    assert of_guests([{"name": f"guest{n}", "owner_name": "one"} for n in range(1, 65)], 70) == ""


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_machine_may_end_in_any_step(steps: int) -> None:
    """Tests of the steps before it still count."""
    assert of_vms([*right_vms()[:steps], vm(["one", "two", "three"][steps], state=RUNNING, vcpu_count=2 - bool(steps))],
                  finished=0, done=False) == ""
    assert of_runs([*right_runs()[:steps], run(["one", "two", "three"][steps], end=RUNNING, exited=0)],
                   finished=0, done=False) == ""


Change = Callable[[list[dict[str, Any]]], Any]


@pytest.mark.parametrize("of", [of_vms, of_runs])
@pytest.mark.parametrize(("change", "words"), [
    (lambda r: r.pop(), "finished, with 2 records for 3 steps"),
    (lambda r: r.append(r[0]), "finished, with 4 records for 3 steps"),
    (lambda r: r.reverse(), "record 1 is of 'three', and step 1 of the plan is 'one'"),
    (lambda r: r[1].update(name="one"), "record 2 is of 'one', and step 2 of the plan is 'two'"),
    (lambda r: r[2].update(name=""), "record 3 is of ''"),
    (lambda r: r[1].update(kept=1), "it was kept, and the plan has it destroyed"),
])
def test_records_of_another_plan(of: Callable[..., str], change: Change, words: str) -> None:
    records = right_vms() if of is of_vms else right_runs()
    change(records)
    assert words in of(records)


@pytest.mark.parametrize("of", [of_vms, of_runs])
def test_done_and_not_finished(of: Callable[..., str]) -> None:
    records = right_vms() if of is of_vms else right_runs()
    assert "does not say that it is finished" in of(records[:1], finished=0)
    assert "with 2 records for 3 steps" in of(records[:2], finished=1, done=False)
    assert "the plan has 3 steps" in of([*records, vm("four") if of is of_vms else run("four")], finished=0, done=False)


@pytest.mark.parametrize(("number", "change", "words"), [
    (0, {"vcpu_count": 1}, "it had 1 vCPUs, and 2 were planned"),
    (1, {"state": RUNNING}, "its state is RUNNING, and a later step has begun"),
    (1, {"state": 0}, "its state is NONE"),
    (0, {"exits": 0}, "and had no exit"),
    (2, {"exits": 3}, "it was refused, with 3 exits"),
    (2, {"error": 0}, "it was refused, with 0 exits and the error None"),
])
def test_vm_that_did_not_run_so(number: int, change: dict[str, int], words: str) -> None:
    records = right_vms()
    records[number] |= change
    assert words in of_vms(records)


@pytest.mark.parametrize(("number", "change", "words"), [
    (0, {"environments": 5}, "5 environments were made, and 6 were planned"),
    (0, {"exited": 6}, "8 environments have ended, of 6"),
    (2, {"environments": 0}, "0 environments were made, and 1 were planned"),
    (2, {"exited": 0}, "its first environment exited, and none did"),
])
def test_program_that_did_not_run_so(number: int, change: dict[str, int], words: str) -> None:
    records = right_runs()
    records[number] |= change
    assert words in of_runs(records)


@pytest.mark.parametrize(("guests", "made", "records", "words"), [
    ([], 1, 3, "1 guests were made, and there are 0 records"),
    ([{"name": "guest1", "owner_name": "one"}] * 2, 2, 3, "record 2 of the guests is of 'guest1'"),
    ([{"name": "guest1", "owner_name": "nobody"}], 1, 3, "'nobody', which is no step that has begun"),
    ([{"name": "guest1", "owner_name": "three"}], 1, 1, "'three', which is no step that has begun"),
])
def test_guests_that_nobody_made(guests: list[dict[str, Any]], made: int, records: int, words: str) -> None:
    assert words in of_guests(guests, made, records)


def test_tests_of_a_boot_that_departs_fail_with_the_reason(tree: Tree) -> None:  # noqa: F811
    boot = (tree.root / "grader/testkit/boot.py").read_text()
    tree.write("grader/testkit/boot.py", boot.replace('departure: str = ""', 'departure: str = "record 1 is of another"'))
    result, done = tree.grade("--reference")
    assert done.returncode == 1 and result["score"] == 20, done.stdout + done.stderr
    assert "the plan did not take place as it stands: record 1 is of another" in done.stdout
    assert len(list((tree.root / result["extra_data"]["transcripts"]).glob("boots-*"))) == 1  # and no replay
