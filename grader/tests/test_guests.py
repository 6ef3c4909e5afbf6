# SPDX-License-Identifier: MIT
"""The hypervisor with every probe and with files that are no guests: each ends as it should, in one
boot, and the next one still runs."""

from __future__ import annotations


import pytest

from grader.build import lab_kernel
from grader.build.answers import reference_answers
from grader.course.lab import KERNEL, load_all
from grader.evidence.vms import VmState
from grader.testkit.boot import BootResult, run_boot
from grader.testkit.images import Segment, elf_image
from grader.testkit.plans import VmPlan

pytestmark = pytest.mark.skipif(
    reference_answers(load_all()) is None, reason="a release has no reference answers"
)

EXITED, FAILED, STOPPED = VmState.EXITED, VmState.FAILED, VmState.STOPPED

# Probe: keys of its plan, how it must end, its status or what its reason must contain.
PROBES: dict[str, tuple[dict[str, object], VmState, int | str]] = {
    "eater": ({}, EXITED, 0),
    "endless_loop": ({}, STOPPED, "time limit"),
    "fetch_no_execute": ({"protect": "0x500000:rw"}, FAILED, "may not execute"),
    "fpu_owner": ({}, EXITED, 0),
    "hello": ({}, EXITED, 42),
    "mmio_hole": ({}, FAILED, "MMIO hole"),
    "raw_svm": ({}, FAILED, "shutdown"),
    "triple_fault": ({}, FAILED, "shutdown"),
    "unknown_port": ({}, FAILED, "no device"),
    "wild_jump": ({}, FAILED, "not there"),
    "write_read_only": ({"mmio": "0xfec00000"}, FAILED, "may not write"),
}

# No guests, or none with this plan: keys of the plan, the error.
REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "missing": ({}, "NotFound"),
    "empty": ({}, "BadFormat"),
    "text": ({}, "BadFormat"),
    "cut": ({}, "Truncated"),
    "no-headers": ({}, "BadFormat"),
    "many-headers": ({}, "Unsupported"),
    "no-multiboot2": ({}, "BadFormat"),
    "no-ram": ({"ram": 0}, "InvalidArgument"),
    "little-ram": ({"ram": 64}, "InvalidArgument"),
    "many-cpus": ({"vcpus": 8}, "InvalidArgument"),
    "mmio-in-ram": ({"mmio": "0x1000"}, "AlreadyExists"),
    "hold-nothing": ({"hold": "0x9000:1"}, "NotFound"),
}


def _plan(name: str, file: str, more: dict[str, object], limit_ms: int) -> VmPlan:
    more = dict(more)
    ram, vcpus = int(str(more.pop("ram", 65536))), int(str(more.pop("vcpus", 1)))
    return VmPlan(
        name, file, vcpus=vcpus, ram_kib=ram, limit_ms=limit_ms, keep=False, more=more or None
    )


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> BootResult:
    hypervisors = (lab for lab in load_all() if lab.kernel == KERNEL)
    built = lab_kernel.build(print, next(hypervisors), reference=True)
    files = {f"{name}.elf": built.files[f"{name}.elf"].read_bytes() for name in PROBES}
    hello = files["hello.elf"]
    files |= {
        "empty": b"",
        "text": b"This is no kernel.\n" * 9,
        "cut": hello[:40],
        "no-headers": elf_image([], entry=0),
        "many-headers": elf_image([Segment(4096, b"x")], entry=0, header_count=65535),
        "no-multiboot2": elf_image([Segment(4096, b"x")], entry=4096),
    }
    plan = [
        _plan(name, f"{name}.elf", keys, 500 if end is STOPPED else 20000)
        for name, (keys, end, _) in PROBES.items()
    ]
    plan += [
        _plan(name, name if name in files or name == "missing" else "hello.elf", keys, 20000)
        for name, (keys, _) in REFUSED.items()
    ]
    plan += [_plan("open-port", "unknown_port.elf", {"ports": "open"}, 20000)]
    plan += [_plan("fpu-again", "fpu_owner.elf", {}, 20000), _plan("last", "hello.elf", {}, 20000)]
    return run_boot(
        built.kernel, files, plan, cpus=2, transcript_dir=tmp_path_factory.mktemp("guests")
    )


def test_the_host_is_alive_at_the_end(booted: BootResult) -> None:
    assert (booted.ended, booted.status) == ("powered off", 0), booted.explain()
    assert booted.evidence is not None and booted.evidence.finished
    assert booted.vm("last").status == 42


@pytest.mark.parametrize("name", PROBES)
def test_probe(booted: BootResult, name: str) -> None:
    _, end, what = PROBES[name]
    record = booted.vm(name)
    assert record.state is end, f"{record.state.name}: {record.reason}"
    if isinstance(what, int):
        assert record.status == what
    else:
        assert what in record.reason


def test_unknown_ports_are_the_plans(booted: BootResult) -> None:
    """Ended in words, with the mend; or an empty bus."""
    report = booted.serial.split("VM unknown_port ended by the host")[1]
    assert "  port        0x4321, IN of 1 byte\n" in report
    assert "unknown_port: a guest may go on at such a port if its line of the plan says ports=open\n" in report
    assert report.count("ports=open") == 1, "only where a port was the reason"
    record = booted.vm("open-port")
    assert record.state is EXITED and record.status == 42


def test_registers_of_another_vm_are_not_seen(booted: BootResult) -> None:
    record = booted.vm("fpu-again")
    assert record.state is EXITED and record.status == 0


@pytest.mark.parametrize("name", REFUSED)
def test_no_guest(booted: BootResult, name: str) -> None:
    record = booted.vm(name)
    assert record.state is VmState.REFUSED and record.error == REFUSED[name][1], record.reason
    assert record.reason


def test_no_vm_keeps_a_frame(booted: BootResult) -> None:
    assert booted.evidence is not None
    for record in booted.evidence.records:
        for account in ("guest memory", "second-level table", "virtual CPU"):
            assert record.after[account] == record.before[account], (record.name, account)
