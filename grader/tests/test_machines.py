# SPDX-License-Identifier: MIT
"""The machine tells how a kernel ended, shows its memory, and leaves nothing behind."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

from grader import machines
from grader.confine import sandbox
from grader.confine.processes import descendants
from grader.evidence.memory import EvidenceError
from grader.evidence.vms import VmState
from grader.machines import MachineError, amd_qemu, bochs_command, probe, slots
from grader.machines.bochs_boot import RAM_AT, direct_boot
from grader.machines.slots import emulator_slot
from grader.testkit.boot import BootResult, run_boot
from grader.testkit.images import Segment, elf_image
from grader.testkit.plans import VmPlan
from grader.tests import tiny_kernel
from grader.tests.test_evidence import make_block, make_record
from grader.tests.tiny_kernel import power_off, say

PLAN = [VmPlan("alpha", "guest")]


@pytest.fixture(params=["amd-qemu", "intel-bochs"])
def machine(request: pytest.FixtureRequest) -> str:
    """Each emulator; skipped where it is not installed."""
    try:
        machines.machine(request.param).check()
    except MachineError as problem:
        pytest.skip(str(problem))
    return request.param


def boot(folder: Path, code: str, **options) -> BootResult:
    kernel = tiny_kernel.build(folder, code)
    options.setdefault("seconds", 20)
    return run_boot(
        kernel, {"guest": b"x"}, PLAN, cpus=2, memory_mib=64,
        transcript_dir=folder / "transcript", **options,
    )  # fmt: skip


def test_a_transcript_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module, which the seed makes again, goes; of what was printed the beginning and the end
    stay."""
    result = boot(tmp_path, say("begin" + "x" * 40_000 + "end\n") + power_off(0))
    folder = tmp_path / "transcript"
    serial = (folder / "serial.txt").read_text()
    assert len(result.serial) > 40_000 and serial.startswith("begin") and "characters are left out" in serial
    assert "end\n" in serial and sum(path.stat().st_size for path in folder.iterdir()) < 32 << 10
    assert not (folder / "module.img").exists()
    monkeypatch.setenv("NEST_KEEP_MODULES", "1")
    boot(tmp_path, power_off(0))
    assert (folder / "module.img").stat().st_size > 0


@pytest.mark.parametrize("status", [0, 42, 69, 120])
def test_power_off_gives_its_status(tmp_path: Path, machine: str, status: int) -> None:
    result = boot(tmp_path, power_off(status), machine=machine)
    assert (result.ended, result.status) == ("powered off", status)
    assert result.serial == f"power off: {status}\n"
    assert (tmp_path / "transcript" / "serial.txt").read_text() == result.serial
    assert (tmp_path / "transcript" / "plan").read_text().startswith("vm name=alpha file=guest ")
    assert descendants(os.getpid()) == []


def test_memory_is_there_after_the_end(tmp_path: Path, machine: str) -> None:
    code = "movl $0x12345678, 0x200000\nmovl $0x9abcdef0, 0x3f00000\n"
    result = boot(tmp_path, code + power_off(0), machine=machine)
    assert result.memory.read(0x200000, 4) == b"\x78\x56\x34\x12"
    assert result.memory.read(0x3F00000, 4) == b"\xf0\xde\xbc\x9a"
    assert result.memory.size == 64 << 20


def test_module_reaches_the_kernel(tmp_path: Path, machine: str) -> None:
    # hvm_start_info: the list of modules at 16; its first word is the module's address.
    code = "mov 16(%ebx), %ecx\nmov (%ecx), %ecx\nmov (%ecx), %edx\nmov %edx, 0x200000\n"
    result = boot(tmp_path, code + "mov $0x3f8, %dx\n" + power_off(0), machine=machine)
    assert result.memory.read(0x200000, 4) == b"NEST"


def test_evidence_is_read(tmp_path: Path, machine: str) -> None:
    block = make_block([make_record(name="alpha", state=VmState.EXITED, status=7)])
    result = boot(tmp_path, tiny_kernel.evidence_symbol(block) + power_off(0), machine=machine)
    assert result.vm("alpha").status == 7
    assert result.evidence is not None and result.evidence.finished


def test_missing_evidence_says_how_the_boot_ended(tmp_path: Path) -> None:
    result = boot(tmp_path, say("words\n") + power_off(3))
    assert result.evidence is None
    with pytest.raises(EvidenceError, match="powered off with 3; its last words: 'words"):
        result.vm("alpha")


TRIPLE_FAULT = "lidt zero\nint3\n.data\nzero: .long 0, 0\n.text\n"
RESETS = {
    "keyboard": "mov $0xfe, %al\nout %al, $0x64\nspin: jmp spin\n",
    "port cf9": "mov $6, %al\nmov $0xcf9, %dx\nout %al, %dx\nspin: jmp spin\n",
    "port 92": "in $0x92, %al\nor $1, %al\nout %al, $0x92\nspin: jmp spin\n",
}
ACPI_OFF = "mov $0x2000, %eax\nmov $0x604, %dx\nout %ax, %dx\nmov $0xb004, %dx\nout %ax, %dx\nspin: jmp spin\n"


def test_triple_fault_is_told_from_a_reset(tmp_path: Path, machine: str) -> None:
    result = boot(tmp_path, say("up\n") + TRIPLE_FAULT, machine=machine)
    assert (result.ended, result.status) == ("triple fault", None)
    assert "reset by a triple fault of the host kernel" in result.explain()


@pytest.mark.parametrize("way", RESETS)
def test_reset_by_a_port_is_no_triple_fault(tmp_path: Path, machine: str, way: str) -> None:
    result = boot(tmp_path, say("up\n") + RESETS[way], machine=machine)
    assert (result.ended, result.status) == ("reset", None)
    assert "the kernel reset the machine, by port" in result.explain()


def test_power_off_by_acpi_is_no_reset_and_has_no_status(tmp_path: Path, machine: str) -> None:
    result = boot(tmp_path, say("up\n") + ACPI_OFF, machine=machine)
    assert (result.ended, result.status) == ("powered off", None)
    assert "switched the machine off by its ACPI port" in result.explain()


def test_hung_machine_shows_where_it_was(tmp_path: Path, machine: str) -> None:
    code = "movl $0x12345678, 0x200000\n" + say("up\n") + ".type spin, @function\nspin: jmp spin\n"
    result = boot(tmp_path, code, seconds=2, machine=machine)
    assert result.ended == "timeout" and result.serial == "up\n"
    assert "spin+0x0 (kernel)" in result.registers.splitlines()[0]
    assert "CR3=" in result.registers and "CPU 1:" in result.registers
    assert (tmp_path / "transcript" / "registers.txt").read_text() == result.registers
    assert result.memory.read(0x200000, 4) == b"\x78\x56\x34\x12"
    assert descendants(os.getpid()) == []


def test_qemu_may_start_nothing(tmp_path: Path) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for pid in descendants(os.getpid()):
                with contextlib.suppress(OSError):
                    place = Path(f"/proc/{pid}")
                    if place.joinpath("comm").read_text().startswith("qemu-system"):
                        seen.update(line for line in place.joinpath("status").read_text().splitlines()
                                    if line.startswith("Seccomp:"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        boot(tmp_path, "spin: jmp spin\n", machine="amd-qemu", seconds=3)
    finally:
        done.set()
        watcher.join()
    assert "Seccomp:\t2" in seen, seen


def test_halted_cpu_is_seen(tmp_path: Path, machine: str) -> None:
    result = boot(tmp_path, say("up\n") + "cli\nhlt\n", seconds=2, machine=machine)
    assert ", halted: " in result.registers.splitlines()[0]


def test_endless_output_is_cut(
    tmp_path: Path, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grader.testkit.boot.SERIAL_BYTES", 1000)
    result = boot(tmp_path, "flood:" + say("x") + "jmp flood\n", machine=machine)
    assert result.ended == "too much output"


def test_missing_emulator_is_no_fault_of_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amd_qemu, "PROGRAM", "qemu-system-none")
    amd_qemu._version.cache_clear()
    with pytest.raises(machines.MachineError, match="not installed") as caught:
        boot(tmp_path, power_off(0))
    amd_qemu._version.cache_clear()
    assert "apt-get install" in caught.value.mend


def test_broken_emulator_is_reported_with_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amd_qemu, "PROGRAM", "false")
    amd_qemu._version.cache_clear()
    with pytest.raises(machines.MachineError, match="does not start: it ended with 1") as caught:
        boot(tmp_path, power_off(0))
    amd_qemu._version.cache_clear()
    assert "--reinstall" in caught.value.mend


def test_emulator_that_dies_at_start_is_no_fault_of_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amd_qemu, "FAST_BIOS", Path("/usr/share"))
    with pytest.raises(machines.MachineError, match="ended before the kernel ran"):
        boot(tmp_path, power_off(0))


@pytest.mark.parametrize("ground", ["isolated", "plain"])
@pytest.mark.parametrize(("number", "reason", "words"), [
    (signal.SIGSEGV, "died", "the emulator itself ended, which no kernel should be able to do: {} died of SIGSEGV"),
    (signal.SIGABRT, "died", "the emulator itself ended, which no kernel should be able to do: {} died of SIGABRT"),
    (signal.SIGKILL, "killed", "was killed from outside, which is no fault of the kernel: {} got SIGKILL"),
    (signal.SIGTERM, "killed", "was killed from outside, which is no fault of the kernel: {} got SIGTERM"),
])
def test_end_of_the_emulator_is_told_from_an_end_of_the_kernel(
    tmp_path: Path, machine: str, ground: str, number: int, reason: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (machine, number) == ("intel-bochs", signal.SIGTERM):
        pytest.skip("Bochs goes on")
    if ground == "plain":
        monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))
    kernel = tiny_kernel.build(tmp_path, say("up\n") + "spin: jmp spin\n")
    heard = threading.Event()
    configuration = machines.Configuration(kernel=kernel, cpus=1, memory_mib=64)
    with machines.machine(machine).start(configuration, lambda _: heard.set()) as running:

        def kill() -> None:
            heard.wait(20)
            family = descendants(os.getpid())
            # The emulator is the innermost process, whatever wraps it.
            os.kill(family[-1], number)

        killer = threading.Thread(target=kill)
        killer.start()
        end = running.wait(20)
        killer.join()
    assert end.reason == reason
    assert words.format({"amd-qemu": "QEMU", "intel-bochs": "Bochs"}[machine]) in end.in_words()
    assert descendants(os.getpid()) == []


def test_last_words_of_an_emulator_are_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether evidence can be read or not."""
    fake = tmp_path / "qemu-system-fake"
    fake.write_text("#!/bin/sh\ncase $1 in --version) echo fake; exit;; esac\necho up\n"
                    "echo 'qemu: a.c:1: Assertion `it holds` failed.' >&2\nkill -ABRT $$\n")
    fake.chmod(0o755)
    monkeypatch.setattr(amd_qemu, "PROGRAM", str(fake))
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))
    amd_qemu._version.cache_clear()
    try:
        result = boot(tmp_path, power_off(0))
    finally:
        amd_qemu._version.cache_clear()
    words = "QEMU died of SIGABRT: qemu: a.c:1: Assertion `it holds` failed."
    assert result.ended == "died" and words in result.explain() and result.last_complaints() == []
    assert "Assertion `it holds`" in (result.transcript / "emulator.txt").read_text()


def test_unwritable_transcript_is_said(tmp_path: Path) -> None:
    (tmp_path / "transcript").write_text("a file")
    with pytest.raises(machines.MachineError, match="cannot be written"):
        boot(tmp_path, power_off(0))


def test_unknown_machine_names_the_others() -> None:
    with pytest.raises(machines.MachineError, match="amd-qemu"):
        machines.machine("pdp-11")


@pytest.mark.parametrize(
    "plan", [VmPlan("a b", "f"), VmPlan("a", "f\n"), VmPlan("a", "f", args="x\nvm name=b")]
)
def test_plan_cannot_be_broken_out_of(plan: VmPlan) -> None:
    with pytest.raises(ValueError):
        plan.line()


def test_plan_line() -> None:
    plan = VmPlan("a", "f", 2, hold="0x1000:2", args="x y", more={"mmio": ["0x2000", "0x3000"]})
    assert plan.line() == (
        "vm name=a file=f vcpus=2 ram=65536 limit=10000 keep=1 hold=0x1000:2 mmio=0x2000 "
        "mmio=0x3000 args=x y"
    )


def test_one_emulator_per_slot(tmp_path: Path) -> None:
    inside = threading.Semaphore(0)
    leave = threading.Event()
    most = []
    now = []

    def work() -> None:
        with emulator_slot(tmp_path, 2) as number:
            now.append(number)
            most.append(len(now))
            inside.release()
            leave.wait(20)
            now.remove(number)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        assert inside.acquire(timeout=20)
    assert not inside.acquire(blocking=False)
    leave.set()
    for thread in threads:
        thread.join(20)
    assert len(most) == 6 and max(most) == 2


def test_slot_folder_is_this_users_alone() -> None:
    folder = slots._lock_folder()
    assert folder.stat().st_uid == os.getuid()


def test_plain_ground_boots_too(
    tmp_path: Path, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))
    assert boot(tmp_path, power_off(5), machine=machine).status == 5


BOCHS = "intel-bochs"


@pytest.fixture
def bochs_installed() -> None:
    try:
        machines.machine(BOCHS).check()
    except MachineError as problem:
        pytest.skip(str(problem))


@pytest.mark.usefixtures("bochs_installed")
class TestBochs:
    """What its debugger makes different."""

    def test_magic_breakpoint_alone_is_no_end(self, tmp_path: Path) -> None:
        result = boot(tmp_path, say("up\n") + "xchg %bx, %bx\n" + power_off(9), machine=BOCHS)
        assert result.status == 9 and result.serial == "up\npower off: 9\n"

    def test_end_of_a_line_is_no_marker(self, tmp_path: Path) -> None:
        code = say("guest: power off: 0\n") + "call line_idle\nxchg %bx, %bx\n" + power_off(4)
        assert boot(tmp_path, code, machine=BOCHS).status == 4

    def test_what_bochs_found_wrong_is_kept(self, tmp_path: Path) -> None:
        """A VMXON without CR4.VMXE, and with no way to handle the fault."""
        code = say("up\n") + "vmxon (%esp)\n"
        result = boot(tmp_path, code, machine=BOCHS)
        assert result.ended == "triple fault"
        assert "exception with no resolution" in result.last_complaints()[-1]
        assert "exception with no resolution" in (result.transcript / "emulator.txt").read_text()

    def test_image_lies_in_memory_block_after_block(self, tmp_path: Path) -> None:
        """More than one of Bochs's blocks of 128 KiB, to the last byte."""
        kernel = tiny_kernel.build(tmp_path, "mov $0x3f8, %dx\n" + power_off(0))
        module = tmp_path / "module"
        module.write_bytes(os.urandom(5 << 20))
        configuration = machines.Configuration(kernel=kernel, module=module, cpus=1, memory_mib=64)
        with machines.machine(BOCHS).start(configuration, lambda _: None) as running:
            assert running.wait(20).status == 0
        ram = direct_boot(kernel, module.read_bytes(), "", 64).ram
        at = RAM_AT + len(ram) - (5 << 20)
        assert running.memory.read(at, 5 << 20) == module.read_bytes()

    def test_nothing_listens(self, tmp_path: Path) -> None:
        kernel = tiny_kernel.build(tmp_path, say("up\n") + "spin: jmp spin\n")
        configuration = machines.Configuration(kernel=kernel, cpus=1, memory_mib=64)
        with machines.machine(BOCHS).start(configuration, lambda _: None) as running:
            assert running.wait(1).reason == "timeout"
            sockets = [
                target
                for pid in descendants(os.getpid())
                for fd in Path(f"/proc/{pid}/fd").iterdir()
                if (target := os.readlink(fd)).startswith("socket:")
            ]
        assert sockets == []

    def test_what_it_cannot_do_is_said(self, tmp_path: Path) -> None:
        kernel = tiny_kernel.build(tmp_path, power_off(0))
        for options in ({"cpus": 4}, {"memory_mib": 4096}, {"stopped": True}):
            configuration = machines.Configuration(
                kernel=kernel, **{"cpus": 1, "memory_mib": 64} | options
            )
            with pytest.raises(MachineError) as caught:
                machines.machine(BOCHS).start(configuration, lambda _: None)
            assert caught.value.mend


def test_missing_bochs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bochs_command, "PROGRAM", "bochs-none")
    with pytest.raises(MachineError, match="not installed") as caught:
        machines.machine(BOCHS).check()
    assert "bochs-term" in caught.value.mend


NEW_BOCHS = """#!/bin/sh
if [ "$1" != --help ]; then echo "command line: $*" >&2; exec sleep 100; fi
echo "  -q               quick start"
{flags}
echo "             Bochs x86 Emulator {version}" >&2
"""
RC, DEBUGGER = 'echo "  -rc filename     execute"', 'echo "  -debugger        start"'


def new_bochs(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, *flags: str) -> None:
    """In the place of Bochs a program that says of itself what a Bochs would, and that does
    nothing."""
    program = folder / "bochs-new"
    program.write_text(NEW_BOCHS.format(version=version, flags="\n".join(flags)))
    program.chmod(0o755)
    monkeypatch.setattr(bochs_command, "PROGRAM", str(program))
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))


@pytest.mark.usefixtures("bochs_installed")
class TestVersions:
    """A version that does not work is told from a kernel that does not."""

    @pytest.mark.parametrize(("version", "flags", "given"), [
        ("2.7", [RC], False),  # always in its debugger, and knows no such word
        ("3.0", [DEBUGGER, RC], True),
    ])  # fmt: skip
    def test_the_debugger_is_asked_for_where_that_is_needed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, flags: list[str], given: bool
    ) -> None:
        new_bochs(tmp_path, monkeypatch, version, *flags)
        assert machines.machine(BOCHS).check().startswith(f"Bochs {version}, ")
        kernel = tiny_kernel.build(tmp_path, power_off(0))
        configuration = machines.Configuration(kernel=kernel, cpus=1, memory_mib=64)
        with machines.machine(BOCHS).start(configuration, lambda _: None) as running:
            assert ("-debugger" in running.command) is given

    def test_a_debugger_that_says_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        new_bochs(tmp_path, monkeypatch, "4.2", RC)
        with pytest.raises(MachineError, match="Bochs 4.2 asked for no command") as caught:
            boot(tmp_path, power_off(0), machine=BOCHS, seconds=1)
        assert "2.7, 3.0" in caught.value.mend

    def test_no_debugger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        new_bochs(tmp_path, monkeypatch, "3.0")
        with pytest.raises(MachineError, match="Bochs 3.0 was built without its debugger"):
            machines.machine(BOCHS).check()

    def test_a_program_that_is_no_bochs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bochs_command, "PROGRAM", "true")
        with pytest.raises(MachineError, match="does not tell its version"):
            machines.machine(BOCHS).check()


def test_a_version_that_was_tried_is_tried_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machines.machine("amd-qemu")
    monkeypatch.setattr(machine, "check", lambda: "QEMU emulator version 7.2.22 (Debian 1:7.2)")
    tried = probe.Probe(1, svm=False, nested_paging=True, vmx=False, ept=False)
    monkeypatch.setattr(probe, "try_machine", lambda _: tried)
    with pytest.raises(MachineError, match="7.2.22 .*: its CPU has no SVM"):
        probe.vouch_for(machine)


def test_another_version_that_works(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(machines.machine(machine)), "tried", ())
    probe.vouch_for(machines.machine(machine))


@pytest.mark.parametrize(("seen", "says"), [
    (MachineError("a kernel that only powers off ended with 'timeout'", "none"), "ended with 'timeout'"),
    (probe.Probe(1, svm=True, nested_paging=False, vmx=True, ept=True), "no nested paging"),
])  # fmt: skip
def test_another_version_that_does_not_work(
    seen: MachineError | probe.Probe, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def try_machine(_: machines.Machine) -> probe.Probe:
        if isinstance(seen, MachineError):
            raise seen
        return seen

    machine = machines.machine("amd-qemu")
    monkeypatch.setattr(machine, "check", lambda: "QEMU emulator version 99.1.0")
    monkeypatch.setattr(probe, "try_machine", try_machine)
    with pytest.raises(MachineError, match=f"^QEMU emulator version 99.1.0: .* 7.2 and 10.0, and here .*{says}"):
        probe.vouch_for(machine)


@pytest.mark.parametrize(
    ("address", "memory", "says"),
    [(0x8000, 64, "no memory is free"), (0x100000, 1, "no memory is free")],
)
def test_kernel_where_no_memory_is(tmp_path: Path, address: int, memory: int, says: str) -> None:
    kernel = tmp_path / "k.elf"
    kernel.write_bytes(elf_image([Segment(address, bytes(100))], entry=address))
    with pytest.raises(MachineError, match=says):
        direct_boot(kernel, None, "", memory)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + bytes(200)])
def test_kernel_that_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "k.elf").write_bytes(data)
    with pytest.raises(MachineError, match="k.elf"):
        direct_boot(tmp_path / "k.elf", None, "", 64)


def test_kernel_without_pvh_note(tmp_path: Path) -> None:
    kernel = tmp_path / "k.elf"
    kernel.write_bytes(elf_image([Segment(RAM_AT, bytes(100))], entry=RAM_AT))
    with pytest.raises(MachineError, match="no PVH note"):
        direct_boot(kernel, None, "", 64)
