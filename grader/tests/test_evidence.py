# SPDX-License-Identifier: MIT
"""Evidence is read right where it is right, and refused where it cannot be."""

import re
import struct
from pathlib import Path

import pytest

from grader.evidence import blocks
from grader.evidence import vms as evidence
from grader.evidence.memory import EvidenceError, PhysicalMemory
from grader.evidence.vms import TableFormat, VmState

ROOT = Path(__file__).resolve().parents[2]


def make_record(**values: object) -> bytes:
    """The bytes of a vmm::VmRecord; what is not given is zero."""
    data = b""
    for name, form in evidence.BLOCK.fields:
        value = values.get(name, b"" if form.endswith("s") else 0)
        value = value.encode() if isinstance(value, str) else value
        count = 1 if form.endswith("s") else int(form[:-1] or 1)
        parts = value if isinstance(value, (list, tuple)) else [value] * count
        data += struct.pack("<" + form, *parts)
    return data


def make_block(records: list[bytes], **values: int) -> bytes:
    """The bytes of a vmm::Evidence."""
    head = struct.pack(
        "<16sQQQQ",
        values.get("magic", evidence.BLOCK.magic),
        values.get("record_size", evidence.BLOCK.record_size),
        values.get("record_count", len(records)),
        values.get("finished", 1),
        values.get("cpus", 4),
    )
    return (head + b"".join(records)).ljust(evidence.BLOCK.size, b"\0")


def test_record_is_taken_apart() -> None:
    record = make_record(
        name="alpha", state=4, error=7, table_root=0x5000, table_format=1, vcpu_count=2, kept=1,
        hold_expired=1, vmcb=[0x1000, 0x2000, 9, 9, 9, 9, 9, 9], before=list(range(16)),
        reason="out of frames", run_nanoseconds=12, instruction_bytes=2, instruction=b"\x0f\x28",
    )  # fmt: skip
    found = evidence.parse(make_block([record, make_record(name="beta")]))
    alpha = found.vm("alpha")
    assert (alpha.state, alpha.error, alpha.kept) == (VmState.FAILED, "OutOfMemory", True)
    assert (alpha.table_root, alpha.table_format) == (0x5000, TableFormat.EPT)
    assert alpha.vmcb == (0x1000, 0x2000) and alpha.hold_expired
    assert alpha.before["guest memory"] == 8 and alpha.before["owner 15"] == 15
    assert alpha.reason == "out of frames" and alpha.run_nanoseconds == 12
    assert alpha.instruction == b"\x0f\x28" and found.vm("beta").instruction == b""
    assert found.vm("beta").error is None and found.cpus == 4 and found.finished
    with pytest.raises(EvidenceError, match="there are: alpha, beta"):
        found.vm("gamma")


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (make_block([], magic=b""), "never filled in"),
        (make_block([], magic=b"NESTLING-GUEST1"), "this is the block of vmm/user/guest_evidence.hh"),
        (make_block([], magic=b"NESTLING-EVID-12"), "begins with"),
        (make_block([], record_size=8), "8 bytes"),
        (make_block([], record_count=33), "33 records"),
        (make_block([], record_count=2**64 - 1), "records"),
        (make_block([make_record(state=9)]), "state 9"),
        (make_block([make_record(table_format=2)]), "format 2"),
        (make_block([make_record(vcpu_count=9)]), "9 vCPUs"),
    ],
)
def test_nonsense_is_refused(block: bytes, words: str) -> None:
    with pytest.raises(EvidenceError, match=words):
        evidence.parse(block)


def test_unknown_error_number_is_no_crash() -> None:
    found = evidence.parse(make_block([make_record(error=2**64 - 1, name=b"\xff")]))
    assert found.records[0].error == f"error {2**64 - 2}"


def test_memory_has_an_end() -> None:
    memory = PhysicalMemory(bytes(8192))
    assert memory.read(8190, 2) == b"\0\0" and memory.read(8192, 0) == b""
    for hpa, length in ((8190, 3), (-1, 1), (2**64, 1), (0, 8193), (0, -1)):
        with pytest.raises(EvidenceError):
            memory.read(hpa, length)


def members(header: str, struct_name: str) -> list[tuple[str, str]]:
    """Type and name of each member, in order, of a C++ struct with one member a line."""
    text = (ROOT / header).read_text()
    body = re.search(rf"struct {struct_name} {{(.*?)^}};", text, re.DOTALL | re.MULTILINE)
    assert body
    return re.findall(r"^\s+([\w:]+(?:<[^>]+>)?) (\w+)(?:\{.*\}| = .*)?;", body[1], re.MULTILINE)


FORMS = {
    "std::uint64_t": "Q", "VmState": "Q", "kern::FrameAccounts": "16Q",
    "std::array<std::uint64_t, 8>": "8Q", "std::array<char, 32>": "32s",
    "std::array<char, 64>": "64s", "std::array<std::byte, 16>": "16s",
}  # fmt: skip


def test_each_layout_has_a_magic_of_its_own() -> None:
    """Which its header names, and the definition in the kernel's source writes."""
    assert len(set(blocks.MAGICS.values())) == len(blocks.MAGICS)
    initializer = re.compile(r"\.magic = \{((?:'.', )+'.')\}")
    sources = [path for room in ("kern", "vmm", "guest") for path in (ROOT / room).rglob("*.cc")]
    written = [
        "".join(found.split("'")[1::2]) for path in sources for found in initializer.findall(path.read_text())
    ]
    assert sorted(written) == sorted(magic.decode() for magic in blocks.MAGICS.values())
    for header, magic in blocks.MAGICS.items():
        assert f'///< "{magic.decode()}"' in (ROOT / header).read_text(), header


def test_layout_is_the_kernels() -> None:
    found = [(name, FORMS[kind]) for kind, name in members("vmm/evidence.hh", "VmRecord")]
    assert found == list(evidence.BLOCK.fields)
    header = [name for _, name in members("vmm/evidence.hh", "Evidence")]
    assert header == ["magic", "record_size", "record_count", "finished", "cpus", "records"]


def enumerators(header: str, name: str) -> list[str]:
    text = re.search(rf"enum class {name}[^{{]*{{(.*?)}};", (ROOT / header).read_text(), re.DOTALL)
    assert text
    return re.findall(r"^\s+(\w+)(?: = \d+)?,", text[1], re.MULTILINE)


def test_names_are_the_kernels() -> None:
    assert enumerators("kern/lib/error.hh", "Error") == list(blocks.ERRORS)
    states = enumerators("vmm/evidence.hh", "VmState")
    assert [state.upper() for state in states] == [state.name for state in VmState]
    owners = {}
    for header in ("kern/mm/frame_allocator.hh", "vmm/frame_owners.hh"):
        text = (ROOT / header).read_text()
        found = re.findall(r"FrameOwner\s+\w+\s*\{\s*(\d+),\s*\"(.*?)\"\s*\}", text)
        owners |= {int(index): name for index, name in found}
    assert owners == blocks.OWNERS
