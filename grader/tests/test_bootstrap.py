# SPDX-License-Identifier: MIT
"""The first steps of the command, with programs of our own in the place of dpkg, apt-get and sudo."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from grader import bootstrap

PACKAGES = ("g++", "ninja-build")
DPKG = """#!/bin/sh
while read -r package; do echo "$package installed"; done < "{0}/installed"
echo "half-there half-configured"
"""
APT = """#!/bin/sh
echo "$@" >> "{0}/apt"
case $1 in install) shift; for word do case $word in -*) ;; *) echo "$word" >> "{0}/installed" ;; esac; done ;; esac
"""
SUDO = """#!/bin/sh
[ "$1" = -n ] || {{ echo "sudo would ask" >&2; exit 1; }}
shift
[ -e "{0}/may" ] || exit 1
exec "$@"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without packages, whose user is nobody special."""
    for name, text in (("dpkg-query", DPKG), ("apt-get", APT), ("sudo", SUDO)):
        path = tmp_path / name
        path.write_text(text.format(tmp_path))
        path.chmod(0o755)
    (tmp_path / "installed").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


def test_without_rights_one_line_and_3(machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (machine / "installed").write_text("g++\n")
    assert bootstrap.prepare(PACKAGES, machine / "build") == 3
    out, err = capfd.readouterr()
    assert err.splitlines()[-1] == "sudo apt-get install -y --no-install-recommends ninja-build"
    assert not (machine / "apt").exists() and not out


def test_with_a_sudo_that_asks_nothing(machine: Path) -> None:
    (machine / "may").touch()
    assert bootstrap.prepare(PACKAGES, machine / "build") == 0
    assert (machine / "apt").read_text().splitlines() == [
        "update -qq", "install -y --no-install-recommends g++ ninja-build -qq"]


def test_as_root(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (machine / "sudo").unlink()
    assert bootstrap.prepare(PACKAGES, machine / "build") == 0
    assert (machine / "installed").read_text().split() == ["g++", "ninja-build"]


def test_an_installation_that_fails_is_3(machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (machine / "may").touch()
    (machine / "apt-get").write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
    assert bootstrap.prepare(PACKAGES, machine / "build") == 3
    err = capfd.readouterr().err
    assert "no network" in err and err.splitlines()[-1].startswith("sudo apt-get install")


def test_the_stamp_spares_the_question_until_dpkg_changes(
        machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = machine / "status"
    status.write_text("1")
    monkeypatch.setattr(bootstrap, "DPKG_STATUS", status)
    (machine / "installed").write_text("g++\nninja-build\n")
    assert bootstrap.prepare(PACKAGES, machine / "build") == 0
    (machine / "installed").write_text("")
    assert bootstrap.prepare(PACKAGES, machine / "build") == 0
    status.write_text("changed")
    assert bootstrap.prepare(PACKAGES, machine / "build") == 3


def test_a_build_folder_that_cannot_be_made_is_no_reason_to_stop(machine: Path) -> None:
    (machine / "installed").write_text("g++\nninja-build\n")
    (machine / "build").write_text("a file")
    assert bootstrap.prepare(PACKAGES, machine / "build") == 0


@pytest.mark.parametrize(("argv", "package", "wanted"), [
    (["grade", "lab5"], "qemu-system-x86", True),
    (["grade", "--help"], "qemu-system-x86", False),
    (["--help"], "python3-click", True),
    (["run", "lab5"], "xorriso", True),
    (["grade", "lab5"], "doxygen", False),
    (["test"], "doxygen", True),
    (["nonsense"], "qemu-system-x86", False),
    ([], "python3-click", True),
])
def test_a_verb_wants_what_it_needs(argv: list[str], package: str, wanted: bool) -> None:
    assert (package in bootstrap.needed(argv)) is wanted




def test_starts_on_the_standard_library_alone() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c",
         f"import sys; sys.path.insert(0, {str(bootstrap.ROOT)!r}); import grader.bootstrap"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_needs_no_heavy_module() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-c",
         f"import sys; sys.path.insert(0, {str(bootstrap.ROOT)!r}); import grader.cli; "
         "print([name for name in ('pytest', 'rich', 'jsonschema', 'elftools') if name in sys.modules])"],
        capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_line_without_python_is_enough_for_every_verb() -> None:
    text = (bootstrap.ROOT / "nest").read_text()
    listed = text.partition("packages='")[2].partition("'")[0].split()
    wanted = {"python3"}.union(*bootstrap.PACKAGES.values())
    assert sorted(listed) == sorted(wanted), "the list in ./nest and PACKAGES in grader/bootstrap.py differ"
