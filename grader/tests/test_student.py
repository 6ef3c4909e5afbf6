# SPDX-License-Identifier: MIT
"""`nest whoami`, and what `nest pack` puts into the archive."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from grader import CannotRun, UsageError
from grader.course import lab as labs_module
from grader.course.lab import ROOT
from grader.student import identity, packing
from grader.verbs import whoami

LAB = labs_module.find("lab2")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the files of one lab."""
    for name in [*(task.file for task in LAB.tasks), f"labs/{LAB.folder.name}/questions.md"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {name}\n")
    return tmp_path


def test_who_hands_in_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity.read, "__defaults__", (tmp_path,))
    monkeypatch.setattr(identity.write, "__defaults__", (tmp_path,))
    run = CliRunner()
    assert "nobody yet" in run.invoke(whoami.command, []).output
    assert "Zoë Ω (s1), group g-7" in run.invoke(whoami.command, ["--name", "Zoë Ω", "--id", "s1", "--group", "g-7"]).output
    assert "Zoë Ω (s2), group g-7" in run.invoke(whoami.command, ["--id", "s2"]).output
    assert run.invoke(whoami.command, ["--group", ""]).output == "Zoë Ω (s2)\n"
    assert identity.read(tmp_path) == identity.Identity("s2", "Zoë Ω")


@pytest.mark.parametrize("what", [{"id": "../x"}, {"id": ""}, {"id": "a b"}, {"id": "=1+1"}, {"name": "a\nb"}, {"name": " "},
                                  {"group": "a/b"}])
def test_an_identity_is_fit_for_file_names_and_tables(what: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="should be"):
        identity.Identity(**{"id": "s1", "name": "N", **what})


def test_a_damaged_identity_says_its_mend(tmp_path: Path) -> None:
    (tmp_path / "student.json").write_text("{")
    with pytest.raises(UsageError, match="mend: nest whoami"):
        identity.read(tmp_path)


def test_the_archive_has_the_answers_and_what_is_said_of_them(tree: Path, tmp_path: Path) -> None:
    packed = packing.files(LAB, tree)
    assert f"labs/{LAB.folder.name}/questions.md" in packed and len(packed) == len(LAB.tasks) + 1
    described = packing.manifest(LAB, identity.Identity("s1", "Zoë"), packed, {"score": 3}, tree)
    target = tmp_path / "out.zip"
    packing.write(target, packed, described)
    with zipfile.ZipFile(target) as archive:
        assert sorted(archive.namelist()) == sorted([packing.MANIFEST, *packed])
        said = json.loads(archive.read(packing.MANIFEST))
        for name, data in packed.items():
            assert archive.read(name) == data
            assert said["files"][name] == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert said["student"]["name"] == "Zoë" and said["lab"] == LAB.id and said["local"] == {"score": 3}
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("how, says", [("missing", "is missing"), ("link", "is a link"), ("large", "1 MiB"),
                                       ("latin", "not UTF-8")])
def test_what_no_grader_takes_is_refused_here(how: str, says: str, tree: Path) -> None:
    path = tree / LAB.tasks[0].file
    path.unlink()
    if how == "link":
        path.symlink_to("/etc/hostname")
    elif how == "large":
        path.write_bytes(b"x" * ((1 << 20) + 1))
    elif how == "latin":
        path.write_bytes(b"// caf\xe9\n")
    with pytest.raises(UsageError, match=says) as failed:
        packing.files(LAB, tree)
    assert LAB.tasks[0].file in str(failed.value) and "mend" in str(failed.value)


def test_a_place_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="mend: name another place"):
        packing.write(tmp_path / "no folder" / "x.zip", {}, {})


def test_pack_asks_who_you_are_first(tmp_path: Path) -> None:
    if (ROOT / identity.FILE).exists():
        pytest.skip("somebody has said who they are in this tree")
    done = subprocess.run([ROOT / "nest", "pack", "lab1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "nest whoami --name" in done.stderr


def test_in_a_pipe_a_line_says_where_the_work_is() -> None:
    """However long one step takes. It waits for the lines, not for a time."""
    text = "from grader.build.workshop import Progress\np = Progress(0.01)\np('judging [3/9] x')\ninput()\np.clear()\n"
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}) as child:
        assert child.stderr is not None
        assert [child.stderr.readline() for _ in range(2)] == ["nest: judging [3/9] x\n"] * 2
        child.communicate("\n", timeout=60)
