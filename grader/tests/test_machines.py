# SPDX-License-Identifier: MIT
"""The machine tells how a kernel ended, shows its memory, and leaves nothing behind."""

import os
import threading
from pathlib import Path

import pytest

from grader import machines, sandbox
from grader.boot import BootResult, VmPlan, run_boot
from grader.evidence import EvidenceError, VmState
from grader.machines import amd_qemu, slots
from grader.machines.slots import emulator_slot
from grader.processes import descendants
from grader.tests import tiny_kernel
from grader.tests.test_evidence import make_block, make_record
from grader.tests.tiny_kernel import power_off, say

PLAN = [VmPlan("alpha", "guest")]


def boot(folder: Path, code: str, **options) -> BootResult:
    kernel = tiny_kernel.build(folder, code)
    options.setdefault("wall_seconds", 20)
    return run_boot(
        kernel, {"guest": b"x"}, PLAN, cpus=2, transcript_dir=folder / "transcript", **options
    )


@pytest.mark.parametrize("status", [0, 42, 69, 120])
def test_power_off_gives_its_status(tmp_path: Path, status: int) -> None:
    result = boot(tmp_path, say(f"power off: {status}\n") + power_off(status))
    assert (result.ended, result.status) == ("powered off", status)
    assert result.serial == f"power off: {status}\n"
    assert (tmp_path / "transcript" / "serial.txt").read_text() == result.serial
    assert (tmp_path / "transcript" / "plan").read_text().startswith("vm name=alpha file=guest ")
    assert descendants(os.getpid()) == []


def test_memory_is_there_after_the_end(tmp_path: Path) -> None:
    result = boot(tmp_path, "movl $0x12345678, 0x200000\n" + power_off(0))
    assert result.memory.read(0x200000, 4) == b"\x78\x56\x34\x12"
    assert result.memory.size == 256 << 20


def test_module_reaches_the_kernel(tmp_path: Path) -> None:
    # hvm_start_info: the list of modules at 16; its first word is the module's address.
    code = "mov 16(%ebx), %ecx\nmov (%ecx), %ecx\nmov (%ecx), %edx\nmov %edx, 0x200000\n"
    assert boot(tmp_path, code + power_off(0)).memory.read(0x200000, 4) == b"NEST"


def test_evidence_is_read(tmp_path: Path) -> None:
    block = make_block([make_record(name="alpha", state=VmState.EXITED, status=7)])
    result = boot(tmp_path, tiny_kernel.evidence_symbol(block) + power_off(0))
    assert result.vm("alpha").status == 7
    assert result.evidence is not None and result.evidence.finished


def test_missing_evidence_says_how_the_boot_ended(tmp_path: Path) -> None:
    result = boot(tmp_path, say("words\n") + power_off(3))
    assert result.evidence is None
    with pytest.raises(EvidenceError, match="powered off with 3; its last words: 'words'"):
        result.vm("alpha")


def test_triple_fault_is_a_reset(tmp_path: Path) -> None:
    result = boot(tmp_path, "lidt zero\nint3\n.data\nzero: .long 0, 0\n.text\n")
    assert (result.ended, result.status) == ("reset", None)
    assert "triple fault" in result.explain()


def test_hung_machine_shows_where_it_was(tmp_path: Path) -> None:
    result = boot(tmp_path, say("up\n") + ".type spin, @function\nspin: jmp spin\n", wall_seconds=2)
    assert result.ended == "timeout" and result.serial == "up\n"
    assert "spin+0x0 (kernel)" in result.registers.splitlines()[0]
    assert "CR3=" in result.registers and "CPU 1:" in result.registers
    assert (tmp_path / "transcript" / "registers.txt").read_text() == result.registers
    assert descendants(os.getpid()) == []


def test_endless_output_is_cut(tmp_path: Path) -> None:
    code = "flood: mov $'x', %al\nmov $4096, %ecx\nmov $buffer, %esi\nrep outsb\njmp flood\n"
    result = boot(tmp_path, code + ".bss\nbuffer: .skip 4096\n.text\n", wall_seconds=60)
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


def test_killed_emulator_is_told_from_a_power_off(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, say("up\n") + "spin: jmp spin\n")
    heard = threading.Event()
    configuration = machines.Configuration(kernel=kernel, cpus=1)
    machine = machines.machine("amd-qemu")
    with machine.start(configuration, lambda _: heard.set()) as running:

        def kill() -> None:
            heard.wait(20)
            family = descendants(os.getpid())
            # The emulator is the innermost process, whatever wraps it.
            os.kill(family[-1], 11)

        killer = threading.Thread(target=kill)
        killer.start()
        end = running.wait(20)
        killer.join()
    assert end.reason == "died"


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


def test_plain_ground_boots_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))
    assert boot(tmp_path, power_off(5)).status == 5
