# SPDX-License-Identifier: MIT
"""lab5: the booted cases of all three tasks, in one boot.

Everything is judged from outside: by the evidence block, by a walk of the nested tables in the
machine's memory, and by the guest's memory, compared with the image that was made for this run.
Each test's name begins with its task: entry (lab5.kernel_entry), segments (lab5.load_phdr), page
(lab5.load_page); its docstring repeats the task's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grader.testkit.boot import BootResult
from grader.testkit.digest import digest, key_of, written_page
from grader.testkit.hand_made import MULTIBOOT2_HEADER, touching_code
from grader.testkit.images import GuestImage, Segment, elf_image, fill_patterns, pattern
from grader.testkit.plans import Ground, VmPlan
from grader.testkit.records import VmRecord, VmState, guest_results

PAGE = 4096
RAM_KIB = 32768
# Only wrong answers and overloaded machines ever wait so long, in milliseconds.
HOLD_LIMIT = {"hold_limit": 5000}
EXIT = 77  # what a hand-made guest gives to the exit hypercall
INFORMATION = 0  # the page that the host itself made present: the multiboot2 information
FREE = 0x100_0000  # RAM that gkernel does not use by itself, the page's address
GUEST_MEMORY, TABLES, VCPU = "guest memory", "second-level table", "virtual CPU"

# A hand-made guest: its code, and two segments with no bound on a page boundary, which share a
# page.
#   0x300000     0x301000     0x302000              0x303000          0x304000     0x305000
#   | . first... | .......... | .. zeros . second.. | ..... zeros ... | zeros .... | zeros ..
CODE = 0x40_0000
FIRST, FIRST_FILE, FIRST_SIZE = 0x30_0123, 0x1F40, 0x2000
SECOND, SECOND_FILE, SECOND_SIZE = 0x30_2345, 0x1A01, 0x3000
SHARED = 0x30_2000
TOUCHED = [0x30_0000, SHARED, 0x30_3000, 0x30_4000, 0x60_5000]
WILD = 0x7000_0000


def _hand_made(nonce: str, touched: Iterable[int], extra: Iterable[Segment] = ()) -> bytes:
    """A guest that touches those pages; entered in the last segment but the extra ones, which has
    its own distance from virtual to physical addresses."""
    code = MULTIBOOT2_HEADER + touching_code(list(touched), EXIT)
    return elf_image(
        [
            Segment(
                FIRST, pattern(nonce, "first", FIRST_FILE), memsz=FIRST_SIZE, vaddr=0x8000_0123
            ),
            Segment(
                SECOND, pattern(nonce, "second", SECOND_FILE), memsz=SECOND_SIZE, vaddr=0x9000_0345
            ),
            Segment(CODE, code, vaddr=0xC000_7000),
            *extra,
        ],
        entry=0xC000_7000 + len(MULTIBOOT2_HEADER),
    )


def _area_page(image: GuestImage, symbol: str, number: int) -> int:
    """The guest-physical address of the `number`-th page of a pattern."""
    return image.symbol(symbol).paddr // PAGE * PAGE + number * PAGE


def _area_bytes(image: GuestImage, symbol: str, first: int, count: int) -> bytes:
    """The bytes that gkernel digests for `count` pages of an area, from its page `first` on."""
    where = image.symbol(symbol)
    begin = max(where.paddr, _area_page(image, symbol, first))
    end = min(where.paddr + where.size, _area_page(image, symbol, first + count))
    return image.memory(begin, end - begin)


def _guests(nonce: str, guests: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of the boot."""
    good = (Segment(CODE, MULTIBOOT2_HEADER, vaddr=0xC000_7000),)

    def bad(segment: Segment) -> bytes:
        return elf_image([*good, segment], entry=0xC000_7000)

    return {
        "gkernel.elf": fill_patterns(guests["gkernel.elf"], nonce),
        "hello.elf": guests["hello.elf"],
        "eater.elf": guests["eater.elf"],
        "exact.elf": _hand_made(nonce, TOUCHED),
        "wild.elf": _hand_made(nonce, [SHARED, WILD]),
        "no-entry.elf": elf_image([*good], entry=0xD000_0000),
        "filesz.elf": bad(Segment(FIRST, bytes(64), memsz=32)),
        "overlap.elf": bad(Segment(CODE + 8, bytes(64))),
        "hole.elf": bad(Segment(0xBFFD_9000, bytes(16), memsz=0x2000)),
        "beyond.elf": bad(Segment(FIRST, bytes(64), memsz=1 << 20, filesz=1 << 20)),
        "wraps.elf": bad(Segment((1 << 64) - 32, bytes(64))),
    }


# What each refused guest must be refused for.
REFUSED_SEGMENTS = {
    "filesz": ("BadFormat", "p_filesz is greater than p_memsz"),
    "overlap": ("Overlap", "a byte belongs to two segments"),
    "hole": ("OutOfRange", "the segment reaches into the MMIO hole"),
    "beyond": ("Truncated", "the segment's bytes reach beyond the file's end"),
    "wraps": ("OutOfRange", "p_paddr + p_memsz wraps around 2^64"),
}

TOUCHES = "touch=text,rodata,data,bss,ram:0x1000:4:16:w"


def plan(
    nonce: str, guests: Mapping[str, bytes], machine: Ground
) -> tuple[dict[str, bytes], list[VmPlan]]:
    """All virtual machines of the boot. The task that a machine is for stands in its tests."""
    files = _guests(nonce, guests)
    kernel = GuestImage(files["gkernel.elf"])
    told = f"nonce={nonce} cpus={machine.cpus}"
    one, other = (_area_page(kernel, "pattern_rodata", number) for number in (3, 6))
    failing = _area_page(kernel, "pattern_data", 5)
    vms = [
        VmPlan("exact", "exact.elf", ram_kib=RAM_KIB),
        VmPlan("hello", "hello.elf", ram_kib=RAM_KIB),
        VmPlan("no-entry", "no-entry.elf", keep=False),
        *(VmPlan(name, f"{name}.elf", keep=False) for name in REFUSED_SEGMENTS),
        VmPlan("kernel", "gkernel.elf", vcpus=machine.cpus, ram_kib=RAM_KIB, args=f"{told} {TOUCHES}"),
        VmPlan(
            "same-page",
            "gkernel.elf",
            vcpus=machine.cpus,
            ram_kib=RAM_KIB,
            hold=f"{one:#x}:{machine.cpus}",
            more=HOLD_LIMIT,
            args=f"{told} race=rodata:3",
        ),
        VmPlan(
            "two-pages",
            "gkernel.elf",
            vcpus=2,
            ram_kib=RAM_KIB,
            hold=f"{one:#x}:until:{other:#x}",
            more=HOLD_LIMIT,
            args=f"nonce={nonce} cpus=2 each=rodata:3:3",
        ),
        VmPlan(
            "failing",
            "gkernel.elf",
            ram_kib=RAM_KIB,
            more={"fail": f"{failing:#x}"},
            args=f"nonce={nonce} touch=data",
        ),
        VmPlan("wild", "wild.elf", ram_kib=RAM_KIB),
        VmPlan("exhausted", "eater.elf", more={"memory": 40}),
        VmPlan("last", "exact.elf", ram_kib=RAM_KIB, keep=False),
    ]
    return files, vms


def _image(nonce: str, guests: Mapping[str, bytes], name: str) -> GuestImage:
    return GuestImage(_guests(nonce, guests)[name])


def _frames(record: VmRecord, account: str = GUEST_MEMORY) -> int:
    """How many frames of an account the VM took, from before it was made until it ended."""
    return record.ended[account] - record.before[account]


def _exited(booted: BootResult, name: str, status: int) -> VmRecord:
    """The record of a VM that must have exited by itself."""
    record = booted.vm(name)
    assert record.state is VmState.EXITED, (
        f"the guest `{name}` did not run to its end: {_end(record)}; wanted: exited with {status}"
    )
    assert record.status == status, (
        f"the guest `{name}` exited with {record.status:#x}; wanted: {status:#x}"
    )
    return record


def _end(record: VmRecord) -> str:
    """How a VM ended, in words."""
    what = record.state.name.lower()
    why = f", {record.reason}" if record.reason else ""
    error = f" ({record.error})" if record.error else ""
    at = f" at GPA {record.failed_address:#x}" if record.failed_address else ""
    return f"{what}{why}{error}{at}"


def _failed(booted: BootResult, name: str, error: str, gpa: int | None, rule: str) -> VmRecord:
    """The record of a VM that must have been ended by an error of load_page, with nothing
    leaked."""
    record = booted.vm(name)
    assert record.state is VmState.FAILED and record.error == error, (
        f"{rule}: the VM `{name}` is {_end(record)}; wanted: failed with {error}"
    )
    if gpa is not None:
        assert record.failed_address == gpa, (
            f"{rule}: reported for GPA {record.failed_address:#x}; wanted: {gpa:#x}"
        )
    _all_frames_mapped(booted, record)
    return record


def _all_frames_mapped(booted: BootResult, record: VmRecord) -> None:
    leaves = booted.walk(record)
    assert _frames(record) == len(leaves), (
        f"the VM `{record.name}` has taken {_frames(record)} frames for {len(leaves)} present pages; "
        "wanted: one each. A frame that is on no page is lost until the machine ends"
    )


def _same_bytes(seen: bytes, wanted: bytes, gpa: int, what: str) -> None:
    for offset, (have, want) in enumerate(zip(seen, wanted, strict=True)):
        assert have == want, (
            f"{what}: the byte at GPA {gpa + offset:#x} is {have:#04x}; wanted: {want:#04x}"
        )


def _results(
    booted: BootResult, image: GuestImage, record: VmRecord
) -> guest_results.GuestResults:
    where = image.symbol(guest_results.SYMBOL)
    found = guest_results.parse(booted.guest_read(record, where.paddr, guest_results.SIZE))
    assert found.finished, f"the guest kernel in `{record.name}` did not finish what it was asked"
    return found


# lab5.kernel_entry


def test_entry_of_the_guest_kernel(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.kernel_entry: the guest kernel is entered at its entry's guest-physical address."""
    wanted = _image(nonce, guests, "gkernel.elf").entry
    record = booted.vm("kernel")
    assert record.entry == wanted, f"gkernel is entered at {record.entry:#x}; wanted: {wanted:#x}"
    assert record.state is VmState.EXITED, f"the guest kernel did not run: {_end(record)}"


def test_entry_in_a_later_segment(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.kernel_entry: where segments lie at different distances, the one that holds the entry
    counts."""
    for name, file, status in (("exact", "exact.elf", EXIT), ("hello", "hello.elf", 42)):
        wanted = _image(nonce, guests, file).entry
        record = booted.vm(name)
        assert record.entry == wanted, (
            f"the entry of `{name}` is in its {'third' if name == 'exact' else 'second'} segment, "
            f"and it is entered at {record.entry:#x}; wanted: {wanted:#x}"
        )
        _exited(booted, name, status)


def test_entry_in_no_segment_is_refused(booted: BootResult) -> None:
    """lab5.kernel_entry: an entry that no segment holds is an error, and the next VM is made."""
    record = booted.vm("no-entry")
    assert record.state is VmState.REFUSED and record.error == "NotFound", (
        f"no segment holds the entry, and the VM is {_end(record)}; wanted: refused (NotFound)"
    )


# lab5.load_phdr


def test_segments_come_from_the_file(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.load_phdr: every byte of a segment is the file's byte, wherever segment and page
    begin."""
    image = _image(nonce, guests, "exact.elf")
    record = _exited(booted, "exact", EXIT)
    for begin, end in ((FIRST, 0x30_1000), (SECOND, SECOND + SECOND_FILE), (CODE, CODE + 64)):
        seen = booted.guest_read(record, begin, end - begin)
        _same_bytes(seen, image.memory(begin, end - begin), begin, "a segment's file bytes")


def test_segments_end_in_zeros(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.load_phdr: from p_filesz up to p_memsz a segment holds zeros, also in pages without a
    file byte."""
    image = _image(nonce, guests, "exact.elf")
    record = _exited(booted, "exact", EXIT)
    tail = FIRST + FIRST_FILE
    assert not any(image.memory(tail, SECOND - tail)), "the test's own image is wrong"
    seen = booted.guest_read(record, tail, SECOND - tail)
    _same_bytes(seen, bytes(SECOND - tail), tail, "behind the first segment's file bytes")
    tail, end = SECOND + SECOND_FILE, 0x30_5000
    seen = booted.guest_read(record, tail, end - tail)
    _same_bytes(seen, bytes(end - tail), tail, "behind the second segment's file bytes")


def test_segments_share_a_page(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.load_phdr: a page that two segments share holds the bytes of both."""
    image = _image(nonce, guests, "exact.elf")
    record = _exited(booted, "exact", EXIT)
    seen = booted.guest_read(record, SHARED, PAGE)
    _same_bytes(seen, image.memory(SHARED, PAGE), SHARED, "the page that two segments share")


def test_segments_of_the_guest_kernel(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.load_phdr: gkernel finds its text, constants, data and a bss of 1 MiB as its file
    says."""
    image = _image(nonce, guests, "gkernel.elf")
    record = booted.vm("kernel")
    assert record.state is VmState.EXITED, f"the guest kernel did not run: {_end(record)}"
    found = _results(booted, image, record)
    key = key_of(nonce)
    begin, end = image.symbol("image_begin").paddr, image.symbol("text_end").paddr
    wanted = {
        "text": image.memory(begin, end - begin),
        "constants": _area_bytes(image, "pattern_rodata", 0, 17),
        "data": _area_bytes(image, "pattern_data", 0, 17),
        "bss": bytes(image.symbol("pattern_bss").size),
    }
    for area, (name, data) in zip(found.areas, wanted.items()):
        assert area.digest == digest(data, key), (
            f"the guest's {name} has the digest {area.digest:016x}; wanted, out of the image: "
            f"{digest(data, key):016x}"
        )
    for name in ("pattern_rodata", "pattern_data"):
        where = image.symbol(name)
        seen = booted.guest_read(record, where.paddr, where.size)
        _same_bytes(seen, image.memory(where.paddr, where.size), where.paddr, name)


def test_segments_that_are_refused(booted: BootResult) -> None:
    """lab5.load_phdr: headers that lie are refused with the right error, and take no frame."""
    for name, (error, rule) in REFUSED_SEGMENTS.items():
        record = booted.vm(name)
        assert record.state is VmState.REFUSED and record.error == error, (
            f"{rule}: the VM is {_end(record)}; wanted: refused ({error})"
        )
        for account in (GUEST_MEMORY, TABLES):
            lost = record.after[account] - record.before[account]
            assert lost == 0, f"{rule}: {lost} frames of {account} are lost; wanted: none"


# lab5.load_page


def test_page_is_loaded_when_touched(booted: BootResult) -> None:
    """lab5.load_page: pages that the guest touched are present, one frame each, and no others."""
    record = _exited(booted, "exact", EXIT)
    present = set(booted.walk(record))
    wanted = {INFORMATION, CODE, *TOUCHED}
    for gpa in sorted(wanted - present):
        raise AssertionError(f"the page at GPA {gpa:#x} was touched and is not present")
    for gpa in sorted(present - wanted):
        raise AssertionError(f"the page at GPA {gpa:#x} is present, and nobody has touched it")
    _all_frames_mapped(booted, record)


def test_page_may_be_read_written_and_executed(booted: BootResult) -> None:
    """lab5.load_page: each page is present with READ, WRITE and EXECUTE, in a frame of its own."""
    record = _exited(booted, "exact", EXIT)
    leaves = booted.walk(record)
    for gpa, leaf in leaves.items():
        rights = "".join(
            letter for letter, right in zip("rwx", (leaf.read, leaf.write, leaf.execute)) if right
        )
        assert rights == "rwx", f"the page at GPA {gpa:#x} has {rights or 'no right'}; wanted: rwx"
        assert leaf.size == PAGE, f"the page at GPA {gpa:#x} has {leaf.size} bytes; wanted: 4096"
    assert len({leaf.hpa for leaf in leaves.values()}) == len(leaves), (
        "two guest pages lie in one frame; wanted: a frame for each"
    )


def test_page_keeps_what_the_guest_writes(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes], machine: Ground
) -> None:
    """lab5.load_page: RAM is zeros when first touched, and keeps what a kernel on all CPUs wrote
    there."""
    image = _image(nonce, guests, "gkernel.elf")
    record = booted.vm("kernel")
    assert record.state is VmState.EXITED, f"the guest kernel did not run: {_end(record)}"
    found = _results(booted, image, record)
    assert found.cpus == machine.cpus, f"{found.cpus} vCPUs came up; wanted: {machine.cpus}"
    assert found.problems == 0, f"the guest kernel found: {found.problem_words}; wanted: nothing"
    assert found.memory_kib == RAM_KIB, (
        f"the guest's memory map has {found.memory_kib} KiB; wanted: {RAM_KIB}"
    )
    ram = found.areas[4]
    assert ram.not_zero == 0, f"{ram.not_zero} words of fresh RAM were not zero; wanted: none"
    for gpa in range(FREE, FREE + 4 * 16 * PAGE, 16 * PAGE):
        seen = booted.guest_read(record, gpa, PAGE)
        _same_bytes(seen, written_page(key_of(nonce), gpa), gpa, "what the guest wrote to RAM")


def test_page_that_all_vcpus_touch_at_once(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes], machine: Ground
) -> None:
    """lab5.load_page: 4 vCPUs fault on one page while its read is held: one frame, and all go
    on."""
    vcpus = machine.cpus
    image = _image(nonce, guests, "gkernel.elf")
    page = _area_page(image, "pattern_rodata", 3)
    record = _exited(booted, "same-page", 0)
    assert not record.hold_expired, (
        f"the read of GPA {page:#x} was held until {vcpus} vCPUs had faulted there, and only "
        f"{record.hold_faults} came within the limit: the others found it present too early, or waited somewhere else"
    )
    assert 1 <= record.fills <= vcpus, (
        f"the page at GPA {page:#x} was read {record.fills} times; wanted: 1 to {vcpus}"
    )
    assert page in booted.walk(record), f"the page at GPA {page:#x} is not present"
    wanted = digest(image.memory(page, PAGE), key_of(nonce))
    for number, cpu in enumerate(_results(booted, image, record).cpu):
        assert cpu.race_digest == wanted, (
            f"vCPU {number} saw the digest {cpu.race_digest:016x} on the page at GPA {page:#x}; "
            f"wanted: {wanted:016x}"
        )


def test_page_race_loses_no_frame(booted: BootResult) -> None:
    """lab5.load_page: when vCPUs race for one page, the losers give their frames back."""
    record = _exited(booted, "same-page", 0)
    assert not record.hold_expired, "the race did not take place: see the test before this one"
    _all_frames_mapped(booted, record)


def test_pages_do_not_wait_for_each_other(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.load_page: a fault on one page does not wait for the file read of another page."""
    image = _image(nonce, guests, "gkernel.elf")
    record = _exited(booted, "two-pages", 0)
    one, other = (_area_page(image, "pattern_rodata", number) for number in (3, 6))
    assert not record.hold_expired, (
        f"while the read for GPA {one:#x} was held, the page at GPA {other:#x} did not become "
        "present within the limit: wanted: two reads under way at once, so no lock around a read"
    )
    for number, gpa in enumerate((one, other)):
        wanted = digest(image.memory(gpa, PAGE), key_of(nonce))
        seen = _results(booted, image, record).cpu[number].each_digest
        assert seen == wanted, (
            f"vCPU {number} saw the digest {seen:016x} at GPA {gpa:#x}; wanted: {wanted:016x}"
        )
    _all_frames_mapped(booted, record)


def test_page_whose_read_fails(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab5.load_page: a failing read is reported, the page stays absent, and no frame is lost."""
    gpa = _area_page(_image(nonce, guests, "gkernel.elf"), "pattern_data", 5)
    record = _failed(booted, "failing", "DeviceFailure", gpa, "the file read fails")
    assert gpa not in booted.walk(record), f"the page at GPA {gpa:#x} is present; wanted: absent"


def test_page_that_is_not_registered(booted: BootResult) -> None:
    """lab5.load_page: an access to a page that no loader serves is reported as NotFound."""
    record = _failed(booted, "wild", "NotFound", WILD, "nothing is registered there")
    assert SHARED in booted.walk(record), "the page before it was registered and is not present"


def test_page_without_a_frame_left(booted: BootResult) -> None:
    """lab5.load_page: when no frame is left that is reported, nothing is lost, and the next VM
    runs."""
    _failed(booted, "exhausted", "OutOfMemory", None, "the allocator has no frame left")
    _exited(booted, "last", EXIT)


def test_page_frames_come_back(booted: BootResult) -> None:
    """lab5.load_page: a VM that is destroyed gives back every frame that it took."""
    record = _exited(booted, "last", EXIT)
    touched = len({INFORMATION, CODE, *TOUCHED})
    assert _frames(record) == touched, (
        f"the VM took {_frames(record)} frames for {touched} touched pages; wanted: one each"
    )
    for account in (GUEST_MEMORY, TABLES, VCPU):
        lost = record.after[account] - record.before[account]
        assert lost == 0, f"{lost} frames of {account} were not given back; wanted: 0"
