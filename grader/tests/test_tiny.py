# SPDX-License-Identifier: MIT
"""The kernel guest/tiny, unpatched in ring 0 of a virtual machine on both vendors' hardware: what
lab 6 runs in ring 3 is right by itself."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from grader import machines
from grader.bench import measure, three_ways
from grader.build import lab_kernel
from grader.build.answers import reference_answers
from grader.course.lab import KERNEL, load_all
from grader.evidence.vms import VmState
from grader.testkit import tiny
from grader.testkit.boot import run_boot
from grader.testkit.plans import VmPlan

pytestmark = pytest.mark.skipif(
    reference_answers(load_all()) is None, reason="a release has no reference answers"
)


@pytest.mark.parametrize("machine", ["amd-qemu", "intel-bochs"])
def test_tiny_exits_with_the_number_of_its_seeds(machine: str, tmp_path: Path) -> None:
    try:
        machines.machine(machine).check()
    except machines.MachineError as problem:
        pytest.skip(str(problem))
    built = lab_kernel.build(print, next(lab for lab in load_all() if lab.kernel == KERNEL), reference=True)
    image = built.files["tiny.elf"].read_bytes()
    nonces = [secrets.token_hex(16) for _ in range(3)]
    more: list[dict[str, int]] = [{}, {}, {"reads": 16}]
    result = run_boot(
        built.kernel,
        {f"tiny{i}.elf": tiny.seeded(image, nonce, **more[i]) for i, nonce in enumerate(nonces)},
        [VmPlan(f"tiny{i}", f"tiny{i}.elf", ram_kib=8192, more={"apic": "xapic"}) for i in range(len(nonces))],
        cpus=1,
        transcript_dir=tmp_path / "transcript",
        machine=machine,
    )
    for i, nonce in enumerate(nonces):
        record = result.vm(f"tiny{i}")
        assert record.state is VmState.EXITED, result.serial[-2000:]
        assert record.status == tiny.exit_number(nonce, **more[i]), result.serial[-2000:]
        own = "\n".join(line for line in result.serial.splitlines() if line.startswith(f"[tiny{i}]"))
        assert tiny.printed(own) == tiny.digests(nonce, **more[i]), own
    assert "[tiny0] abababababababab" in result.serial, "the two programs take turns"


def test_the_same_work_in_three_ways_is_counted() -> None:
    """The benchmark's kernel looks by itself whether all three exit with the same number."""
    built = lab_kernel.build(print, next(lab for lab in load_all() if lab.id == "lab6"), reference=True)
    lines = list(measure.in_three_ways(built.files["soft_bench.elf"], built.files["tiny.elf"].read_bytes()))
    exits, loads = ([int(line[13:].split()[column]) for line in lines[2:]] for column in (0, 1))
    assert exits[0] > exits[1] > exits[2] > 0, lines
    switches = 2 * three_ways.TURNS
    assert switches <= loads[2] < switches + 10 and min(loads[:2]) > 4 * switches, lines


def test_the_number_knows_popf_and_the_seeds() -> None:
    assert tiny.exit_number("a") != tiny.exit_number("b")
    assert tiny.exit_number("a") != tiny.exit_number("a", silent=True)


def test_each_digest_knows_the_seeds_and_silent_ones_alone_know_popf() -> None:
    right, other, silent = tiny.digests("a"), tiny.digests("b"), tiny.digests("a", silent=True)
    assert not set(right.values()) & set(other.values())
    assert {name for name in right if right[name] != silent[name]} == {"flags", "arrivals"}


def test_the_printed_digests_are_read() -> None:
    assert tiny.printed("[guest] abab\n[guest] 00000001 00000002 00000003 00000004 00000005 00000006 0000000a \n") == {
        "values": 1, "faults": 2, "flags": 3, "arrivals": 4, "window": 5, "clock": 6, "input": 10}
    assert tiny.printed("[guest] abab\n") == {}
