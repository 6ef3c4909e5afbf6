# SPDX-License-Identifier: MIT
"""What README says of speed, measured.

Every row has two sides, ours and what it is compared with, measured in turn in one run; medians are
compared. A bound that is missed is shown and is no failure: speed is a fact about a machine too.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from grader import CannotRun
from grader import machines
from grader.bench import guests as bench_guests
from grader.bench import three_ways
from grader.build.answers import reference_answers
from grader.build.kit import Kit
from grader.build.workshop import Progress
from grader.course import lab
from grader.testkit import micro
from grader.testkit.images import file_system_image

MACHINE = "amd-qemu"
INTEL = "intel-bochs"
BOOTS = 15
"""how often a kernel is started for the row of the first byte"""
MEMORY_MIB = 1024
"""enough for the module with the large image, and for its pages"""
SECONDS = 240.0


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    what: str
    against: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    bound: float | None
    """the most that ours may be of theirs; None: there is no bound"""

    @property
    def ratio(self) -> float:
        """Median of ours by median of theirs."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def verdict(self) -> str:
        """Whether the bound is kept."""
        if self.bound is None:
            return ""
        return "kept" if self.ratio <= self.bound else "missed"

    def as_dict(self) -> dict[str, object]:
        """For the JSON form."""
        return {
            "name": self.name, "what": self.what, "against": self.against, "unit": self.unit,
            "median": statistics.median(self.ours), "against_median": statistics.median(self.theirs),
            "ratio": round(self.ratio, 3), "bound": self.bound, "verdict": self.verdict,
            "samples": list(self.ours), "against_samples": list(self.theirs),
        }


Samples = dict[tuple[str, str], tuple[float, ...]]
"""what a benchmark kernel measured, by row and side"""


class Comparison(NamedTuple):
    """Two sides of what a benchmark kernel measures, and the row that is made of them."""

    name: str
    measured: str
    ours: str
    theirs: str
    what: str
    against: str
    unit: str
    bound: float | None = None


IN_THE_HYPERVISOR = (
    Comparison("vmmcall", "vmmcall", "ours", "floor", "VMMCALL round trip", "a loop with nothing but VMRUN", "us", 1.2),
    Comparison("device-access", "device-access", "memory", "port", "access to a device in memory", "to one by a port",
               "us", 2.0),
    Comparison("port-string", "port-string", "string", "bytes", "4 KiB by REP OUTS to a port that discards",
               "by 4,096 OUTs", "us", 0.02),
    Comparison("cpuid", "cpuid", "ours", "floor", "CPUID", "a loop with nothing but VMRUN", "us", 1.3),
    Comparison("lazy-fault", "lazy-fault", "ours", "floor", "lazy fault, 4 KiB from the file",
               "bare nested fault, page copy and map", "us", 1.5),
    Comparison("start", "start", "256MiB", "1MiB", "start of a guest, 256 MiB image", "1 MiB image", "us", 1.1),
    Comparison("start-frames", "start-frames", "256MiB", "1MiB", "frames used by it", "1 MiB image", "frames", 1.1),
    Comparison("start-eager", "start-eager", "256MiB", "1MiB", "the same, loaded eagerly", "1 MiB image", "us"),
    Comparison("start-eager-frames", "start-eager-frames", "256MiB", "1MiB", "frames used by it", "1 MiB image",
               "frames"),
    Comparison("register-ram", "register-ram", "64GiB", "64MiB", "registering 64 GiB of RAM", "64 MiB", "us", 1.1),
    Comparison("load-sys-ept-map", "load", "sys_ept_map", "eager", "a page loaded through sys_ept_map",
               "loaded eagerly by the kernel", "us"),
    Comparison("load-lazy", "load", "lazy", "eager", "a page loaded lazily, when it is touched",
               "loaded eagerly by the kernel", "us"),
    Comparison("load-frames-sys-ept-map", "load-frames", "sys_ept_map", "eager", "frames of 8 MiB through sys_ept_map",
               "eagerly", "frames"),
    Comparison("load-frames-lazy", "load-frames", "lazy", "eager", "frames of 8 MiB lazily, all touched",
               "eagerly", "frames"),
    Comparison("load-frames-at-start", "load-frames", "lazy-at-start", "eager", "frames of 8 MiB lazily, at the start",
               "eagerly", "frames"),
)
"""the rows that the kernel of vmm/bench measures"""
ON_INTEL = (
    Comparison("vmcall", "vmcall", "ours", "floor", "VMCALL round trip, intel-bochs",
               "a loop with nothing but VMRESUME", "us", 1.5),
)
"""what it measures on Intel. Bochs counts instructions and not time, so time is taken here,
outside"""
IN_SOFTWARE = (
    Comparison("soft-cli", "soft-cli", "ours", "floor", "a guest's CLI in ring 3, emulated",
               "a bare fault that skips it", "us", 3.0),
    Comparison("soft-cli-kernel", "soft-cli", "ours", "kernel", "the same", "a fault that the kernel's own handler skips",
               "us"),
    Comparison("soft-fill", "soft-fill", "ours", "floor", "a shadow's entry on demand", "a bare fault with a map", "us",
               2.0),
    Comparison("soft-trace", "soft-trace", "ours", "floor", "a store to a traced page table",
               "a bare fault that skips it", "us", 4.0),
    *(Comparison(f"{row}-{side}", row, side, "nested", f"tiny, {name}: {what}", "nested paging",
                 "us" if row == "tiny-time" else "")
      for row, what in three_ways.WHAT.items() for side, name in three_ways.WAYS.items() if side != "nested"),
)
"""the rows that the kernel of vmm/bench/soft_main.cc measures"""
IN_A_LARGE_GUEST = tuple(
    Comparison(f"{row}-large", row, "large", "ours", f"{what}, in a guest of 256 MiB", "8 MiB", "instructions", 1.1)
    for row, what in (("soft-cli", "an emulated CLI"), ("soft-fill", "a shadow's entry"),
                      ("soft-trace", "a traced store"))
)
"""the same kernel where its clock counts instructions: whether anything grows is seen to the last
one"""
INSTRUCTIONS = {
    MACHINE: Comparison("vmmcall-instructions", "vmmcall-ticks", "ours", "floor",
                        "VMMCALL round trip, the guest's 4 included", "a loop with nothing but VMRUN", "instructions"),
    INTEL: Comparison("vmcall-instructions", "vmcall-ticks", "ours", "floor",
                      "VMCALL round trip, the guest's 4 included", "a loop with nothing but VMRESUME", "instructions"),
}
"""measured where the time-stamp counter counts them: in a boot of its own on AMD, always on
Intel"""
IN_THE_PROCESS_LAYER = (
    Comparison("system-call", "system-call", "ours", "floor", "system call that does nothing",
               "SYSCALL and SYSRET alone", "us"),
    Comparison("context-switch", "context-switch", "ours", "floor", "yield to another program",
               "a write to CR3 alone", "us"),
    Comparison("program", "program", "ours", "floor", "program made and destroyed", "copies of its pages", "us"),
    Comparison("call-among", "call-among", "others", "alone", "system call among 200 programs that wait", "alone", "us",
               1.1),
    Comparison("program-among", "program-among", "others", "alone", "program made and destroyed among them", "alone",
               "us", 1.1),
)
"""the rows that the kernel of kern/bench measures"""


BY_MESSAGES = (
    Comparison("message", "message", "fast", "yield", "Call and ReplyRecv between address spaces",
               "yield to another program of lab 1, and back", "cycles", 1.3),
    Comparison("message-slow", "message", "slow", "fast", "the same with a message that is not in registers",
               "by the fast path", "cycles"),
    Comparison("signal", "signal", "ours", "nothing", "a notification is signalled",
               "a system call of lab 1 that does nothing", "cycles", 1.5),
    Comparison("signal-refused", "signal", "ours", "refused", "the same", "a system call that does not exist", "cycles"),
    Comparison("look-up", "look-up", "many", "few", "a signal, with 512 capabilities more", "without them", "cycles", 1.1),
    Comparison("revoke", "revoke", "many", "few", "revoke, each of 512 capabilities", "each of 32", "cycles", 1.1),
    Comparison("pager", "page-fault", "pager", "kernel", "page fault, served by a pager in ring 3",
               "by the kernel itself", "cycles"),
)
"""the rows that the microkernel's root task (kern/user/micro/bench.cc) and the kernel of kern/bench
measure"""
BY_MESSAGES_COUNTED = tuple(
    one._replace(name=f"{one.name}-instructions", unit="instructions", bound=None)
    for one in BY_MESSAGES
)
"""the same on Bochs, whose time-stamp counter counts instructions; the bounds are of time"""


def first_byte(kit: Kit, progress: Progress) -> Iterator[Row]:
    """From the start of the emulator to the first byte on the serial line."""
    answers = reference_answers(lab.load_all())
    if answers is None:
        raise CannotRun("there are no reference answers in this tree: nothing to measure")
    kernels = {"ours": kit.kernel(lab.KERNEL, answers).result(), "theirs": kit.files["empty_pvh.elf"]}
    seconds = defaultdict(list)
    for turn in range(BOOTS + 1):
        progress(f"first byte [{turn}/{BOOTS}]")
        for side, kernel in kernels.items():
            taken = _first_byte_of(kernel)
            if turn:  # the first pair warms the caches
                seconds[side].append(taken * 1e3)
    yield Row("first-byte", "first serial byte of the kernel", "an empty PVH kernel", "ms",
              tuple(seconds["ours"]), tuple(seconds["theirs"]), 1.2)


def _first_byte_of(kernel: Path) -> float:
    came: list[float] = []
    started = time.perf_counter()
    configuration = machines.Configuration(kernel=kernel, cpus=1)
    with machines.machine(MACHINE).start(
            configuration, lambda data: came.append(time.perf_counter())) as running:
        running.wait(SECONDS)
    if not came:
        raise CannotRun(f"{kernel} printed nothing")
    return came[0] - started


def in_the_hypervisor(kit: Kit, progress: Progress) -> Iterator[Row]:
    """One boot of the hypervisor's benchmark kernel."""
    progress("making guests")
    files = {"marks.elf": bench_guests.marks(), "touch.elf": bench_guests.touch(),
             "load.elf": kit.files["user/load.elf"].read_bytes(),
             "string.elf": bench_guests.port_string(), "bytes.elf": bench_guests.port_bytes(),
             "cpuid.elf": bench_guests.cpuids(),
             "memory.elf": bench_guests.accesses(kit.files["mmio.elf"].read_bytes(), memory=True),
             "ports.elf": bench_guests.accesses(kit.files["mmio.elf"].read_bytes(), memory=False),
             "small.elf": bench_guests.sized(1), "large.elf": bench_guests.sized(256)}
    progress("measuring guests")
    samples, _ = _measure(MACHINE, kit.files["bench.elf"], files)
    yield from _rows(IN_THE_HYPERVISOR, samples)


def on_intel(kit: Kit, progress: Progress) -> Iterator[Row]:
    """One boot of the same kernel on Intel; nothing where that machine is not installed."""
    machine = machines.machine(INTEL)
    try:
        machine.check()
    except machines.MachineError as missing:
        progress.clear()
        print(f"bench: {INTEL} is left out: {missing}", file=sys.stderr)
        return
    progress(f"measuring guests on {INTEL}")
    counted, samples = _measure(INTEL, kit.files["bench.elf"], {"marks.elf": bench_guests.marks("intel")})
    yield from _rows(ON_INTEL, samples)
    yield from _rows([INSTRUCTIONS[INTEL]], counted)


def instructions_on_amd(kit: Kit, progress: Progress) -> Iterator[Row]:
    """One boot more, in which QEMU counts instructions."""
    progress("counting instructions")
    counted, _ = _measure(MACHINE, kit.files["bench.elf"], {"marks.elf": bench_guests.marks()}, counts=True)
    yield from _rows([INSTRUCTIONS[MACHINE]], counted)


def in_the_process_layer(kit: Kit, progress: Progress) -> Iterator[Row]:
    """One boot of the process layer's benchmark kernel."""
    progress("measuring programs")
    files = {"bench.elf": kit.files["user/bench.elf"].read_bytes()}
    samples, _ = _measure(MACHINE, kit.files["proc_bench.elf"], files)
    yield from _rows(IN_THE_PROCESS_LAYER, samples)


def by_messages(kit: Kit, progress: Progress) -> Iterator[Row]:
    """Boots of the microkernel and of the process layer's benchmark kernel, in turn."""
    yield from _rows(BY_MESSAGES, _in_turn(kit, progress, MACHINE, turns=3))


def by_messages_counted(kit: Kit, progress: Progress) -> Iterator[Row]:
    """The same on Bochs, where one turn is like the other."""
    yield from _rows(BY_MESSAGES_COUNTED, _in_turn(kit, progress, INTEL, turns=1))


def _in_turn(kit: Kit, progress: Progress, machine: str, turns: int) -> Samples:
    answers = reference_answers(lab.load_all())
    if answers is None:
        raise CannotRun("there are no reference answers in this tree: nothing to measure")
    microkernel = kit.kernel("nestling-micro", answers).result()
    root_task = micro.measuring(kit.files["user/micro.elf"].read_bytes())
    files = {"bench.elf": kit.files["user/bench.elf"].read_bytes(), "microkernel": b"yes"}
    samples: Samples = {}
    for turn in range(turns):
        progress(f"measuring messages on {machine} [{turn + 1}/{turns}]")
        for kernel, module in ((microkernel, root_task), (kit.files["proc_bench.elf"], files)):
            measured, _ = _measure(machine, kernel, module)
            samples |= {key: samples.get(key, ()) + values for key, values in measured.items()}
    return samples


def in_software(kit: Kit, progress: Progress) -> Iterator[Row]:
    """One boot of the benchmark kernel for guests in ring 3."""
    progress("measuring a guest in ring 3")
    guest = three_ways.work(kit.files["tiny.elf"].read_bytes())
    files = {"tiny.elf": guest, "traps": b"yes"}
    samples, _ = _measure(MACHINE, kit.files["soft_bench.elf"], files)
    yield from _rows(IN_SOFTWARE, samples)
    counted, _ = _measure(MACHINE, kit.files["soft_bench.elf"], files, counts=True)
    yield from _rows(IN_A_LARGE_GUEST, counted)


def in_three_ways(kernel: Path, image: bytes, machine: str = MACHINE) -> Iterator[str]:
    """The table of guest/tiny, measured once, by the machine's clock. ``kernel`` is soft_bench.elf,
    ``image`` tiny.elf."""
    samples, _ = _measure(machine, kernel, {"tiny.elf": three_ways.work(image)})
    yield from three_ways.table(samples)


def _rows(comparisons: Iterable[Comparison], samples: Samples) -> Iterator[Row]:
    for one in comparisons:
        sides = samples.get((one.measured, one.ours)), samples.get((one.measured, one.theirs))
        if not sides[0] or not sides[1]:
            raise CannotRun(f"the benchmark kernel did not measure {one.name}")
        scale = 1e-3 if one.unit == "us" else 1.0
        ours, theirs = (tuple(value * scale for value in side) for side in sides if side)
        yield Row(one.name, one.what, one.against, one.unit, ours, theirs, one.bound)


def _measure(
    machine: str, kernel: Path, files: dict[str, bytes] | bytes, *, counts: bool = False
) -> tuple[Samples, Samples]:
    """Boots a benchmark kernel: what it measured by its own clock, and what by this one. Files that
    are bytes are the boot module as it is."""
    emulator = machines.machine(machine)
    lines = Lines()
    with TemporaryDirectory() as folder:
        module = Path(folder, "module.img")
        module.write_bytes(files if isinstance(files, bytes) else file_system_image(files))
        memory = MEMORY_MIB if machine == MACHINE else emulator.default_memory_mib
        configuration = machines.Configuration(
            kernel=kernel, module=module, cpus=1, memory_mib=memory, counts_instructions=counts
        )
        with emulator.start(configuration, lines.add) as running:
            end = running.wait(SECONDS)
    if end.reason != machines.POWERED_OFF or "bench done" not in (text for _, text in lines.whole):
        said = "\n".join(text for _, text in lines.whole)[-2000:]
        raise CannotRun(f"the benchmark kernel did not come to its end on {machine} ({end.reason}):\n{said}")
    return samples_of(lines.whole)


class Lines:
    """The serial line, with the time at which each line had come."""

    def __init__(self) -> None:
        self.whole: list[tuple[float, str]] = []
        self._begun = b""

    def add(self, data: bytes) -> None:
        """What came just now."""
        now = time.perf_counter()
        *whole, self._begun = (self._begun + data).split(b"\n")
        self.whole += [(now, line.decode("utf-8", "replace").strip()) for line in whole]


def samples_of(lines: Iterable[tuple[float, str]]) -> tuple[Samples, Samples]:
    """From lines ``bench ROW SIDE VALUE``: the values, and, where ``timed COUNT`` came before one,
    the nanoseconds between the two lines, for each of so many times."""
    by_kernel: dict[tuple[str, str], list[float]] = defaultdict(list)
    by_us: dict[tuple[str, str], list[float]] = defaultdict(list)
    begin, count = 0.0, 0
    for now, line in lines:
        words = line.split()
        if len(words) == 2 and words[0] == "timed":
            begin, count = now, int(words[1])
        elif len(words) == 4 and words[0] == "bench":
            by_kernel[words[1], words[2]].append(float(words[3]))
            if count:
                by_us[words[1], words[2]].append((now - begin) * 1e9 / count)
            count = 0
    return ({key: tuple(values) for key, values in by_kernel.items()},
            {key: tuple(values) for key, values in by_us.items()})


def gate(kit: Kit, progress: Progress) -> Iterator[Row]:
    """The gate alone, over each reference in C++ and all its flavours; the compiler's time is not
    in it."""
    answers = reference_answers(lab.load_all())
    if answers is None:
        raise CannotRun("there are no reference answers in this tree")
    flavours = ("kernel", "asan", "tsan")
    files = [(file, path) for file, path in answers.files if file.endswith(".cc") and "/program/" not in file]
    samples = []
    for file, path in files:
        progress(f"the gate: {file}")
        for flavour in flavours:
            kit.look_again(file, path, flavour)  # compiled, if it was not
        started = time.perf_counter()
        for flavour in flavours:
            kit.look_again(file, path, flavour)
        samples.append((time.perf_counter() - started) * 1e3)
    yield Row("gate", "the gate looks at one answer in three flavours", "its bound", "ms", tuple(samples), (50.0,), 1.0)


MEASUREMENTS = (
    ([row.name for row in IN_THE_HYPERVISOR], in_the_hypervisor),
    ([row.name for row in ON_INTEL] + [INSTRUCTIONS[INTEL].name], on_intel),
    ([INSTRUCTIONS[MACHINE].name], instructions_on_amd),
    ([row.name for row in IN_THE_PROCESS_LAYER], in_the_process_layer),
    ([row.name for row in BY_MESSAGES], by_messages),
    ([row.name for row in BY_MESSAGES_COUNTED], by_messages_counted),
    ([row.name for row in IN_SOFTWARE + IN_A_LARGE_GUEST], in_software),
    (["first-byte"], first_byte),
    (["gate"], gate),
)
"""what can be measured together, by the names of the rows"""
