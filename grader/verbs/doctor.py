# SPDX-License-Identifier: MIT
"""``nest doctor``: what is installed, what works here, and the mend for the rest.

Machines, sanitizers and the sandbox are tried, not looked up. It ends with 0 if grading can work
and with 3 if not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from grader import CANNOT_RUN, DONE, CannotRun
from grader.verbs import bootstrap
from grader.verbs.options import sandbox_option

OK = "works"
LIMITED = "limited"
MISSING = "missing"

PAGE_BYTES = 4096
"""The host tests put frames of this size at fixed addresses."""
SHM_MIB = 512
DISK_MIB = 1024
COLUMNS = 80


@dataclass(frozen=True)
class Row:
    """One thing that was looked at."""

    name: str
    needed_for: str
    """``grading``, or the verb that cannot do without"""
    state: str
    detail: str
    mend: str = ""

    @property
    def stops_grading(self) -> bool:
        return self.needed_for == "grading" and self.state == MISSING


@dataclass(frozen=True)
class Tool:
    """A program, asked for its version."""

    name: str
    package: str
    needed_for: str
    at_least: tuple[int, ...] = ()
    ask: str = "--version"


TOOLS = (
    Tool("g++", "g++", "grading", (12,)),
    Tool("cmake", "cmake", "grading", (3, 25)),
    Tool("ninja", "ninja-build", "grading"),
    *(
        (Tool("ld", "binutils", "grading"),)
        if bootstrap.IS_X86_64
        else (
            Tool("x86_64-linux-gnu-g++", "g++-x86-64-linux-gnu", "grading", (12,)),
            Tool("x86_64-linux-gnu-ld", "binutils-x86-64-linux-gnu", "grading"),
        )
    ),
    Tool("qemu-system-x86_64", "qemu-system-x86", "grading", (7, 2)),
    Tool("ccache", "ccache", "fast builds"),
    Tool("mold", "mold", "fast builds"),
    *(
        (
            Tool("grub-mkrescue", "grub-common", "run"),
            Tool("xorriso", "xorriso", "run", ask="-version"),
            Tool("mformat", "mtools", "run"),
        )
        if bootstrap.GRUB
        else ()
    ),
    Tool(bootstrap.GDB, bootstrap.GDB, "debug", (12,)),
    Tool("doxygen", "doxygen", "handouts"),
    Tool("dot", "graphviz", "handouts", ask="-V"),
    Tool("clang-format-19", "clang-format-19", "test", (19,)),
    Tool("clang-tidy-19", "clang-tidy-19", "test", (19,)),
    Tool("clang++-19", "clang-19", "test", (19,)),
)
MODULES = (
    ("click", "python3-click", "grading"),
    ("rich", "python3-rich", "grading"),
    ("jsonschema", "python3-jsonschema", "grading"),
    ("elftools", "python3-pyelftools", "grading"),
    ("pytest", "python3-pytest", "grading"),
    ("jinja2", "python3-jinja2", "handouts"),
    ("clang", "python3-clang-19", "verify --mutate"),
)

TRIED = ("bookworm", "trixie")
"""The releases that the project's own tests run on."""

MACHINES = (("amd-qemu", "grading"), ("intel-bochs", "labs 2 and 3"), ("amd-bochs", "--machine"))
"""And what needs each: only without the first can nothing be graded."""

# A program that a sanitizer must let through, and one line more that it must not.
SANITIZED = """
#include <atomic>
#include <cstdlib>
#include <thread>
int counter;
std::atomic<bool> counted;
int main(int count, char**) {
    char* text = static_cast<char*>(std::malloc(8));
    std::thread other{[] { ++counter; counted.store(true, std::memory_order_relaxed); }};
    while (!counted.load(std::memory_order_relaxed)) {}
    if (count > 1) ++counter;
    other.join();
    if (count > 1) text[8] = 1;
    std::free(text);
}
"""
SANITIZERS = (("address", "heap-buffer-overflow"), ("thread", "data race"))


@click.command()
@click.option("--json", "json_file", metavar="FILE", help="Write what was found to FILE; - is standard output.")
@sandbox_option
def command(json_file: str | None) -> int:
    """Looks at this machine: what is installed, what works, and the mend for what does not."""
    rows = list(examine())
    if json_file:
        text = json.dumps({"rows": [asdict(row) for row in rows], "grading": can_grade(rows)}, indent=2)
        if json_file == "-":
            print(text)
        else:
            Path(json_file).write_text(text + "\n")
    if json_file != "-":
        show(rows)
    return DONE if can_grade(rows) else CANNOT_RUN


def can_grade(rows: list[Row]) -> bool:
    """Whether nothing is missing that grading needs."""
    return not any(row.stops_grading for row in rows)


def examine() -> Iterator[Row]:
    """Looks at one thing after the other. Never fails: what fails is a row."""
    yield _system(bootstrap.system())
    yield _python()
    for module, package, needed_for in MODULES:
        if _is_ours(needed_for):
            yield _module(module, package, needed_for)
    for tool in TOOLS:
        if _is_ours(tool.needed_for):
            yield _tool(tool)
    yield _file("GoogleTest", "/usr/include/gtest/gtest.h", "libgtest-dev", "grading")
    yield _grub()
    yield _guarded("sandbox", "isolation", _sandbox)
    for machine, needed_for in MACHINES:
        yield _guarded(
            f"machine {machine}", needed_for, lambda name, m=machine, n=needed_for: _machine(name, m, n)
        )
    yield _guarded("address randomization", "speed", _randomization)
    for sanitizer, finding in SANITIZERS:
        yield _guarded(
            f"{sanitizer} sanitizer", "grading", lambda name, s=sanitizer, f=finding: _sanitizer(name, s, f)
        )  # fmt: skip
    yield _room("room in /dev/shm", Path("/dev/shm"), SHM_MIB, "mount -o remount,size=1G /dev/shm")
    yield _room("room for build/", Path(__file__).resolve().parents[2], DISK_MIB, "make room on this disk")
    yield _terminal()


def _is_ours(needed_for: str) -> bool:
    """Whether this tree has what something is needed for: a release has no verbs of staff."""
    verb = needed_for.partition(" ")[0]
    return verb not in bootstrap.PACKAGES or bootstrap.module(verb).exists()


def _guarded(name: str, needed_for: str, look: Callable[[str], Row]) -> Row:
    try:
        return look(name)
    except ImportError as problem:
        return Row(name, needed_for, MISSING, str(problem), "install what is missing above")
    except (CannotRun, OSError, subprocess.SubprocessError) as problem:
        text = str(problem).splitlines() or [type(problem).__name__]
        mend = getattr(problem, "mend", "") or "see above"
        return Row(name, needed_for, MISSING, text[0], mend)


def _system(release: dict[str, str]) -> Row:
    name = f"{release.get('PRETTY_NAME', '?')} on {platform.machine()}"
    page = os.sysconf("SC_PAGE_SIZE")
    if page != PAGE_BYTES:
        return Row(
            "system", "grading", MISSING, f"{name}; its pages have {page} bytes, and the tests need {PAGE_BYTES}",
            "a Linux kernel with pages of 4 KiB; on a Raspberry Pi 5 kernel=kernel8.img in config.txt",
        )  # fmt: skip
    if release.get("VERSION_CODENAME") in TRIED and bootstrap.IS_X86_64:
        return Row("system", "grading", OK, name)
    return Row(
        "system", "grading", LIMITED, f"{name}; not one of those that are tested: Debian {' and '.join(TRIED)} on x86_64",
        "the rows below tell what works; the container of ./Containerfile is the same everywhere",
    )  # fmt: skip


def _grub() -> Row:
    if not bootstrap.GRUB:
        return Row("GRUB for BIOS machines", "run --grub", LIMITED, "Debian has none for this processor; "
                   "`nest run` enters the kernel by PVH")  # fmt: skip
    return _file("GRUB for BIOS machines", "/usr/lib/grub/i386-pc/modinfo.sh", "grub-pc-bin", "run")


def _python() -> Row:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Row(
        "Python", "grading", OK if good else MISSING, f"{version}, {sys.executable}",
        "" if good else "Debian 12 or later has Python 3.11",
    )  # fmt: skip


def _module(module: str, package: str, needed_for: str) -> Row:
    if importlib.util.find_spec(module) is None:
        return Row(package, needed_for, MISSING, "not installed", _install(package))
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("pyelftools" if module == "elftools" else module)
    except PackageNotFoundError:
        found = "installed"
    return Row(package, needed_for, OK, found)


def _tool(tool: Tool) -> Row:
    path = shutil.which(tool.name)
    if path is None:
        return Row(tool.name, tool.needed_for, MISSING, "not installed", _install(tool.package))
    try:
        told = subprocess.run(
            [path, tool.ask], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        return Row(tool.name, tool.needed_for, MISSING, f"does not start: {problem}", _install(tool.package))
    found = re.search(r"(\d+(?:\.\d+)+)", told.stdout + told.stderr)
    if found is None:
        return Row(tool.name, tool.needed_for, OK, path)
    numbers = tuple(map(int, found[1].split(".")))
    if numbers < tool.at_least:
        wanted = ".".join(map(str, tool.at_least))
        return Row(
            tool.name, tool.needed_for, MISSING, f"{found[1]}; {wanted} or later is wanted",
            _install(tool.package),
        )  # fmt: skip
    return Row(tool.name, tool.needed_for, OK, found[1])


def _file(name: str, path: str, package: str, needed_for: str) -> Row:
    if Path(path).exists():
        return Row(name, needed_for, OK, path)
    return Row(name, needed_for, MISSING, "not installed", _install(package))


def _sandbox(name: str) -> Row:
    from grader.confine import sandbox

    status = sandbox.status()
    return Row(name, "isolation", OK if status.isolated else LIMITED, status.detail, status.mend)


def _machine(name: str, machine_name: str = "amd-qemu", needed_for: str = "grading") -> Row:
    from grader import machines
    from grader.machines.probe import try_machine

    machine = machines.machine(machine_name)
    found = try_machine(machine)
    lacking = found.lacks(machine.vendor)
    if lacking:
        return Row(
            name, needed_for, MISSING, f"its CPU has no {lacking}", f"a later version: {machine.install}"
        )
    abilities = {"amd": "SVM, nested paging", "intel": "VMX, EPT"}[machine.vendor]
    took = f"started and ended in {found.seconds * 1000:.0f} ms"
    tried = f"tested with {' and '.join(machine.tried)}"
    return Row(name, needed_for, OK, f"{machine.check()} ({tried}); {took}; {abilities}")


def _randomization(name: str) -> Row:
    from grader.confine import host_program

    if host_program.without_randomization():
        return Row(name, "speed", OK, "test programs are started without it")
    return Row(
        name, "speed", LIMITED, "cannot be switched off here for test programs (no personality, as in some containers); "
        f"those of ThreadSanitizer may have to be started up to {host_program.STARTS} times", host_program.MEND,
    )  # fmt: skip


def _sanitizer(name: str, sanitizer: str, finding: str) -> Row:
    from grader.confine import host_program, sandbox

    # Where grading builds and runs programs too: a folder for temporary files may forbid that.
    build = Path(__file__).resolve().parents[2] / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=build) as folder:
        place = Path(folder)
        (place / "a.cc").write_text(SANITIZED)
        built = sandbox.run(
            ["g++", f"-fsanitize={sanitizer}", "-fno-pie", "-no-pie", "a.cc", "-o", "a"], timeout=120,
            cwd=place, writable=[place],
        )
        if not built.ok:
            text = (built.stderr.strip() or built.ended()).splitlines()[-1]
            return Row(name, "grading", MISSING, text, _install("g++"))
        command = [*host_program.without_randomization(), place / "a"]
        good, bad = (
            host_program.started(lambda: sandbox.run(words, timeout=60, cwd=place, readable=[place]))
            for words in (command, [*command, "wrong"])
        )
    if not good.ok:
        text = (good.stderr.strip() or good.ended()).splitlines()[0]
        return Row(
            name, "grading", MISSING, f"cannot start: {text}", host_program.MEND,
        )  # fmt: skip
    if bad.ok or finding not in bad.stderr:
        return Row(name, "grading", MISSING, f"does not find a {finding}", _install("g++"))
    return Row(name, "grading", OK, f"finds a {finding}")


def _room(name: str, folder: Path, wanted_mib: int, mend: str) -> Row:
    try:
        status = os.statvfs(folder)
    except OSError as problem:
        return Row(name, "speed", LIMITED, problem.strerror or str(problem), mend)
    free = status.f_bavail * status.f_frsize >> 20
    if not os.access(folder, os.W_OK):
        return Row(name, "speed", LIMITED, "cannot be written", mend)
    if free < wanted_mib:
        return Row(name, "speed", LIMITED, f"{free} MiB; {wanted_mib} are wanted", mend)
    return Row(name, "speed", OK, f"{free} MiB")


def _terminal() -> Row:
    if not sys.stdout.isatty():
        return Row("terminal", "colours", OK, "none: output is plain")
    columns = shutil.get_terminal_size().columns
    if columns < COLUMNS:
        return Row("terminal", "colours", LIMITED, f"{columns} columns", f"{COLUMNS} columns are better")
    return Row("terminal", "colours", OK, f"{os.environ.get('TERM', '?')}, {columns} columns")


def show(rows: list[Row]) -> None:
    """A line for each, below it the mend where one is needed; then the conclusion."""
    colours = {OK: "green", LIMITED: "yellow", MISSING: "red"} if sys.stdout.isatty() else {}
    for row in rows:
        state = click.style(row.state, fg=colours.get(row.state)) + " " * (8 - len(row.state))
        needed = f" (for {row.needed_for})" if row.state != OK else ""
        print(f"{state} {row.name}: {row.detail}{needed}")
        if row.mend:
            print(f"{'':8} mend: {row.mend}")
    stopping = [row.name for row in rows if row.stops_grading]
    if stopping:
        print(f"grading cannot work here: {', '.join(stopping)}")
    else:
        print("grading can work here")


def _install(package: str) -> str:
    return f"apt-get install {package}"
