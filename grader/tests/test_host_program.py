# SPDX-License-Identifier: MIT
"""Host test programs start where their sanitizers can work, and where none can, nobody loses a
point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grader.confine import host_program, sandbox
from grader.confine.sandbox import Completed
from grader.course.lab import ROOT
from grader.judge import outcome
from grader.judge.unit import run_case

FATAL = Completed(66, "", "FATAL: ThreadSanitizer: unexpected memory mapping 0x7de770872000-0x7de770d00000\n")
NEWER = Completed(66, "", "FATAL: ThreadSanitizer: memory layout is incompatible, even though ASLR is disabled.\n")
SILENT = Completed(-11, "", "")
UNDER_DOCKERS_RULES = [sys.executable, "-m", "grader.tests.docker_rules", sys.executable, "-c"]
ADDR_NO_RANDOMIZE = 0x0040000

needs_personality = pytest.mark.skipif(
    not host_program.without_randomization(), reason="personality is forbidden here, as in a container")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if personality were forbidden."""
    monkeypatch.setattr(host_program, "without_randomization", tuple)


@pytest.mark.parametrize("mode", ["isolated", "plain"])
@needs_personality
def test_program_has_no_randomization(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "plain":
        monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))
    elif not sandbox.is_isolated():
        pytest.skip(sandbox.status().detail)
    command = [*host_program.without_randomization(), "/bin/cat", "/proc/self/personality"]
    assert int(sandbox.run(command, timeout=20).stdout, 16) & ADDR_NO_RANDOMIZE


@pytest.mark.parametrize("end", [FATAL, NEWER, SILENT])
@pytest.mark.usefixtures("forbidden")
def test_program_is_started_until_its_sanitizer_has_its_place(end: Completed) -> None:
    ends = [end, end, Completed(1, "it ran\n", ""), Completed(0, "", "")]
    assert host_program.started(lambda: ends.pop(0)).stdout == "it ran\n" and len(ends) == 1


@pytest.mark.parametrize("end", [
    Completed(0, "", ""),
    Completed(-11, "[ RUN      ] A.B\n", ""),
    Completed(99, "[ RUN      ] A.B\n", "==2==ERROR: AddressSanitizer: SEGV on unknown address\n"),
    Completed(-9, "", "", killed="time"),
    Completed(121, "", "TODO lab1.twice: vmm/twice.cc:2 is not written yet\n"),
])
@pytest.mark.usefixtures("forbidden")
def test_what_a_program_did_itself_is_run_once(end: Completed) -> None:
    ends = [end]
    assert host_program.started(lambda: ends.pop()) is end


@needs_personality
def test_without_randomization_one_start_is_enough() -> None:
    ends = [FATAL]
    assert host_program.started(lambda: ends.pop()) is FATAL


@pytest.mark.parametrize("end", [FATAL, SILENT])
@pytest.mark.usefixtures("forbidden")
def test_where_no_sanitizer_can_work_nothing_is_judged(
    end: Completed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []
    monkeypatch.setattr(sandbox, "run", lambda *_, **__: starts.append(1) or end)
    found = run_case(tmp_path / "p", "A.B", task="lab1.one", seed=1, transcript=tmp_path / "t" / "a.txt")
    assert found.kind == outcome.NOT_JUDGED and not found.judged and not found.passed
    assert "sysctl vm.mmap_rnd_bits=28" in found.detail.splitlines()[-1]
    assert len(starts) == host_program.STARTS


def test_sanitizers_work_under_dockers_rules(tmp_path: Path) -> None:
    """At 28 bits of randomness for sure; at 32 it is what the starts are for."""
    (tmp_path / "a.cc").write_text("#include <thread>\nint main() { std::thread{[] {}}.join(); }\n")
    for sanitizer in ("address", "thread"):
        program = tmp_path / sanitizer
        subprocess.run(["g++", f"-fsanitize={sanitizer}", "-fno-pie", "-no-pie", "-o", program, tmp_path / "a.cc"],
                       check=True)
        code = ("from grader.confine import host_program\n"
                "assert host_program.without_randomization() == ()\n"
                f"raise SystemExit(host_program.main([{str(program)!r}]))")
        done = subprocess.run([*UNDER_DOCKERS_RULES, code], cwd=ROOT, capture_output=True, text=True, check=False)
        if "prctl" in done.stderr:
            pytest.skip("no seccomp here")
        assert done.returncode == 0, done.stderr


def test_test_programs_are_not_position_independent() -> None:
    """Else the program itself may lie where AddressSanitizer has its heap."""
    flavours = (ROOT / "cmake" / "flavours.cmake").read_text()
    assert "set(NEST_LINK_asan -no-pie " in flavours and "set(NEST_LINK_tsan -no-pie " in flavours


@pytest.mark.parametrize(("command", "status", "out"), [
    ("echo out; exit 7", 7, "out\n"),
    ("echo out; kill -ABRT $$", 134, "out\n"),
    ("kill -SEGV $$", 3, ""),
])
@pytest.mark.usefixtures("forbidden")
def test_command_for_ctest_ends_as_the_program(
    command: str, status: int, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert host_program.main(["/bin/sh", "-c", command]) == status
    assert capsys.readouterr().out == out
