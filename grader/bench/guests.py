# SPDX-License-Identifier: MIT
"""The guests of the benchmark kernel: hand-made images of a few instructions (32-bit, paging off).

The numbers are those of vmm/bench/guests.hh.
"""

from __future__ import annotations

import os
import struct

from grader.testkit.images import PAGE_SIZE, Segment, elf_image, fill_symbols

MARKS = 4000
STRINGS = 64
DISCARDS = 0x80
"""a port that is known, and where nobody is"""
TOUCHED_PAGES = 2048
TOUCHED_BEGIN = 0x40_0000
CODE = 0x10_0000
MIB = 1 << 20
ELF_HEADER, PROGRAM_HEADER = 64, 56
"""bytes in the file, ELF64"""

#: The multiboot2 header of a kernel that asks for nothing: magic, architecture i386, length,
#: checksum, end tag.
HEADER = struct.pack("<IIIIHHI", 0xE85250D6, 0, 24, -(0xE85250D6 + 24) & 0xFFFFFFFF, 0, 0, 8)

#: The hypercall's instruction, by the vendor of the CPU. A guest that asked CPUID would not be the
#: smallest.
HYPERCALL = {"amd": bytes.fromhex("0f01d9"), "intel": bytes.fromhex("0f01c1")}  # VMMCALL, VMCALL
#: With what every guest begins: mov edx,"Nest"; xor ebx,ebx: the signature of its hypercalls and
#: the status of its exit (vmm/hypercall.hh). Not later: the bare loops that are measured keep no
#: register of the host.
BEGIN = b"\xbaNest\x31\xdb"


def _word(value: int) -> bytes:
    return struct.pack("<I", value)


def _exit(vendor: str) -> bytes:
    return bytes.fromhex("31c0") + HYPERCALL[vendor]  # xor eax,eax


def marks(vendor: str = "amd") -> bytes:
    """Executes the hypercall `mark` MARKS times, then exits."""
    # mov ecx,MARKS; 1: mov eax,2; hypercall; dec ecx; jnz 1b
    loop = bytes.fromhex("b802000000") + HYPERCALL[vendor] + bytes.fromhex("49 75f5")
    return _image(b"\xb9" + _word(MARKS) + loop + _exit(vendor))


def accesses(probe: bytes, *, memory: bool) -> bytes:
    """guest/probes/mmio.S: 4000 accesses in 64-bit code to a device, in memory or by a port; then
    it exits."""
    return fill_symbols(probe, {"mmio_case": struct.pack("<Q", 9 if memory else 10)})


def cpuids(vendor: str = "amd") -> bytes:
    """Executes CPUID of leaf 0 MARKS times, then exits."""
    # mov ebp,MARKS; 1: xor eax,eax; cpuid; dec ebp; jnz 1b
    return _image(b"\xbd" + _word(MARKS) + bytes.fromhex("31c0 0fa2 4d 75f9") + BEGIN + _exit(vendor))


def port_string(vendor: str = "amd") -> bytes:
    """Sends 4 KiB by REP OUTS to a port that discards, STRINGS times, then exits."""
    # mov ebp,STRINGS; 1: mov ecx,4096; mov esi,CODE; mov edx,DISCARDS; rep outsb; dec ebp; jnz 1b
    loop = b"\xb9" + _word(PAGE_SIZE) + b"\xbe" + _word(CODE) + b"\xba" + _word(DISCARDS) + bytes.fromhex("f36e 4d 75ec")
    return _image(b"\xbd" + _word(STRINGS) + loop + BEGIN + _exit(vendor))


def port_bytes(vendor: str = "amd") -> bytes:
    """Sends 4 KiB by as many OUTs to the same port, then exits."""
    # mov edx,DISCARDS; mov ecx,4096; 1: out dx,al; dec ecx; jnz 1b
    return _image(b"\xba" + _word(DISCARDS) + b"\xb9" + _word(PAGE_SIZE) + bytes.fromhex("ee 49 75fc") + BEGIN + _exit(vendor))


def touch(vendor: str = "amd") -> bytes:
    """Reads one word of each of TOUCHED_PAGES pages that come from the file, then exits. Uses no
    register but EAX from the first page on."""
    # mov eax,BEGIN; 1: cmp dword [eax],0; add eax,4096; cmp eax,END; jne 1b
    end = TOUCHED_BEGIN + TOUCHED_PAGES * PAGE_SIZE
    code = (b"\xb8" + _word(TOUCHED_BEGIN) + bytes.fromhex("833800 0500100000 3d") + _word(end)
            + bytes.fromhex("75f1") + _exit(vendor))
    return _image(code, Segment(paddr=TOUCHED_BEGIN, data=os.urandom(TOUCHED_PAGES * PAGE_SIZE)))


def sized(mebibytes: int, vendor: str = "amd") -> bytes:
    """Exits at once; its second segment has so many bytes in the file."""
    return _image(_exit(vendor), Segment(paddr=TOUCHED_BEGIN, data=os.urandom(MIB) * mebibytes))


def _image(code: bytes, *more: Segment) -> bytes:
    # The second segment begins on a page of the file, as linkers lay it.
    headers = ELF_HEADER + PROGRAM_HEADER * (1 + len(more))
    text = Segment(paddr=CODE, data=(HEADER + BEGIN + code).ljust(PAGE_SIZE - headers, b"\0"))
    return elf_image([text, *more], entry=CODE + len(HEADER))
