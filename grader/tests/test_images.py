# SPDX-License-Identifier: MIT
"""The images that the machine is given."""

import io
import struct

import pytest
from elftools.elf.elffile import ELFFile

from grader.testkit.images import (
    BLOCK_SIZE,
    PAGE_SIZE,
    GuestImage,
    Segment,
    elf_image,
    file_system_image,
    fill_patterns,
    pattern,
)


def directory(image: bytes) -> dict[str, tuple[int, int]]:
    magic, count, blocks = struct.unpack_from("<8sQQ", image)
    assert magic == b"NESTFS1\0" and blocks * BLOCK_SIZE == len(image)
    found = {}
    for i in range(count):
        name, first, size = struct.unpack_from("<48sQQ", image, BLOCK_SIZE + 64 * i)
        found[name.rstrip(b"\0").decode()] = (first * BLOCK_SIZE, size)
    return found


def test_file_system_holds_every_file_on_a_page_boundary() -> None:
    files = {"plan": b"vm name=a", "empty": b"", "big": bytes(range(256)) * 40, "n" * 47: b"x"}
    image = file_system_image(files)
    found = directory(image)
    assert found.keys() == files.keys()
    for name, data in files.items():
        start, size = found[name]
        assert start % PAGE_SIZE == 0 and image[start : start + size] == data


def test_file_system_with_more_files_than_a_block_of_entries() -> None:
    files = {f"file-{i}": bytes([i]) * i for i in range(200)}
    image = file_system_image(files)
    for name, (start, size) in directory(image).items():
        assert image[start : start + size] == files[name]


@pytest.mark.parametrize("name", ["", "n" * 48, "a/b", "a\0b"])
def test_file_system_refuses_names_that_do_not_fit(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 47 bytes"):
        file_system_image({name: b""})


@pytest.mark.parametrize("bits", [32, 64])
def test_elf_image_says_what_it_was_told(bits: int) -> None:
    segments = [
        Segment(0x10_0000, b"first" * 100, vaddr=0xC000_0000, flags=5),
        Segment(0x20_0123, b"second", memsz=9000),
    ]
    data = elf_image(segments, entry=0x20_0125, bits=bits)
    elf = ELFFile(io.BytesIO(data))
    assert elf.elfclass == bits and elf["e_entry"] == 0x20_0125 and elf["e_type"] == "ET_EXEC"
    first, second = elf.iter_segments()
    assert first.data() == b"first" * 100 and first["p_flags"] == 5
    assert first["p_vaddr"] == 0xC000_0000 and first["p_paddr"] == 0x10_0000
    assert second["p_memsz"] == 9000 and second["p_filesz"] == 6


def test_elf_image_can_lie() -> None:
    lying = Segment(0x1000, b"abc", memsz=1, filesz=1 << 60, offset=(1 << 64) - 8)
    elf = ELFFile(io.BytesIO(elf_image([lying], entry=0, header_count=65535)))
    assert elf["e_phnum"] == 65535
    segment = elf.get_segment(0)
    assert segment["p_filesz"] == 1 << 60 and segment["p_memsz"] == 1
    assert segment["p_offset"] == (1 << 64) - 8


def test_guest_image_merges_a_shared_page_and_ends_in_zeros() -> None:
    guest = GuestImage(
        elf_image(
            [Segment(0x1000, b"A" * 0x1800, memsz=0x1900), Segment(0x2A00, b"B" * 0x100)],
            entry=0x1000,
        )
    )
    page = guest.memory(0x2000, PAGE_SIZE)
    assert page == b"A" * 0x800 + bytes(0x200) + b"B" * 0x100 + bytes(0x500)


def test_entry_follows_the_segment_that_holds_it() -> None:
    guest = GuestImage(
        elf_image(
            [
                Segment(0x10_0000, bytes(64), vaddr=0x8000_0000),
                Segment(0x50_0000, bytes(64), vaddr=0x8000_1000),
            ],
            entry=0x8000_1010,
        )
    )
    assert guest.entry == 0x50_0010
    with pytest.raises(ValueError, match="no segment holds"):
        guest.physical(0x9000_0000)


def test_patterns_differ_by_run_and_by_symbol() -> None:
    assert pattern("aa", "x", 64) != pattern("ab", "x", 64)
    assert pattern("aa", "x", 64) != pattern("aa", "y", 64)
    assert pattern("aa", "x", 64) == pattern("aa", "x", 128)[:64]


def test_filling_needs_the_symbols() -> None:
    with pytest.raises(ValueError, match="has no symbol pattern_rodata"):
        fill_patterns(elf_image([Segment(0, b"x")], entry=0), "12")
