# SPDX-License-Identifier: MIT
"""The first steps of the command, on the standard library alone: refuse what cannot be meant, see
that the Debian packages of the verb are there, install them where that needs no question, and hand
over to grader/verbs/cli.py.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

IS_X86_64 = platform.machine() == "x86_64"

COMMAND = ("python3-click", "python3-rich", "python3-jsonschema")
BUILD = ("g++", "cmake", "ninja-build", "ccache", "mold", "libgtest-dev", "binutils", "python3-pyelftools",
         "bubblewrap", "util-linux", *(() if IS_X86_64 else ("g++-x86-64-linux-gnu", "binutils-x86-64-linux-gnu")))
EMULATE = ("qemu-system-x86", "bochs", "bochs-term", "bochsbios", "vgabios")
GRADE = (*COMMAND, *BUILD, *EMULATE, "python3-pytest")
GRUB = ("grub-pc-bin", "grub-common", "xorriso", "mtools") if IS_X86_64 else ()
"""For ISO images. Debian has GRUB for BIOS machines on x86 only; elsewhere kernels are entered by
PVH alone."""
RUN = (*COMMAND, *BUILD, *EMULATE, *GRUB)
GDB = "gdb" if IS_X86_64 else "gdb-multiarch"
HANDOUTS = (*COMMAND, *BUILD, "doxygen", "graphviz", "python3-jinja2")
MUTATE = ("python3-clang-19",)
"""For `nest verify --mutate`: clang's library, and Python's way to it."""
TEST = (*GRADE, *RUN, *HANDOUTS, "clang-format-19", "clang-tidy-19", "libclang-rt-19-dev", GDB,
        "python3-defusedxml", "git", "python3-yaml", "python3-capstone", *MUTATE)
STUDENT = (*GRADE, *RUN, *HANDOUTS, GDB, "git")
"""For all verbs of a student's tree."""
CLASS = (*GRADE, "git", "python3-yaml")
REPORT = (*COMMAND, "python3-jinja2")
"""For `nest report`. It looks for answers that are alike where similarity-tester is installed;
Debian 13 has none."""
LONG = {"arm64": ("g++-aarch64-linux-gnu", "qemu-user", "googletest"), "clang": ("clang-19",),
        "slurm": ("slurm-wlm", "munge")}
"""For the long parts of `nest test`."""

PACKAGES: dict[str, tuple[str, ...]] = {
    "": (*COMMAND,),
    "help": COMMAND,
    "labs": COMMAND,
    "whoami": COMMAND,
    "award": COMMAND,
    "setup": TEST if (ROOT / "grader" / "verbs" / "test.py").exists() else STUDENT,
    "doctor": COMMAND,
    "grade": GRADE,
    "verify": GRADE,
    "bench": tuple(dict.fromkeys((*RUN, *CLASS))),
    "run": RUN,
    "debug": (*RUN, GDB),
    "handouts": HANDOUTS,
    "test": TEST,
    "pack": GRADE,
    "grade-all": CLASS,
    "replay": CLASS,
    "work": CLASS,
    "compare": COMMAND,
    "update": (*COMMAND, "git"),
    "release": TEST,
    "export": (*COMMAND, "git"),
    "report": REPORT,
}
"""What each verb needs. Of an unknown verb the command itself will speak."""

TAKE_A_LAB = ("grade", "run", "debug", "pack", "award", "verify")
WRITE = ("--json", "--junit")
"""Options whose value is a file to be written, or `-`."""

OLDEST = {"debian": 12 if IS_X86_64 else 13, "ubuntu": 24.04}
"""The oldest releases that have these packages, all by the same names, in versions that are new
enough. A processor that orders memory less strictly than x86 needs QEMU 8.1: before, several CPUs
could see each other's stores out of order."""
CONTAINER = "  mend: build the container of this tree's Containerfile and work in it; see README, \"Every host\""

DPKG_STATUS = Path("/var/lib/dpkg/status")


def needed(argv: list[str]) -> tuple[str, ...]:
    """The packages for a command line."""
    verb = next((word for word in argv if not word.startswith("-")), "")
    if "--help" in argv or "-h" in argv:
        verb = ""
    packages = PACKAGES.get(verb, PACKAGES[""])
    if verb == "test":
        for part, more in LONG.items():
            if not {"--long", part}.isdisjoint(argv):
                packages += more
    if verb == "verify" and "--mutate" in argv:
        packages += MUTATE
    return tuple(dict.fromkeys(packages))


def refused(argv: list[str]) -> str:
    """What is wrong with a command line, where that can be told before anything is installed; else
    empty."""
    words = [word for word in argv if not word.startswith("-")]
    if not words or "--help" in argv or "-h" in argv:
        return ""
    verb, *rest = words
    if verb not in PACKAGES or not (verb == "help" or module(verb).exists()):
        verbs = ", ".join(name for name in PACKAGES if name and (name == "help" or module(name).exists()))
        return f"there is no verb '{verb}'; the verbs are: {verbs}"
    labs = [folder.parent.name for folder in sorted((ROOT / "labs").glob("*/lab.json"))]
    names = {name for folder in labs for name in (folder, folder.partition("-")[0], folder.partition("-")[2])}
    if verb in TAKE_A_LAB and not names & {word.rstrip("/").rpartition("/")[2] for word in rest}:
        # What follows an option may be its value.
        named = [word for before, word in zip(argv, argv[1:]) if word in rest and not before.startswith("-")]
        what = f"there is no lab '{(named or rest)[0]}'" if rest else "which lab?"
        if named or verb != "verify":
            return f"{what} The labs are: {', '.join(labs) or 'none'}".replace("' The", "'; the")
    for option in WRITE:
        for before, word in zip(["", *argv], argv):
            target = word.partition("=")[2] if word.startswith(f"{option}=") else word if before == option else "-"
            folder = Path(target).parent
            if target != "-" and (Path(target).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK)):
                return f"{option} {target}: no file can be written there; name one in a folder that can be written"
    return ""


def module(verb: str) -> Path:
    """The file of a verb; a release has no verbs of staff."""
    return ROOT / "grader" / "verbs" / f"{verb.replace('-', '_')}.py"


def plain_help(verb: str) -> str:
    """Help where the packages are missing that could say more."""
    lines = {name: text for name, text in (line.split(": ", 1) for line in HELP.splitlines())}
    known = [f"  {name:<10}{text}" for name, text in lines.items() if module(name).exists()]
    one = f"nest {verb}: {lines[verb]}\n" if verb in lines else "Usage: nest VERB [OPTIONS]\n" + "\n".join(known) + "\n"
    return f"{one}All options are shown once ./nest setup has installed what it needs."


HELP = """\
setup: Install what the command needs and build the kit.
doctor: Say what is installed and what works here, and the mend for the rest.
run: Boot the lab's kernel, with the serial line on this terminal. Usage: nest run LAB
grade: Judge the answers to a lab and show the score. Usage: nest grade LAB
award: Enter points for answers that a person reads. Usage: nest award LAB FILE
debug: Boot under gdb, with the symbols of host and guest. Usage: nest debug LAB
labs: List the labs and how far you are.
whoami: Say who you are, for what you hand in. Usage: nest whoami --name NAME --id ID
pack: Grade a lab afresh and pack its answers to be handed in. Usage: nest pack LAB
update: Take over a newer release; your answers stay as they are. Usage: nest update FROM
handouts: Build the pages for students.
test: Run the project's own tests.
verify: Prove that a lab's tests tell right answers from wrong ones.
bench: Measure what README promises.
grade-all: Judge a class's submissions to a lab. Usage: nest grade-all DIR --lab LAB --out RESULTS
replay: Judge one of a class's submissions once more. Usage: nest replay STUDENT --results RESULTS
compare: Show which verdicts differ between two gradings of a class. Usage: nest compare OLD NEW
work: A worker of grade-all. Nobody types it.
export: Put a class's results into other systems' forms. Usage: nest export FORMAT --results RESULTS --out OUT
report: Show a class's results on one page for staff. Usage: nest report --results RESULTS --out class.html
release: Make the students' tree, without answers, and prove it. Usage: nest release OUT"""


def system() -> dict[str, str]:
    """What /etc/os-release says."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def unfit(release: dict[str, str]) -> str:
    """Why packages cannot be had on this system, with the mend; empty if they can."""
    name = release.get("PRETTY_NAME", "a system without /etc/os-release")
    if not shutil.which("dpkg-query"):
        return f"this is {name}: nest knows the packages of Debian and Ubuntu only\n{CONTAINER}"
    oldest = OLDEST.get(release.get("ID", ""))
    if oldest and float(release.get("VERSION_ID", oldest)) < oldest:
        return f"this is {name}, which is too old: nest needs Debian {OLDEST['debian']} or Ubuntu {OLDEST['ubuntu']}\n{CONTAINER}"
    return ""


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those of the packages that dpkg does not know as installed."""
    listing = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True, text=True, check=False).stdout
    there = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in there]


def stamp(packages: tuple[str, ...]) -> str:
    """Says which packages were seen installed, and in which state of dpkg's own list."""
    try:
        status = DPKG_STATUS.stat()
        state = f"{status.st_mtime_ns} {status.st_size}"
    except OSError:
        state = "no dpkg"
    return f"{state} {' '.join(packages)}\n"


def install_command(packages: list[str]) -> list[str]:
    """What installs packages, without the sudo."""
    return ["apt-get", "install", "-y", "--no-install-recommends", *packages]


def install_line(packages: list[str]) -> str:
    """The whole line for a person to run: without sudo where they are root or there is none."""
    sudo = "sudo " if os.geteuid() != 0 and shutil.which("sudo") else ""
    line = f"{sudo}apt-get update && {sudo}{' '.join(install_command(packages))}"
    return line if sudo or os.geteuid() == 0 else f"su -c '{line}'"


def privilege() -> list[str] | None:
    """The words before a command that make it root's: none, a sudo that asks nothing, or not
    possible."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(
            ["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        return ["sudo", "-n"]
    return None


def install(packages: list[str]) -> bool:
    """Installs, if that can be done without a question; whether it worked."""
    before = privilege()
    if before is None or not shutil.which("apt-get"):
        return False
    print(f"nest: installing {' '.join(packages)}", file=sys.stderr, flush=True)
    quiet = [*before, "env", "DEBIAN_FRONTEND=noninteractive"]
    for command in (["apt-get", "update", "-qq"], [*install_command(packages), "-qq"]):
        done = subprocess.run([*quiet, *command], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            print(done.stdout + done.stderr, file=sys.stderr)
            if "install" in command:
                return False
    return True


def prepare(packages: tuple[str, ...], stamps: Path) -> int:
    """Sees that the packages are there; the exit status if they are not."""
    name = stamps / f".packages-{zlib.crc32(' '.join(packages).encode()):08x}"
    wanted = stamp(packages)
    try:
        if name.read_text() == wanted:
            return 0
    except OSError:
        pass
    release = system()
    why = unfit(release)
    if why:
        print(f"nest: {why}", file=sys.stderr)
        return 3
    lacking = missing(packages)
    if lacking:
        if not install(lacking) or missing(packages):
            if release.get("ID") == "ubuntu":
                print("nest: some are in the component universe: sudo add-apt-repository universe", file=sys.stderr)
            print("nest: packages are missing. Please run:", file=sys.stderr)
            print(install_line(missing(packages)), file=sys.stderr)
            return 3
        wanted = stamp(packages)
    try:
        stamps.mkdir(parents=True, exist_ok=True)
        name.write_text(wanted)
    except OSError:
        pass  # only slower next time
    return 0


def main() -> int:
    """The command; with `--packages`, for the Containerfile, only the names of the packages of all
    verbs."""
    if sys.argv[1:] == ["--packages"]:
        print(*dict.fromkeys(TEST), sep="\n")
        return 0
    sys.path[0:0] = [str(ROOT)]
    from grader.verbs.narrow import fold_terminals

    fold_terminals()
    if why := refused(sys.argv[1:]):
        print(f"nest: {why}", file=sys.stderr)
        return 2
    packages = needed(sys.argv[1:])
    if {"-h", "--help"} & set(sys.argv[1:]) and missing(packages):
        print(plain_help(next((word for word in sys.argv[1:] if not word.startswith("-")), "")))
        return 0
    status = prepare(packages, ROOT / "build")
    if status:
        return status
    from grader.verbs.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
