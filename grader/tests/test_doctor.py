# SPDX-License-Identifier: MIT
"""`nest doctor` sees what is missing, and says how to mend it."""

import os
import stat
from pathlib import Path

import pytest

from grader import machines
from grader.confine import host_program, sandbox
from grader.machines import amd_qemu, bochs_command
from grader.machines.probe import Probe, try_machine
from grader.verbs import doctor
from grader.verbs.doctor import LIMITED, MISSING, OK, Row


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH, to put programs into."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def tool(name: str) -> doctor.Tool:
    return next(one for one in doctor.TOOLS if one.name == name)


def test_missing_program(tools: Path) -> None:
    row = doctor._tool(tool("g++"))
    assert row.state == MISSING and row.mend == "apt-get install g++" and row.stops_grading


def test_old_program(tools: Path) -> None:
    program(tools, "g++", "echo g++ 9.3.0")
    row = doctor._tool(tool("g++"))
    assert row.state == MISSING and row.detail == "9.3.0; 12 or later is wanted"


def test_good_program(tools: Path) -> None:
    program(tools, "g++", "echo 'g++ (Debian) 12.2.0'")
    assert doctor._tool(tool("g++")) == Row("g++", "grading", OK, "12.2.0")


def test_program_that_does_not_start(tools: Path) -> None:
    path = tools / "g++"
    path.write_bytes(b"\x7fELF not really")
    path.chmod(0o755)
    assert "does not start" in doctor._tool(tool("g++")).detail


def test_system_that_is_tested_and_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    debian = {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "VERSION_CODENAME": "bookworm"}
    ubuntu = {"PRETTY_NAME": "Ubuntu 24.04.1 LTS", "VERSION_CODENAME": "noble"}
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(doctor.bootstrap, "IS_X86_64", True)
    assert doctor._system(debian).state == OK
    row = doctor._system(ubuntu)
    assert row.state == LIMITED and "Ubuntu 24.04.1 LTS on x86_64" in row.detail and "Containerfile" in row.mend
    monkeypatch.setattr(doctor.bootstrap, "IS_X86_64", False)
    assert doctor._system(debian).state == LIMITED


def test_system_with_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "sysconf", lambda name: 16384)
    row = doctor._system({"PRETTY_NAME": "Raspberry Pi OS"})
    assert row.state == MISSING and "16384 bytes" in row.detail and row.stops_grading


def test_processor_without_grub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.bootstrap, "GRUB", ())
    row = doctor._grub()
    assert row.state == LIMITED and "by PVH" in row.detail


def test_missing_module() -> None:
    row = doctor._module("no_such_module", "python3-none", "grading")
    assert row.state == MISSING and row.mend == "apt-get install python3-none"


def test_machine_is_really_started() -> None:
    found = try_machine(machines.machine("amd-qemu"))
    assert found.svm and found.nested_paging and found.seconds > 0


@pytest.mark.parametrize("name", ["intel-bochs", "amd-bochs"])
def test_bochs_is_really_started(name: str) -> None:
    machine = machines.machine(name)
    try:
        machine.check()
    except machines.MachineError as problem:
        pytest.skip(str(problem))
    found = try_machine(machine)
    assert found.lacks(machine.vendor) == "" and found.seconds > 0
    assert found.lacks({"amd": "intel", "intel": "amd"}[machine.vendor]) != ""


def test_what_a_cpu_lacks() -> None:
    assert Probe(1, svm=True, nested_paging=False, vmx=False, ept=False).lacks("amd") == "nested paging"
    assert Probe(1, svm=True, nested_paging=True, vmx=False, ept=False).lacks("intel") == "VMX and EPT"


def test_machine_that_is_not_needed_stops_no_grading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bochs_command, "PROGRAM", "bochs-none")
    row = doctor._guarded("m", "labs", lambda name: doctor._machine(name, "intel-bochs", "labs"))
    assert row.state == MISSING and "bochs-term" in row.mend and not row.stops_grading


def test_machine_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amd_qemu, "FAST_BIOS", Path("/usr/share"))
    row = doctor._guarded("machine", "grading", doctor._machine)
    assert row.state == MISSING and row.stops_grading and "before the kernel ran" in row.detail


def test_sanitizer_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    fatal = "FATAL: ThreadSanitizer: unexpected memory mapping"
    ends = iter([sandbox.Completed(0, "", ""), *[sandbox.Completed(66, "", fatal)] * 2])
    monkeypatch.setattr(sandbox, "run", lambda *_, **__: next(ends))
    row = doctor._sanitizer("thread sanitizer", "thread", "data race")
    assert row.state == MISSING and row.detail == f"cannot start: {fatal}"
    assert "mmap_rnd_bits" in row.mend


def test_whether_randomization_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_program, "without_randomization", lambda: ("setarch", "-R"))
    assert doctor._randomization("r") == Row("r", "speed", OK, "test programs are started without it")
    monkeypatch.setattr(host_program, "without_randomization", tuple)
    row = doctor._randomization("r")
    assert row.state == LIMITED and not row.stops_grading and "sysctl vm.mmap_rnd_bits=28" in row.mend


def test_sanitizer_that_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "run", lambda *_, **__: sandbox.Completed(0, "", ""))
    row = doctor._sanitizer("thread sanitizer", "thread", "data race")
    assert row.state == MISSING and "does not find" in row.detail


def test_sandbox_is_not_needed_to_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "why", "mend"))
    row = doctor._sandbox("sandbox")
    assert (row.state, row.detail, row.mend) == (LIMITED, "why", "mend")
    assert not row.stops_grading


def test_room(tmp_path: Path) -> None:
    assert doctor._room("room", tmp_path, 0, "mend").state == OK
    assert doctor._room("room", tmp_path, 1 << 60, "mend") == Row(
        "room", "speed", LIMITED, doctor._room("room", tmp_path, 1 << 60, "mend").detail, "mend"
    )
    assert doctor._room("room", tmp_path / "none", 0, "mend").state == LIMITED


def test_exit_status_tells_whether_grading_can_work(capsys: pytest.CaptureFixture[str]) -> None:
    good = [Row("a", "grading", OK, ""), Row("b", "run", MISSING, "not installed", "install it")]
    assert doctor.can_grade(good)
    bad = [*good, Row("c", "grading", MISSING, "[odd] words", "mend")]
    assert not doctor.can_grade(bad)
    doctor.show(bad)
    out = capsys.readouterr().out
    assert "grading cannot work here: c" in out and "mend: install it" in out and "[odd]" in out


def test_a_student_is_not_told_of_staffs_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.bootstrap, "module", lambda verb: Path("/nonexistent" if verb in ("test", "verify") else "/"))
    kept = {tool.name for tool in doctor.TOOLS if doctor._is_ours(tool.needed_for)}
    assert "clang-tidy-19" not in kept and {"g++", "gdb", "doxygen", "ccache"} <= kept
    assert not doctor._is_ours("verify --mutate") and doctor._is_ours("grading") and doctor._is_ours("fast builds")


def test_everything_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_sanitizer", lambda name, *_: Row(name, "grading", OK, ""))
    rows = list(doctor.examine())
    names = {row.name for row in rows}
    assert {"system", "Python", "g++", "sandbox", "thread sanitizer", "terminal"} <= names
    assert {f"machine {name}" for name in machines.names()} <= names
    assert os.environ["PATH"]
