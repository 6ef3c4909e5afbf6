# SPDX-License-Identifier: MIT
"""The evidence of guest environments, as bytes."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from grader.evidence import guests as guest_evidence
from grader.evidence.guests import GuestEnd, GuestEvidence, Vendor
from grader.evidence.memory import EvidenceError
from grader.evidence.programs import ProcEvidence

ROOT = Path(__file__).resolve().parents[2]


def block(count: int = 1, vendor: int = 2, **changes: object) -> bytes:
    """An evidence block with one record."""
    values = {name: 0 for name, _ in guest_evidence.BLOCK.fields} | {
        "name": b"guest1", "owner_name": b"abc", "end": 4, "table_format": 1, "kept": 1,
        "control_block": 0x7000, "reason": b"words", "registers": tuple(range(18)),
        "after": (7, *[0] * 15),
    }  # fmt: skip
    values |= changes
    record = b""
    for name, form in guest_evidence.BLOCK.fields:
        value = values[name]
        many = value if isinstance(value, tuple) else (0,) * 16 if form == "16Q" else (value,)
        record += struct.pack("<" + form, *many)
    head = struct.pack("<16sQQQQ", guest_evidence.BLOCK.magic, guest_evidence.BLOCK.record_size, count, 9, vendor)
    return (head + record).ljust(guest_evidence.BLOCK.size, b"\0")


def parse(data: bytes) -> GuestEvidence:
    return guest_evidence.parse(data, ProcEvidence(True, 4))


def test_evidence_is_read() -> None:
    found = parse(block())
    assert found.finished and found.cpus == 4 and found.vendor is Vendor.INTEL
    assert found.guests_made == 9
    record = found.guest("guest1")
    assert record.end is GuestEnd.UNHANDLED and record.owner_name == "abc"
    assert record.kept and not record.destroyed and record.after["kernel"] == 7
    assert record.registers["rsp"] == 4 and record.registers["rflags"] == 17
    assert "not served at rip 0x10 (words)" in record.describe()
    with pytest.raises(EvidenceError, match="there are: guest1"):
        found.guest("guest2")


def test_evidence_that_is_none() -> None:
    for data, words in (
        (bytes(guest_evidence.BLOCK.size), "never filled in"),
        (block(count=1000), "there is room for"),
        (block(vendor=3), "vendor 3"),
        (block(end=9), "has end 9"),
        (block(table_format=2), "format 2"),
    ):
        with pytest.raises(EvidenceError, match=words):
            parse(data)


def _members(header: str, struct: str) -> list[str]:
    text = (ROOT / header).read_text()
    begin = text.index(f"struct {struct} {{") + len(f"struct {struct} {{")
    body = re.sub(r"//.*", "", text[begin : text.index("\n};", begin)])
    return re.findall(r"(\w+)\s*(?:=|\{)", body)


def test_layout_is_the_headers() -> None:
    """The names of the record's members, in the header's order; its account is a struct of its
    own."""
    text = (ROOT / "vmm/user/guest_evidence.hh").read_text()
    declared = _members("vmm/user/guest_evidence.hh", "GuestRecord")
    account = declared.index("account")
    declared[account : account + 1] = _members("vmm/probe.hh", "SwitchAccount")
    assert declared == [name for name, _ in guest_evidence.BLOCK.fields]
    rooms = int(re.search(r"max_records = (\d+)", text)[1])  # type: ignore[index]
    assert rooms == guest_evidence.BLOCK.max_records


def test_ends_are_the_headers() -> None:
    text = (ROOT / "vmm/user/guest_evidence.hh").read_text()
    body = text[text.index("enum class GuestEnd") : text.index("};")]
    declared = {name.upper(): int(value) for name, value in re.findall(r"(\w+) = (\d)", body)}
    assert declared == {end.name: end.value for end in GuestEnd}
