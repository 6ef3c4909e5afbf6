# SPDX-License-Identifier: MIT
"""The command works where students have it: in folders with odd names, in any locale, on answers of
any bytes, with a checkout made by Git for Windows, on a full disk (which it names), and where
temporary files may not be run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from grader import CannotRun
from grader import machines
from grader.build import disk, opening
from grader.build.iso import grub_iso
from grader.confine import host_program
from grader.course.lab import ROOT
from grader.machines import MachineError
from grader.testkit.boot import run_boot
from grader.tests import tiny_kernel, toy_tree
from grader.verbs import doctor
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.tiny_kernel import power_off
from grader.tests.toy_tree import HALF, TWICE, Tree

ODD = "한글 a,b 'c' \"d\" [e] $f #g"
BYTES = b"\xff\xfe\xc3("
"""No UTF-8."""


@pytest.fixture(params=["amd-qemu", "intel-bochs"])
def machine(request: pytest.FixtureRequest) -> str:
    """Each emulator; skipped where it is not installed."""
    try:
        machines.machine(request.param).check()
    except MachineError as problem:
        pytest.skip(str(problem))
    return request.param


def nest(tree: Tree, *argv: str, **environment: str) -> subprocess.CompletedProcess[bytes]:  # noqa: F811
    """The command in another environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    return subprocess.run([tree.root / "nest", *argv], capture_output=True, stdin=subprocess.DEVNULL, check=False,
                          env={**clean, **environment}, timeout=120)


def test_tree_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    place = tmp_path / ODD
    place.mkdir()
    odd = toy_tree.make(place / "tree")
    odd.write("vmm/twice.cc", TWICE.replace("n + n", "n + n + 1"))
    result, done = odd.grade()
    assert done.returncode == 1 and result["extra_data"]["tasks"][0]["score"] == 0, done.stdout + done.stderr
    result, done = odd.grade("--reference")
    assert done.returncode == 0 and result["score"] == 30, done.stdout + done.stderr


def test_kit_that_cmake_wrote_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    root = tmp_path / ODD
    (root / "build" / "cmake").mkdir(parents=True)
    (root / "build" / "cmake" / "kit.json").write_text(f'{{"flags": ["-I{root}", "-fmacro-prefix-map={root}/="]}}')
    assert opening.read_description(root) == {"flags": [f"-I{root}", f"-fmacro-prefix-map={root}/="]}


def test_depfile_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    """ninja ends a name at a quote. A name that it cannot read is a file that is missing: always to
    be built."""
    root = tmp_path / ODD
    for folder in ("cmake", "build/cmake"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "cmake" / "relative_depfile.py", root / "cmake")
    (root / "a.hh").write_text("")
    (root / "a.cc").write_text('#include "a.hh"\n')
    subprocess.run(["/usr/bin/python3", "../../cmake/relative_depfile.py", "g++", "-MD", "-MT", "a.o", "-MF", "a.o.d",
                    "-c", root / "a.cc", "-o", "a.o"], cwd=root / "build" / "cmake", check=True)
    words = (root / "build" / "cmake" / "a.o.d").read_text().replace("\\\n", " ").split()
    assert words[0] == "a.o:" and {"../../a.cc", "../../a.hh"} <= set(words)
    assert not any(quote in word for word in words for quote in "'\"")


def test_boot_from_a_folder_with_an_odd_name(tmp_path: Path, machine: str) -> None:
    place = tmp_path / ODD
    place.mkdir()
    # hvm_start_info: the list of modules at 16; its first word is the module's address.
    code = "mov 16(%ebx), %ecx\nmov (%ecx), %ecx\nmov (%ecx), %edx\nmov %edx, 0x200000\n"
    kernel = tiny_kernel.build(place, code + "mov $0x3f8, %dx\n" + power_off(3))
    result = run_boot(kernel, {}, [], cpus=1, memory_mib=64, seconds=60, transcript_dir=place / "t", machine=machine)
    assert (result.ended, result.status) == ("powered off", 3), result.explain()
    assert result.memory.read(0x200000, 4) == b"NEST"


def test_iso_in_a_folder_with_an_odd_name(tmp_path: Path, machine: str) -> None:
    """Without GRUB's help: it is enough that GRUB is there, and says that there is no kernel."""
    if not shutil.which("grub-mkrescue") or not Path("/usr/lib/grub/i386-pc").is_dir():
        pytest.skip("no grub-mkrescue")
    place = tmp_path / ODD
    place.mkdir()
    kernel = tiny_kernel.build(place, power_off(0))
    iso = place / "a.iso"
    grub_iso(kernel, iso, module=kernel)
    with machines.machine(machine).start(machines.Configuration(iso=iso, cpus=1, memory_mib=64), lambda _: None) as running:
        assert running.wait(2).reason == "timeout", running.complaints()


LATIN_1 = "de_DE.ISO-8859-1"


@pytest.fixture(scope="module")
def latin_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Latin-1 locale."""
    folder = tmp_path_factory.mktemp("locales")
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", folder / LATIN_1], capture_output=True,
                          check=False) if shutil.which("localedef") else None
    if made is None or not (folder / LATIN_1).is_dir():
        pytest.skip("localedef has no source of such a locale")
    return {"LOCPATH": str(folder), "LC_ALL": LATIN_1}


@pytest.mark.parametrize("where", ["C", "POSIX", LATIN_1])
def test_any_locale(tree: Tree, where: str, request: pytest.FixtureRequest) -> None:  # noqa: F811
    environment = request.getfixturevalue("latin_1") if where == LATIN_1 else {"LC_ALL": where}
    words = "x" * 300 + " 두 배"
    tree.write("vmm/twice.cc", TWICE.replace("int twice", "// 두 배\nint twice").replace(
        "return n + n", f'say("{words}\\n"); return n'))
    tree.write("vmm/half.cc", f"#error {words}\n")
    lab = toy_tree.lab_json()
    lab["tasks"][0]["title"] = "두 배"
    tree.write("labs/lab1-toy/lab.json", json.dumps(lab, ensure_ascii=False))
    done = nest(tree, "grade", "lab1", "--json", str(tree.root / "out.json"), **environment)
    text = done.stdout.decode("utf-8")
    assert done.returncode == 1, text + done.stderr.decode("utf-8", "replace")
    assert "lab1.twice  두 배" in text and "…" in text
    assert json.loads((tree.root / "out.json").read_text(encoding="utf-8"))["extra_data"]["tasks"][0]["title"] == "두 배"


def test_answer_that_prints_what_is_no_utf_8(tree: Tree) -> None:  # noqa: F811
    shout = "".join(f"\\x{byte:02x}" for byte in BYTES)
    tree.solve()
    tree.write("vmm/half.cc", HALF.replace("return n", f'say("{shout}\\n"); return n'))
    result, done = tree.grade()
    assert done.returncode == 0 and result["score"] == 30, done.stdout + done.stderr
    tree.write("vmm/half.cc", (tree.root / "vmm/half.cc").read_text().replace("n / 2", "n / 3"))
    result, done = tree.grade()
    assert done.returncode == 1 and result["score"] < 30 and "\ufffd" in done.stdout


def test_answer_whose_source_is_no_utf_8(tree: Tree) -> None:  # noqa: F811
    tree.solve()
    path = tree.root / "vmm/half.cc"
    path.write_bytes(HALF.encode() + b"// " + BYTES + b"\n")
    result, done = tree.grade()
    assert done.returncode == 1 and result["extra_data"]["tasks"][1]["state"] == "is refused", done.stdout
    assert "half.cc is not UTF-8 here: save it with that encoding" in done.stdout
    assert "Traceback" not in done.stderr


def test_lines_end_in_lf_in_every_checkout(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    for name in ("nest", "a.S", "a.py", "a.ld"):
        (tmp_path / name).write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    git = ["git", "-c", "core.autocrlf=true", "-c", "user.name=a", "-c", "user.email=a@b", "-C"]
    for argv in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, tmp_path, *argv], check=True, capture_output=True)
    subprocess.run([*git, tmp_path, "clone", "-q", tmp_path, tmp_path / "clone"], check=True)
    for name in ("nest", "a.S", "a.py", "a.ld"):
        assert (tmp_path / "clone" / name).read_bytes() == b"#!/bin/sh\nexit 0\n"


@pytest.mark.parametrize("text", [
    "c++: fatal error: error writing to /tmp/cc1.s: No space left on device\n",
    "ninja: error: WriteFile(build/x): Disk quota exceeded\n",
])
def test_full_disk_is_named_where_the_tree_is_built(tmp_path: Path, text: str) -> None:
    (tmp_path / "build").mkdir()
    tool = ["/bin/sh", "-c", "printf '%s' \"$0\"; exit 1", text]
    with pytest.raises(CannotRun) as caught:
        opening._tool(tool, tmp_path, lambda line: None)
    assert f"{tmp_path}/build: {text.strip()}" in str(caught.value) and "make room there" in str(caught.value)
    assert "undo what was changed" not in str(caught.value)


def test_tool_that_dies_on_a_full_disk_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 1 << 62)
    (tmp_path / "build").mkdir()
    with pytest.raises(CannotRun, match="build: no space left"):
        opening._tool(["/bin/sh", "-c", "kill -BUS $$"], tmp_path, lambda line: None)


def test_other_failures_of_the_build_are_not_the_disks(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    with pytest.raises(CannotRun, match="undo what was changed"):
        opening._tool(["/bin/sh", "-c", "echo error; exit 1"], tmp_path, lambda line: None)


def test_no_program_is_run_among_the_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """That folder may be mounted noexec."""
    seen: list[str] = []
    monkeypatch.setattr(host_program, "started", lambda start: start())
    from grader.confine import sandbox

    def run(argv: list[object], **_: object) -> sandbox.Completed:
        seen.append(str(argv[-1] if argv[0] != "g++" else ""))
        return sandbox.Completed(0, "", "heap-buffer-overflow")

    monkeypatch.setattr(sandbox, "run", run)
    doctor._sanitizer("address sanitizer", "address", "heap-buffer-overflow")
    assert any(path.startswith(str(ROOT / "build")) for path in seen), seen
