# SPDX-License-Identifier: MIT
"""What tests of the user-level VMM share: the pages that a guest must have, and the round trips'
registers."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from grader.evidence.guests import GuestEnd
from grader.evidence.memory import EvidenceError
from grader.evidence.second_level import Leaf
from grader.testkit import hand_made, user_guests
from grader.testkit.images import PF_R, PF_W, PF_X, GuestImage, Segment, elf_image
from grader.testkit.user_guests import PAGE, REGISTERS, ROUNDS

NONCE = "0123456789abcdef"
SECTOR = b"\xeb" * 510 + b"\x55\xaa"


def image() -> GuestImage:
    return GuestImage(
        elf_image(
            [
                Segment(0x20_0010, b"code", flags=PF_R | PF_X),
                Segment(0x20_1000, b"data", memsz=PAGE + 1, flags=PF_R | PF_W),
                Segment(0x30_0000, b"", memsz=0),
            ],
            entry=0x20_0010,
        )
    )


def test_pages_are_the_kernels_and_the_rest_of_memory() -> None:
    pages = user_guests.pages_of(image(), 0x20_4000)
    assert pages[0x20_0000].rights == "r-x"
    assert [pages[gpa].rights for gpa in (0x20_1000, 0x20_2000)] == ["rw-", "rw-"]
    assert pages[0x20_3000].rights == "rwx", "free memory"
    assert pages[0x7000].rights == "rwx" and pages[0x8000].rights == "r--"
    for gpa in (0, 0x6000, 0x9000, 0xF000, 0xA_0000, 0xF_F000, 0x20_4000, 0x30_0000):
        assert gpa not in pages, hex(gpa)
    assert len(pages) == 2 + (0xA0 - 0x10) + (0x204 - 0x100)


def test_bytes_of_the_boot_sector_and_of_a_segment() -> None:
    page = user_guests.bytes_of(image(), SECTOR, 0x7000)
    assert page == bytes(0xC00) + SECTOR + bytes(PAGE - 0xC00 - 512)
    assert user_guests.bytes_of(image(), SECTOR, 0x20_0000) == bytes(16) + b"code" + bytes(PAGE - 20)


def test_rights_are_those_of_the_leaf() -> None:
    assert user_guests.rights_of(Leaf(0, read=True, write=False, execute=True)) == "r-x"


def test_arguments_of_the_guest_come_last() -> None:
    assert user_guests.arguments({"memory": 4}, ["a=1", "b"]) == "memory=4 args=a=1 b"
    assert user_guests.arguments({"memory": 4}) == "memory=4"


def test_code_to_exit_is_for_both_vendors() -> None:
    code = hand_made.exit_code(77)
    jump = code.index(b"\x74\x03")
    assert code.index(b"\xbaNest") < jump, "the signature"
    assert code[jump + 2 : jump + 5] == b"\x0f\x01\xd9", "VMMCALL, jumped over by Intel's CPUs"
    assert code[jump + 2 + code[jump + 1] :] == b"\x0f\x01\xc1\xf4", "VMCALL"
    assert struct.pack("<I", 77) in code


def booted(*records: Any) -> Any:
    return SimpleNamespace(
        evidence=SimpleNamespace(guests=records),
        evidence_error="",
        explain=lambda: "the kernel powered off with 0",
        serial="VM guest2 ended by the host: the CPU refused to enter the guest\n"
        "  virtual CPU 0 of 1\n  exit        the CPU refused\n  rule        RFLAGS is 0\n",
    )


def record(owner: str, end: GuestEnd = GuestEnd.EXITED, name: str = "guest1") -> Any:
    return SimpleNamespace(name=name, owner_name=owner, end=end, describe=lambda: "refused")


def test_guests_are_found_by_their_step() -> None:
    both = booted(record("one"), record("two"), record("two"))
    assert user_guests.record_of(both, "one") is both.evidence.guests[0]
    assert len(user_guests.records_of(both, "two")) == 2
    for wrong in ("two", "three"):
        with pytest.raises(EvidenceError, match=wrong):
            user_guests.record_of(both, wrong)


def test_a_refused_guest_is_told_with_the_rule() -> None:
    refused = record("one", GuestEnd.REFUSED, "guest2")
    assert user_guests.end_of(booted(refused), refused) == "refused: RFLAGS is 0"
    other = record("one", GuestEnd.KILLED, "guest3")
    assert user_guests.end_of(booted(other), other) == "refused"


def test_registers_that_came_back_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    row = struct.Struct(f"<{len(REGISTERS)}Q")
    wanted = [list(values) for values in row.iter_unpack(user_guests._rounds(NONCE))]
    assert len(wanted) == ROUNDS
    seen = [list(values) for values in wanted]
    seen[3][REGISTERS.index("R9")] ^= 1 << 63
    seen[5][REGISTERS.index("RFLAGS")] ^= 1  # CF
    seen[5][REGISTERS.index("SYSENTER_CS")] ^= 1 << 40  # a bit that this MSR does not have
    memory = b"".join(row.pack(*values) for values in seen)
    where = SimpleNamespace(symbol=lambda name: SimpleNamespace(paddr=0 if name == "round" else 8))
    whole = struct.pack("<Q", ROUNDS) + memory
    monkeypatch.setattr(user_guests, "read", lambda _b, _r, gpa, size: whole[gpa : gpa + size])
    found = user_guests.changed_registers(None, None, where, NONCE)  # type: ignore[arg-type]
    assert [(one.round, one.register) for one in found] == [(3, "R9"), (5, "RFLAGS")]
    assert found[0].seen ^ found[0].wanted == 1 << 63
