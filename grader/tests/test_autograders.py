# SPDX-License-Identifier: MIT
"""The autograders for Gradescope and Classroom 50: what is in them, and what they leave whatever a
submission does."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from jsonschema import Draft202012Validator

from grader import CannotRun, UsageError
from grader.confine import sandbox
from grader.course import lab as labs_module
from grader.course import release
from grader.course.lab import ROOT
from grader.export import autograder_zip, classroom50, gradescope, on_gradescope, sealing
from grader.judge import outcome
from grader.judge.outcome import Outcome
from grader.release import objects, tree
from grader.tests.sample_class import NASTY, PENDING, lab1, results_of, some, students_form

GRADESCOPE = Draft202012Validator(json.loads(gradescope.SCHEMA.read_text()))
CLASSROOM50 = Draft202012Validator(json.loads((ROOT / "grader/export/schemas/classroom50.json").read_text()))


@pytest.fixture(autouse=True)
def a_sandbox_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(True, "for a test"))


def small_tree(folder: Path) -> Path:
    """A repository with some of staff's files."""
    for name in ("nest", "grader/__init__.py", "grader/tests/test_x.py", "docs/x.md", "labs/lab1-user-programs/lab.json",
                 "solutions-private/kern/elf/elf_decode.cc", "solutions-private/mutants/lab1/x/a.cc",
                 "solutions-private/hidden/lab5/tests.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    (folder / "nest").chmod(0o755)
    tree.git(folder, "init", "-q")
    tree.git(folder, "add", "-A")
    tree.git(folder, "commit", "-q", "-m", "as it is")
    return folder


# Gradescope's zip


def test_the_zip_has_what_gradescope_wants_at_its_root(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "tree")
    autograder_zip.write(root, lab1(), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        modes = {one.filename: one.external_attr >> 16 & 0o777 for one in archive.infolist()}
        assert modes == {"setup.sh": 0o755, "run_autograder": 0o755, "nestling.tar.gz": 0o600}
        for script in ("setup.sh", "run_autograder"):
            text = archive.read(script)
            assert text.startswith(b"#!/usr/bin/env bash\n") and b"\r" not in text
        archive.extract("nestling.tar.gz", tmp_path)
    with tarfile.open(tmp_path / "nestling.tar.gz") as tar:
        members = {one.name: one for one in tar}
        settings = json.load(tar.extractfile("nestling/autograder.json"))
    assert set(members) == {f"nestling/{name}" for name in (
        "nest", "grader/__init__.py", "labs/lab1-user-programs/lab.json", "solutions-private/kern/elf/elf_decode.cc",
        "solutions-private/hidden/lab5/tests.json", "autograder.json")}
    assert members["nestling/nest"].mode & 0o111 and {one.uname for one in members.values()} <= {"root", ""}
    assert settings["lab"] == "lab1" and len(settings["salt"]) == 32 and len(settings["tree"]) == 40


def test_a_tree_with_changes_makes_no_zip(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "tree")
    (root / "nest").write_text("other\n")
    with pytest.raises(CannotRun, match="not committed"):
        autograder_zip.write(root, lab1(), tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("script", sorted(path.name for path in autograder_zip.SCRIPTS.iterdir()))
def test_the_scripts_are_bash(script: str) -> None:
    subprocess.run(["bash", "-n", str(autograder_zip.SCRIPTS / script)], check=True)


@pytest.mark.parametrize("breaks", [False, True])
def test_no_reference_stays_when_setup_is_done_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: bool) -> None:
    root = small_tree(tmp_path / "tree")
    (root / "nest").write_text("#!/bin/sh\nmkdir -p build/transcripts; echo $* > build/said\n")
    (root / autograder_zip.SETTINGS).write_text('{"lab": "lab1"}')
    (root / "build").mkdir()
    written = []

    def write(*words: object) -> None:
        assert (root / "solutions-private/kern/elf/elf_decode.cc").exists()
        written.append(words)
        if breaks:
            raise CannotRun("no compiler")

    monkeypatch.setattr(objects, "toolchains", lambda root, say: [])
    monkeypatch.setattr(objects, "write", write)
    if breaks:
        with pytest.raises(CannotRun):
            sealing.seal(root)
    else:
        sealing.seal(root)
        assert (root / "build/said").read_text() == "grade lab1 --reference --seed 1\n"
        assert not (root / "build/transcripts").exists()
    assert written and [path.name for path in (root / "solutions-private").iterdir()] == ["hidden"]


# What run_autograder leaves


def grader_that(tmp_path: Path, script: str) -> tuple[Path, Path]:
    """A tree whose nest is a script, and Gradescope's folder."""
    root, top = tmp_path / "nestling", tmp_path / "autograder"
    root.mkdir()
    (root / "nest").write_text("#!/bin/bash\nfor word; do case $last in --json) out=$word;; --seed) seed=$word;; esac; "
                               f"last=$word; done\n{script}")
    (root / "nest").chmod(0o755)
    (root / on_gradescope.SETTINGS).write_text(json.dumps({"lab": "lab1", "salt": "x", "tree": "y"}))
    (top / "submission").mkdir(parents=True)
    (top / "submission_metadata.json").write_text(json.dumps({"id": 123456, "users": [{"name": NASTY}]}))
    return root, top


def left(top: Path) -> dict:
    data = json.loads((top / "results/results.json").read_text(encoding="utf-8"))
    GRADESCOPE.validate(data)
    assert (top / "results/results.json").stat().st_mode & 0o444 == 0o444
    return data


def test_a_result_becomes_gradescopes(tmp_path: Path) -> None:
    root, top = grader_that(tmp_path, f"cp {tmp_path}/sample $out; echo {NASTY[:5]!r}; echo $NEST_SANDBOX $seed > said; exit 1\n")
    result = results_of(lab1(), some({"boot:": Outcome(outcome.CRASHED, NASTY)}))
    (tmp_path / "sample").write_text(json.dumps(students_form(result)))
    on_gradescope.judge(top, root)
    data = left(top)
    assert data["score"] == result.score and "could not" not in data["output"]
    sandbox, seed = (root / "said").read_text().split()
    assert sandbox == "own-user" and int(seed) == on_gradescope.seed("x", top) != on_gradescope.seed("y", top)


@pytest.mark.parametrize("script", [
    "exit 3\n", "exit 1\n", "kill -9 $$\n", "echo '{' > $out; exit 0\n", "echo '{}' > $out; exit 0\n", "exec sleep 100\n",
    "trap '' TERM; sleep 100 & wait; sleep 100\n", "printf '\\033[31m\\377'; exit 134\n",
    "rm -rf ../autograder/submission; exit 2\n",
])
def test_what_is_our_fault_is_no_score(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_gradescope, "GRACE_SECONDS", 0.2)
    root, top = grader_that(tmp_path, script)
    on_gradescope.judge(top, root, seconds=1 if "sleep" in script else 60)
    data = left(top)
    assert "score" not in data and "not judged" in data["output"] and "not your fault" in data["output"]


def test_who_hands_in_nothing_has_no_points(tmp_path: Path) -> None:
    root, top = grader_that(tmp_path, "exit 2\n")
    on_gradescope.judge(top, root)
    assert left(top)["score"] == 0 and "kern/elf/elf_decode.cc" in left(top)["output"]


def test_the_file_is_there_before_anything_runs_and_no_grader_can_take_it_away(tmp_path: Path) -> None:
    results = tmp_path / "autograder/results/results.json"
    root, top = grader_that(tmp_path, f"cp {results} {tmp_path}/early; kill -9 $PPID; sleep 1\n")
    code = ("from pathlib import Path; from grader.confine import sandbox; from grader.export.on_gradescope import judge; "
            "sandbox.status = lambda: sandbox.Status(True, ''); "
            f"judge(Path({str(top)!r}), Path({str(root)!r}))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -9 and (tmp_path / "early").read_bytes() == (top / "results/results.json").read_bytes()
    assert "not judged" in left(top)["output"] and "score" not in left(top)


def test_without_a_sandbox_nothing_of_a_student_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "no namespaces", "none"))
    root, top = grader_that(tmp_path, f"touch {tmp_path}/ran; exit 0\n")
    on_gradescope.judge(top, root)
    assert "score" not in left(top) and not (tmp_path / "ran").exists()
    with pytest.raises(CannotRun, match="no namespaces"):
        (root / "solutions-private").mkdir()
        monkeypatch.setattr(objects, "toolchains", lambda root, say: [])
        monkeypatch.setattr(objects, "write", lambda *words: None)
        sealing.seal(root)


def test_a_settings_file_that_is_gone_is_no_score(tmp_path: Path) -> None:
    root, top = grader_that(tmp_path, "exit 0\n")
    (root / on_gradescope.SETTINGS).unlink()
    on_gradescope.judge(top, root)
    assert "score" not in left(top)


# Classroom 50


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("autograder", classroom50.SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ENVIRONMENT = {"CLASSROOM": "os", "ASSIGNMENT": "lab1", "USERNAME": "ada",
               "SUBMISSION_TAG": "submit/2026-11-27T18-00-00Z-abc1234", "COMMIT_URL": "https://c", "RELEASE_URL": "https://r"}


@pytest.mark.parametrize(("lab", "scale"), [("lab1", 8), ("lab2", 8), ("lab3", None), ("lab5", None)])
def test_classroom50_has_whole_numbers_that_keep_their_ratio(script: ModuleType, lab: str, scale: int | None) -> None:
    result = results_of(labs_module.find(lab), some({"boot:": outcome.FAILED}), (PENDING,) * 4)
    made = script.to_result(students_form(result), ENVIRONMENT)
    CLASSROOM50.validate(made)
    points = sum(one.score for one in result.tasks if one.counts)
    most = sum(one.max_score for one in result.tasks if one.counts)
    assert made["score"] / made["max-score"] == points / most
    assert scale is None or made["max-score"] == most * scale
    assert made["score"] == sum(test["score"] for test in made["tests"]) and all(test["provisional"] for test in made["tests"])
    assert all(test["score"] == test["max-score"] for test in made["tests"] if test["passed"])
    assert "Provisional" in script.body(students_form(result), made)


def test_classroom50_runs_and_says_that_it_is_provisional(tmp_path: Path) -> None:
    bundle, checkout = tmp_path / "bundle", tmp_path / "checkout"
    (bundle / "nestling").mkdir(parents=True)
    checkout.mkdir()
    (checkout / "references").mkdir()
    (bundle / "nestling/nest").write_text("#!/bin/bash\n[ -d references ] || exit 9\n"
                                          "while [ $# -gt 0 ]; do [ $1 = --json ] && cp $SAMPLE $2; shift; done; exit 1\n")
    (bundle / "nestling/nest").chmod(0o755)
    with tarfile.open(bundle / "nestling.tar.gz", "w:gz") as tar:
        tar.add(bundle / "nestling", "nestling")
    (bundle / "settings.json").write_text('{"lab": "lab1"}')
    (bundle / "autograder.py").write_text(classroom50.SCRIPT.read_text())

    def run(kind: str) -> int:
        (tmp_path / "sample").write_text(json.dumps(students_form(results_of(lab1(), some({"boot:": kind})))))
        environment = {**os.environ, **ENVIRONMENT, "SAMPLE": str(tmp_path / "sample"),
                       "GITHUB_OUTPUT": str(tmp_path / "output"), "RUNNER_TEMP": str(tmp_path)}
        return subprocess.run([sys.executable, str(bundle / "autograder.py")], cwd=checkout, check=False, env=environment,
                              capture_output=True).returncode

    assert run(outcome.NOT_JUDGED) == 1 and not (checkout / "result.json").exists()
    assert run(outcome.FAILED) == 0
    CLASSROOM50.validate(json.loads((checkout / "result.json").read_text()))
    assert "Provisional: this ran in the student's own" in (checkout / "release-body.md").read_text()
    assert "status=failure\nsummary=provisional: " in (tmp_path / "output").read_text()


def test_a_submission_that_takes_too_long_is_no_result(tmp_path: Path, script: ModuleType) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/nest").write_text("#!/bin/sh\nexec sleep 100\n")
    (tmp_path / "tree/nest").chmod(0o755)
    assert script.judged(tmp_path / "tree", "lab1", tmp_path, seconds=0.5) is None
    assert script.SECONDS < 15 * 60


def test_the_bundle_has_no_reference_and_no_hidden_test(tmp_path: Path) -> None:
    made = small_tree(tmp_path / "release")
    with pytest.raises(UsageError, match="is no release"):
        classroom50.write(made, lab1(), ("g++",), tmp_path / "out")
    (made / release.FILE).write_text(release.Release("OS", 1, "2026-11-27", "0" * 40, "lab1", ()).to_json())
    (made / "references/abc/x").mkdir(parents=True)
    (made / "references/abc/x/asan.o").write_text("an object")
    tree.git(made, "add", "-A")
    tree.git(made, "commit", "-q", "-m", "a release")
    with pytest.raises(CannotRun, match="solutions-private"):
        classroom50.write(made, lab1(), ("g++",), tmp_path / "out")
    tree.git(made, "rm", "-rq", "solutions-private")
    tree.git(made, "commit", "-q", "-m", "without")
    classroom50.write(made, lab1(), ("g++", "cmake"), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "autograder.py", "nestling.tar.gz", "settings.json", "runtime.json"}
    with tarfile.open(tmp_path / "out/nestling.tar.gz") as tar:
        names = tar.getnames()
    assert "nestling/nest" in names and not [name for name in names if "references" in name or "private" in name]
    assert json.loads((tmp_path / "out/runtime.json").read_text()) == {"runs-on": "ubuntu-24.04", "apt": ["g++", "cmake"]}
