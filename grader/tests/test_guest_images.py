# SPDX-License-Identifier: MIT
"""Kernels as others build them, booted: what a multiboot2 header may ask for, what comes of it, and
in which words the rest is refused."""

from __future__ import annotations

import pytest

from grader.build import lab_kernel
from grader.evidence.vms import VmState
from grader.testkit.boot import BootResult, run_boot
from grader.testkit.plans import VmPlan
from grader.testkit.hand_made import (
    MULTIBOOT1_HEADER,
    MULTIBOOT2_HEADER,
    multiboot2_header,
    multiboot2_tag,
    touching_code,
)
from grader.build.answers import reference_answers
from grader.course.lab import KERNEL, load_all
from grader.testkit.images import Segment, elf_image

pytestmark = pytest.mark.skipif(
    reference_answers(load_all()) is None, reason="a release has no reference answers"
)

RAM_KIB = 65536  # what the probe `information` expects
CODE, VIRTUAL = 0x40_0000, 0xFFFF_FFFF_8140_0000


def _headers_apart() -> bytes:
    """A kernel whose multiboot1 and multiboot2 headers are segments of their own, on one page."""
    base, header = 0x800_0000, multiboot2_header(multiboot2_tag(1, 4, 6), multiboot2_tag(6))
    assert (len(MULTIBOOT1_HEADER), len(header)) == (0xC, 0x30)
    return elf_image(
        [
            Segment(base, MULTIBOOT1_HEADER),
            Segment(base + 0x10, header + bytes(8)),
            Segment(base + 0x1000, touching_code([base + 8, base + 0x4_8000], 42), memsz=0x4_702A),
        ],
        entry=base + 0x1000,
    )


def _kernel(header: bytes, *, entry: int = VIRTUAL) -> bytes:
    """A kernel with that header, which is refused before it runs."""
    return elf_image([Segment(CODE, header + b"\xf4", vaddr=VIRTUAL)], entry=entry)


# Kernels that ask for what nobody serves, or say it wrongly: the file, the error, what the words
# name.
NAMED: dict[str, tuple[bytes, str, str]] = {
    "framebuffer": (
        _kernel(multiboot2_header(multiboot2_tag(5, 1024, 768, 32))), "Unsupported", "a framebuffer: tag 5"
    ),
    "unknown-tag": (_kernel(multiboot2_header(multiboot2_tag(4242))), "Unsupported", ": tag 4242"),
    "old-rsdp": (
        _kernel(multiboot2_header(multiboot2_tag(1, 4, 14))), "Unsupported", "ACPI's old RSDP: information 14"
    ),
    "multiboot1": (_kernel(MULTIBOOT1_HEADER), "Unsupported", "it is a multiboot1 kernel"),
    "physical-entry": (_kernel(MULTIBOOT2_HEADER, entry=CODE), "NotFound", "e_entry is a physical address"),
    "filesz": (
        elf_image([Segment(CODE, MULTIBOOT2_HEADER, memsz=1)], entry=CODE), "BadFormat", "program header 0"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> BootResult:
    hypervisors = (lab for lab in load_all() if lab.kernel == KERNEL)
    built = lab_kernel.build(print, next(hypervisors), reference=True)
    files = {
        "information": built.files["information.elf"].read_bytes(),
        "headers-apart": _headers_apart(),
        "last": built.files["hello.elf"].read_bytes(),
    }
    files |= {name: file for name, (file, _, _) in NAMED.items()}
    plan = [
        VmPlan(name, name, ram_kib=RAM_KIB, limit_ms=20000, keep=False)
        for name in (*NAMED, "headers-apart", "information", "last")
    ]
    return run_boot(built.kernel, files, plan, transcript_dir=tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("name", NAMED)
def test_what_is_refused_is_named(booted: BootResult, name: str) -> None:
    _, error, words = NAMED[name]
    record = booted.vm(name)
    assert (record.state, record.error) == (VmState.REFUSED, error), record.reason
    assert words in record.reason


def test_headers_in_segments_of_their_own(booted: BootResult) -> None:
    record = booted.vm("headers-apart")
    assert (record.state, record.status) == (VmState.EXITED, 42), record.reason


def test_information_that_is_served(booted: BootResult) -> None:
    """The probe's bit for each type that came: of modules and of a BIOS boot device there are
    none."""
    record = booted.vm("information")
    assert record.state is VmState.EXITED, record.reason
    assert record.status == sum(1 << kind for kind in (1, 2, 4, 6, 9))


def test_the_host_goes_on(booted: BootResult) -> None:
    assert (booted.ended, booted.status) == ("powered off", 0), booted.explain()
    assert booted.vm("last").status == 42
