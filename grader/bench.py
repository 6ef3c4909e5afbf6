# SPDX-License-Identifier: MIT
"""`nest bench`: what README says of speed, measured.

Every row has two sides, ours and what it is compared with, measured in turn in one run; medians are
compared. A bound that is missed is shown and is no failure: speed is a fact about a machine too.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from grader import bench_guests, lab, machines
from grader.errors import CannotRun
from grader.images import file_system_image
from grader.kit import Kit, reference_answers
from grader.workshop import Progress, workshop

MACHINE = "amd-qemu"
BOOTS = 15
"""how often a kernel is started for the row of the first byte"""
MEMORY_MIB = 1024
"""enough for the module with the large image, and for its pages"""
WALL_SECONDS = 240.0


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
"""what the benchmark kernel printed, by row and side"""

Comparison = tuple[str, str, str, str, str, str, float | None]
"""row, ours, theirs, what, against, unit, bound"""

IN_THE_HYPERVISOR: tuple[Comparison, ...] = (
    ("vmmcall", "ours", "floor", "VMMCALL round trip", "a loop with nothing but VMRUN", "us", 1.2),
    ("lazy-fault", "ours", "floor", "lazy fault, 4 KiB from the file",
     "bare nested fault, page copy and map", "us", 1.5),
    ("start", "256MiB", "1MiB", "start of a guest, 256 MiB image", "1 MiB image", "us", 1.1),
    ("start-frames", "256MiB", "1MiB", "frames used by it", "1 MiB image", "frames", 1.1),
    ("start-eager", "256MiB", "1MiB", "the same, loaded eagerly", "1 MiB image", "us", None),
    ("start-eager-frames", "256MiB", "1MiB", "frames used by it", "1 MiB image", "frames", None),
    ("register-ram", "64GiB", "64MiB", "registering 64 GiB of RAM", "64 MiB", "us", 1.1),
)
"""the rows that the kernel of vmm/bench measures"""
IN_THE_PROCESS_LAYER: tuple[Comparison, ...] = (
    ("system-call", "ours", "floor", "system call that does nothing", "SYSCALL and SYSRET alone", "us", None),
    ("context-switch", "ours", "floor", "yield to another program", "a write to CR3 alone", "us", None),
    ("program", "ours", "floor", "program made and destroyed", "copies of its pages", "us", None),
    ("call-among", "others", "alone", "system call among 200 programs that wait", "alone", "us", 1.1),
    ("program-among", "others", "alone", "program made and destroyed among them", "alone", "us", 1.1),
)
"""the rows that the kernel of kern/bench measures"""


@click.command(short_help="Measure what README promises.")
@click.option("--json", "json_file", metavar="FILE", help="Write the rows as JSON; - is standard output.")
@click.option("-k", "keyword", metavar="TEXT", default="", help="Only rows whose names contain TEXT.")
def command(json_file: str | None, keyword: str) -> int:
    """Measure, both sides of each row in one run, and print medians.

    Ends with 0 also where a bound is missed: a table is a measurement, not a test.
    """
    from grader.grade import write

    progress = Progress()
    rows = []
    with workshop(progress) as kit:
        for names, measure in MEASUREMENTS:
            if any(keyword in name for name in names):
                rows += [row for row in measure(kit, progress) if keyword in row.name]
    if not keyword or keyword in "grade-after-edit":
        from grader.bench_grade import grade_after_edit

        rows.append(grade_after_edit(progress))
    progress.clear()
    if json_file:
        write(json_file, json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
    show(rows, to_stderr=json_file == "-")
    return 0


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
        running.wait(WALL_SECONDS)
    if not came:
        raise CannotRun(f"{kernel} printed nothing")
    return came[0] - started


def in_the_hypervisor(kit: Kit, progress: Progress) -> Iterator[Row]:
    """One boot of the hypervisor's benchmark kernel."""
    progress("making guests")
    files = {"marks.elf": bench_guests.marks(), "touch.elf": bench_guests.touch(),
             "small.elf": bench_guests.sized(1), "large.elf": bench_guests.sized(256)}
    progress("measuring guests")
    yield from _rows(IN_THE_HYPERVISOR, kit.files["bench.elf"], files)


def in_the_process_layer(kit: Kit, progress: Progress) -> Iterator[Row]:
    """One boot of the process layer's benchmark kernel."""
    progress("measuring programs")
    files = {"bench.elf": kit.files["user/bench.elf"].read_bytes()}
    yield from _rows(IN_THE_PROCESS_LAYER, kit.files["proc_bench.elf"], files)


def _rows(comparisons: Iterable[Comparison], kernel: Path, files: dict[str, bytes]) -> Iterator[Row]:
    with TemporaryDirectory() as folder:
        module = Path(folder, "module.img")
        module.write_bytes(file_system_image(files))
        samples = _samples(_boot(kernel, module))
    for name, ours, theirs, what, against, unit, bound in comparisons:
        if not samples.get((name, ours)) or not samples.get((name, theirs)):
            raise CannotRun(f"the benchmark kernel did not measure {name}")
        scale = 1e-3 if unit == "us" else 1.0
        yield Row(name, what, against, unit, tuple(value * scale for value in samples[name, ours]),
                  tuple(value * scale for value in samples[name, theirs]), bound)


def _boot(kernel: Path, module: Path) -> str:
    serial = bytearray()
    configuration = machines.Configuration(kernel=kernel, module=module, cpus=1, memory_mib=MEMORY_MIB)
    with machines.machine(MACHINE).start(configuration, serial.extend) as running:
        end = running.wait(WALL_SECONDS)
    text = serial.decode("utf-8", "replace")
    if end.reason != machines.POWERED_OFF or "bench done" not in text:
        raise CannotRun(f"the benchmark kernel did not come to its end ({end.reason}):\n{text[-2000:]}")
    return text


def _samples(text: str) -> Samples:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[0] == "bench":
            found[words[1], words[2]].append(float(words[3]))
    return {key: tuple(values) for key, values in found.items()}


MEASUREMENTS = (
    ([row[0] for row in IN_THE_HYPERVISOR], in_the_hypervisor),
    ([row[0] for row in IN_THE_PROCESS_LAYER], in_the_process_layer),
    (["first-byte"], first_byte),
)
"""what can be measured together, by the names of the rows"""


def show(rows: Iterable[Row], to_stderr: bool) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="medians, both sides of a row in one run", title_justify="left")
    for heading in ("row", "what", "median", "against", "median", "ratio", "bound", ""):
        table.add_column(heading, justify="right" if heading in ("median", "ratio", "bound") else "left")
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound:g}x"
        table.add_row(row.name, row.what, _number(row.ours, row.unit), row.against,
                      _number(row.theirs, row.unit), f"{row.ratio:.2f}x", bound, row.verdict)
    stream = sys.stderr if to_stderr else sys.stdout
    Console(file=stream, width=None if stream.isatty() else 160).print(table)


def _number(samples: tuple[float, ...], unit: str) -> str:
    median = statistics.median(samples)
    return f"{median:.0f} {unit}" if median >= 100 else f"{median:.2f} {unit}"
