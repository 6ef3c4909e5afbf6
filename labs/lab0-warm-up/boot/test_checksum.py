# SPDX-License-Identifier: MIT
"""lab0: the kernel's own checksum of its boot module, in one boot. The module is made for this run,
so nobody knows its checksum before; the kernel's answer is read from its memory, and not believed
from what it prints."""

from __future__ import annotations

import zlib

from grader.testkit.boot import BootResult
from grader.testkit.images import pattern

BYTES = 300_001
"""Enough to overflow sums that are not kept small, and no whole number of pages."""


def module(nonce: str) -> bytes:
    """The boot module: bytes of this run."""
    return pattern(nonce, "module", BYTES)


def plan(nonce: str) -> tuple[dict[str, bytes], bytes]:
    """No plan, but the module as it is."""
    return {}, module(nonce)


def test_the_checksum_of_the_boot_module(booted: BootResult, nonce: str) -> None:
    assert booted.evidence is not None and booted.evidence.records, "the kernel has kept no checksum"
    seen = booted.evidence.records[0].checksum
    wanted = zlib.adler32(module(nonce))
    assert seen == wanted, (
        f"the kernel's checksum of {BYTES} bytes is {seen:#010x}, wanted is {wanted:#010x}")
