# SPDX-License-Identifier: MIT
"""The first steps of the command, with programs of our own in the place of dpkg, apt-get and
sudo."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from grader.verbs import bootstrap

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
    assert err.splitlines()[-1] == ("sudo apt-get update && sudo apt-get install -y "
                                      "--no-install-recommends ninja-build")
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
    assert "no network" in err and err.splitlines()[-1].startswith("sudo apt-get update && sudo apt-get install")


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
    (["test"], "qemu-user", False),
    (["test", "--long"], "qemu-user", True),
    (["test", "--only", "arm64"], "g++-aarch64-linux-gnu", True),
    (["verify", "lab5"], "python3-clang-19", False),
    (["verify", "lab5", "--mutate"], "python3-clang-19", True),
    (["test", "--only", "mutants"], "python3-clang-19", True),
    (["nonsense"], "qemu-system-x86", False),
    ([], "python3-click", True),
])
def test_a_verb_wants_what_it_needs(argv: list[str], package: str, wanted: bool) -> None:
    assert (package in bootstrap.needed(argv)) is wanted




def test_starts_on_the_standard_library_alone() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c",
         f"import sys; sys.path.insert(0, {str(bootstrap.ROOT)!r}); import grader.verbs.bootstrap"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_needs_no_heavy_module() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-c",
         f"import sys; sys.path.insert(0, {str(bootstrap.ROOT)!r}); import grader.verbs.cli; "
         "print([name for name in ('pytest', 'rich', 'jsonschema', 'elftools') if name in sys.modules])"],
        capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def bootstrap_on(machine: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is on another processor."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    spec = importlib.util.spec_from_file_location("bootstrap_there", bootstrap.__file__)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_another_processor_has_a_second_compiler_and_no_grub(monkeypatch: pytest.MonkeyPatch) -> None:
    x86_64, arm64 = (set(bootstrap_on(machine, monkeypatch).needed(["setup"])) for machine in ("x86_64", "aarch64"))
    assert x86_64 - arm64 == {"grub-pc-bin", "grub-common", "xorriso", "mtools", "gdb"}
    assert arm64 - x86_64 == {"g++-x86-64-linux-gnu", "binutils-x86-64-linux-gnu", "gdb-multiarch"}


def bare(folder: Path, **programs: str) -> dict[str, str]:
    """The environment of a system that has these programs, and a few that every system has."""
    for name in ("dirname", "readlink", "id"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, text in programs.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    return {"PATH": str(folder)}


def nest_without_python(folder: Path) -> Path:
    """The first steps on a machine without Python."""
    text = (bootstrap.ROOT / "nest").read_text()
    (folder / "nest").write_text(text.replace("/usr/bin/python3 ]", "/nonexistent/python3 ]"))
    return folder / "nest"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("whose", ["staff's", "a student's"])
def test_the_line_without_python_is_enough_for_every_verb(
        machine: str, whose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bootstrap_on(machine, monkeypatch)
    wanted = {"python3", *here.STUDENT}
    if whose == "staff's":
        wanted = wanted.union(*here.PACKAGES.values())
        (tmp_path / "grader" / "verbs").mkdir(parents=True)
        (tmp_path / "grader" / "verbs" / "test.py").touch()
    done = subprocess.run(
        ["/bin/sh", nest_without_python(tmp_path)], capture_output=True, text=True,
        env=bare(tmp_path, uname=f"echo {machine}", apt_get="exit 1", sudo="exit 1"))
    assert done.returncode == 3
    update, _, install = done.stderr.splitlines()[-1].partition(" && ")
    words = install.removeprefix("sudo ").split()
    assert update.removeprefix("sudo ") == "apt-get update"
    assert words[:4] == "apt-get install -y --no-install-recommends".split()
    assert sorted(words[4:]) == sorted(wanted), "the list in ./nest and PACKAGES in grader/verbs/bootstrap.py differ"


@pytest.mark.parametrize(("user", "sudo", "begins"), [
    ("0", True, "apt-get update && apt-get install"),
    ("1000", True, "sudo apt-get update && sudo apt-get install"),
    ("1000", False, "su -c 'apt-get update && apt-get install"),
])
def test_the_line_without_python_fits_the_user(user: str, sudo: bool, begins: str, tmp_path: Path) -> None:
    programs = {"uname": "echo x86_64", "apt_get": "exit 1"} | ({"sudo": "exit 1"} if sudo else {})
    environment = bare(tmp_path, **programs)
    (tmp_path / "id").unlink()
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {user}\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(["/bin/sh", nest_without_python(tmp_path)], capture_output=True, text=True, env=environment)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 3 and line.startswith(begins) and line.count("'") == 2 * begins.count("'")


def test_without_python_and_apt_the_container_is_the_mend(tmp_path: Path) -> None:
    done = subprocess.run(["/bin/sh", nest_without_python(tmp_path)], capture_output=True, text=True,
                          env=bare(tmp_path))
    assert done.returncode == 3
    assert "Containerfile" in done.stderr and "sudo" not in done.stderr


@pytest.mark.parametrize(("release", "why"), [
    ({"ID": "debian", "VERSION_ID": "12"}, ""),
    ({"ID": "debian", "VERSION_ID": "13"}, ""),
    ({"ID": "debian"}, ""),  # testing
    ({"ID": "ubuntu", "VERSION_ID": "24.04"}, ""),
    ({"ID": "linuxmint", "VERSION_ID": "22"}, ""),
    ({"ID": "ubuntu", "VERSION_ID": "22.04", "PRETTY_NAME": "Ubuntu 22.04.5 LTS"}, "Ubuntu 22.04.5 LTS, which is too old"),
    ({"ID": "debian", "VERSION_ID": "11", "PRETTY_NAME": "Debian 11"}, "Debian 11, which is too old"),
])
def test_a_release_fits_or_the_container_is_the_mend(release: dict[str, str], why: str, machine: Path) -> None:
    said = bootstrap.unfit(release)
    assert why in said and bool(why) == bool(said) == ("Containerfile" in said)


def test_another_processor_needs_a_later_qemu(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_arm64 = bootstrap_on("aarch64", monkeypatch)
    assert "nest needs Debian 13 or" in on_arm64.unfit({"ID": "debian", "VERSION_ID": "12"})
    assert not on_arm64.unfit({"ID": "debian", "VERSION_ID": "13"})


def test_another_distribution_is_told_so(
        machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    (machine / "dpkg-query").unlink()
    monkeypatch.setenv("PATH", str(machine))
    monkeypatch.setattr(bootstrap, "system", lambda: {"ID": "fedora", "PRETTY_NAME": "Fedora Linux 41"})
    assert bootstrap.prepare(PACKAGES, machine / "build") == 3
    err = capfd.readouterr().err
    assert "Fedora Linux 41" in err and "Containerfile" in err and "apt-get" not in err


def test_ubuntu_is_told_of_universe(
        machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bootstrap, "system", lambda: {"ID": "ubuntu", "VERSION_ID": "24.04"})
    assert bootstrap.prepare(PACKAGES, machine / "build") == 3
    assert "add-apt-repository universe" in capfd.readouterr().err


def test_the_line_to_run_fits_the_user(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "sudo").unlink()
    monkeypatch.setenv("PATH", str(machine))
    assert bootstrap.install_line(["g++"]) == "su -c 'apt-get update && apt-get install -y --no-install-recommends g++'"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert bootstrap.install_line(["g++"]) == "apt-get update && apt-get install -y --no-install-recommends g++"


@pytest.mark.parametrize("words, says", [
    (["frob"], "there is no verb 'frob'; the verbs are: "),
    (["grade"], "which lab? The labs are: lab0-"),
    (["run", "lab99", "--machine", "amd-qemu"], "there is no lab 'lab99'; the labs are: lab0-"),
    (["grade", "lab1", "--json", "/no such folder/x.json"], "--json /no such folder/x.json: no file can be written there"),
    (["grade", "lab1", "--junit=/"], "--junit /: no file can be written there"),
])
def test_what_cannot_be_meant_is_refused_before_anything_is_installed(
        machine: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    (machine / "may").touch()
    monkeypatch.setattr("sys.argv", ["nest", *words])
    assert bootstrap.main() == 2
    assert says in capfd.readouterr().err
    assert not (machine / "apt").exists()


@pytest.mark.parametrize("words", [["grade", "lab1"], ["grade", "--task", "x", "labs/lab1-user-programs/"], ["verify"],
                                   ["run", "user-programs"], ["grade", "lab1", "--json", "-"], [], ["labs"],
                                   ["grade", "--help"], ["help", "grade"], ["bench", "--json", "x.json"],
                                   ["verify", "--mutate", "--sample", "3"], ["verify", "-k", "half"]])
def test_what_can_be_meant_is_not_refused(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bootstrap.refused(words) == ""


def test_help_needs_no_package(machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["nest", "grade", "--help"])
    assert bootstrap.main() == 0
    out, _ = capfd.readouterr()
    assert "Judge the answers to a lab" in out
    assert not (machine / "apt").exists()


def test_plain_help_knows_every_verb() -> None:
    from grader.verbs.cli import ALL_VERBS

    assert {line.partition(":")[0] for line in bootstrap.HELP.splitlines()} == set(ALL_VERBS)
    assert set(ALL_VERBS) <= set(bootstrap.PACKAGES)


BLOCKED = """
import importlib, sys
class Missing:
    def find_spec(self, name, *_):
        if name in sys.argv[2:]:
            raise ModuleNotFoundError(f"no {name}")
sys.meta_path.insert(0, Missing())
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize("verb", bootstrap.PACKAGES)
def test_a_verb_begins_with_its_own_packages_alone(verb: str) -> None:
    from grader.verbs.cli import VERBS
    from grader.verbs.doctor import MODULES

    if verb not in VERBS:
        pytest.skip("the command itself")
    packages = bootstrap.needed([verb])
    others = [module for module, package in (*((one[0], one[1]) for one in MODULES), ("yaml", "python3-yaml"),
                                             ("defusedxml", "python3-defusedxml")) if package not in packages]
    done = subprocess.run(["/usr/bin/python3", "-c", BLOCKED, VERBS[verb][0], *others], cwd=bootstrap.ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
