# SPDX-License-Identifier: MIT
"""`nest release`: what a release has and has not, and that the search finds what was planted."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from grader import CannotRun, UsageError
from grader.build import reference_objects
from grader.course import lab as labs_module
from grader.course.lab import ROOT
from grader.release import contents, course, leaks, tree
from grader.release.leaks import Private, scan
from grader.verbs import release as release_verb
from grader.verbs.release import chosen

LABS = labs_module.load_all()
UNTIL_1 = [lab for lab in LABS if lab.id in ("lab0", "lab1")]
UNTIL_2 = [lab for lab in LABS if lab.id in ("lab0", "lab1", "lab2")]
pytestmark = pytest.mark.skipif(not (ROOT / "solutions-private").is_dir(), reason="a release makes no releases")

TASK = "kern/elf/elf_decode.cc"


def tracked() -> list[PurePosixPath]:
    """The tree's files, as they would be committed."""
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("this tree is no git repository")
    return [PurePosixPath(name) for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def staff_tree(folder: Path) -> Path:
    """A copy of this tree, all of it committed."""
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    tree.git(folder, "init", "-q")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    tree.git(folder, "add", "-A")
    tree.git(folder, "commit", "-q", "-m", "as it is")


@pytest.fixture(scope="module")
def private() -> Private:
    return Private(ROOT, LABS, [path for path in tracked() if contents.is_released(path, LABS)])


@pytest.fixture(scope="module")
def secret(private: Private) -> str:
    """A name that stands in private files alone."""
    return min(private.words).decode()


def test_a_release_has_no_answers_tests_of_ours_or_later_labs() -> None:
    released = [path.as_posix() for path in tracked() if contents.is_released(path, UNTIL_1)]
    for name in released:
        assert not re.match(r"solutions-private|docs/|\.ci/|.*/tests/(?!support/)|grader/(release|mutate|attacks|checks|bench)/",
                            name), name
        assert not name.startswith("labs/lab") or name.startswith(("labs/lab0-", "labs/lab1-")), name
    for name in ("nest", "kern/elf/elf_decode.cc", "vmm/pager/load_page.cc", "grader/verbs/update.py", "Containerfile",
                 "kern/tests/support/random.hh"):
        assert name in released
    assert "vmm/pager/load_page.cc" in contents.later_files(LABS, UNTIL_1)
    assert "kern/elf/elf_decode.cc" not in contents.later_files(LABS, UNTIL_1)


def test_new_verbs_and_rooms_are_staffs_until_somebody_says_otherwise() -> None:
    for name in ("grader/verbs/grade_all.py", "grader/verbs/schemas/x.json", "grader/classes/report.py"):
        assert not contents.is_released(PurePosixPath(name), LABS), name
    verbs = {path.stem for path in tracked() if path.parent.as_posix() == "grader/verbs" and contents.is_released(path, LABS)}
    assert verbs == {*contents.VERBS, *contents.BESIDE_VERBS}, "a name that no file has"
    assert not verbs & {"award", "bench", "release", "test", "verify"}


def test_what_goes_along_imports_nothing_that_stays() -> None:
    """A new file beside the verbs, or a new room, that students' code needs has to be named."""
    files = set(tracked())
    for path in files:
        if path.suffix != ".py" or path.parts[0] != "grader" or not contents.is_released(path, LABS):
            continue
        for found in ast.walk(ast.parse((ROOT / path).read_text())):
            names = [found.module or ""] if isinstance(found, ast.ImportFrom) else []
            names += [f"{names[0]}.{alias.name}" for alias in found.names] if names else []
            names += [alias.name for alias in found.names] if isinstance(found, ast.Import) else []
            for name in names:
                wanted = PurePosixPath(*name.split(".")).with_suffix(".py")
                if wanted in files:
                    assert contents.is_released(wanted, LABS), f"{path} imports {name}"


def test_the_first_hour_goes_along_always() -> None:
    assert [lab.id for lab in chosen(LABS, "lab2,lab5", None)] == ["lab0", "lab2", "lab5"]
    assert [lab.id for lab in chosen(LABS, None, "lab1")] == ["lab0", "lab1"]
    assert [lab.id for lab in chosen(LABS, None, "lab0")] == ["lab0"]


def test_this_tree_leaks_nothing(private: Private) -> None:
    found = [leak for path in tracked() if contents.is_released(path, LABS)
             for leak in leaks._in_text(path.as_posix(), (ROOT / path).read_bytes(), private)]
    assert not found, "\n".join(map(str, found))


def answer() -> str:
    return (ROOT / "solutions-private" / TASK).read_text()


def _comment(folder: Path, secret: str) -> None:
    (folder / "given.cc").write_text("int given();\n// " + " ".join(answer().split()) + "\n")


def _renamed(folder: Path, secret: str) -> None:
    (folder / "notes.txt").write_text(answer())


def _reformatted(folder: Path, secret: str) -> None:
    (folder / "notes.cc").write_text("\n\n".join(re.findall(r"\w+|[^\w\s]", re.sub(r"//.*", "", answer()))))


def _handout(folder: Path, secret: str) -> None:
    (folder / "handout.md").write_text("# Lab 1\n\nWrite it like this:\n\n```\n" + answer() + "```\n")


def _name(folder: Path, secret: str) -> None:
    (folder / f"{secret}.txt").write_text("nothing\n")


def _debug_information(folder: Path, secret: str) -> None:
    source = folder / "x.cc"
    source.write_text(f"int f(int n) {{ int {secret} = n + 1; return {secret} * n; }}\n")
    subprocess.run(["g++", "-g", "-O1", "-c", str(source), "-o", str(folder / "x.o")], check=True)
    source.unlink()


def _history(folder: Path, secret: str) -> None:
    tree.git(folder, "init", "-q")
    _renamed(folder, secret)
    commit(folder)
    (folder / "notes.txt").unlink()
    commit(folder)
    tree.git(folder, "gc", "-q")


def _unreachable(folder: Path, secret: str) -> None:
    tree.git(folder, "init", "-q")
    _renamed(folder, secret)
    tree.git(folder, "hash-object", "-w", "notes.txt")
    (folder / "notes.txt").unlink()


def _reflog(folder: Path, secret: str) -> None:
    tree.git(folder, "init", "-q")
    tree.git(folder, "commit", "-q", "--allow-empty", "-m", f"as {secret} says")
    tree.git(folder, "commit", "-q", "--allow-empty", "--amend", "-m", "nothing")


def _archive(folder: Path, secret: str) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cc", answer())
    with tarfile.open(folder / "x.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("inner.zip")
        member.size = len(inner.getvalue())
        tar.addfile(member, io.BytesIO(inner.getvalue()))


def _compressed(folder: Path, secret: str) -> None:
    (folder / "search.gz").write_bytes(gzip.compress(secret.encode()))


def _pdf(folder: Path, secret: str) -> None:
    (folder / "handout.pdf").write_bytes(b"%PDF-1.4\n1 0 obj\n<<>>\nstream\n" + zlib.compress(answer().encode())
                                         + b"\nendstream\nendobj\n")


def _link(folder: Path, secret: str) -> None:
    (folder / "link").symlink_to(f"../{secret}")


@pytest.mark.parametrize("plant", [_comment, _renamed, _reformatted, _handout, _name, _debug_information, _history,
                                   _unreachable, _reflog, _archive, _compressed, _pdf, _link])
def test_finds_what_was_planted(plant: Callable[[Path, str], None], tmp_path: Path, private: Private,
                                secret: str) -> None:
    assert scan(tmp_path, private) == []
    plant(tmp_path, secret)
    assert scan(tmp_path, private)


def test_a_leak_says_where_and_of_what(tmp_path: Path, private: Private) -> None:
    (tmp_path / "notes.txt").write_text("\n\n\n" + answer())
    leak = scan(tmp_path, private)[0]
    assert leak.where == "notes.txt" and leak.line > 3
    assert leak.source.startswith("solutions-private/")


def test_no_canary_is_in_a_release(tmp_path: Path) -> None:
    """Words planted in every private file: comment, literal, local name, file name. Searched as
    bytes."""
    root = staff_tree(tmp_path / "staff")
    planted = 0
    for path in sorted((root / "solutions-private").rglob("*")):
        if path.suffix == ".cc":
            text = path.read_text()
            path.write_text(text + f"// canarycomment{planted}\n[[maybe_unused]] static const char* canaryliteral{planted}() {{"
                            f"\n    [[maybe_unused]] int canarylocal{planted} = 1;\n    return \"canarystring{planted}\";\n}}\n")
            planted += 1
        elif path.is_file() and path.suffix in (".S", ".md"):
            path.write_text(path.read_text() + f"\n# canarycomment{planted}\n")
            planted += 1
    (root / "solutions-private" / "canaryname.txt").write_text("canarycontent\n")
    assert planted > 100
    commit(root)
    labs = labs_module.load_all(root)[:2]
    out = tmp_path / "release"
    day = datetime.date(2026, 1, 1)
    made = tree.write(tree.Wanted(root, out, tuple(labs), course.Course(references={"lab1": day}), day), lambda line: None)
    objects = {path.parent.name for path in (out / "references").rglob("*.o")}
    assert {Path(task.file).name for lab in labs for task in lab.tasks} <= objects, "the labs' references go along"
    for name, data in [*((str(path), path.read_bytes()) for path in out.rglob("*") if path.is_file()),
                       *leaks._git_objects(out)]:
        for _, text in leaks.unpacked(name, data):
            assert b"canary" not in text, name
    assert made.until == labs[-1].id
    log = tree.git(out, "log", "--format=%s").splitlines()
    assert [line.partition(":")[0] for line in log] == [lab.id for lab in reversed(labs)]
    index = json.loads((out / "references/index.json").read_text())
    assert {path.parent.name for path in (out / "references").rglob("kern") if path.parent.parent.name == "references"} == {*index, "stubs"}
    for name in [task.file for lab in labs for task in lab.tasks] + list(made.later):
        assert (out / "references/stubs" / name).read_bytes() == (out / name).read_bytes() == (root / name).read_bytes()


def test_course_says_whose_references_go_along(tmp_path: Path) -> None:
    day = datetime.date(2026, 5, 1)
    assert course.Course().with_references(UNTIL_2, day) == UNTIL_1
    assert course.Course().with_references(LABS[:1], day) == LABS[:1], "a lab without points has nothing to hide"
    file = tmp_path / "course.json"
    file.write_text(json.dumps({"course": "X", "references": {"lab1": "2026-05-02", "lab2": "2026-05-01"}}))
    assert course.read(file, LABS).with_references(UNTIL_2, day) == [UNTIL_2[0], UNTIL_2[2]]
    for text, says in (('{"references": {"lab99": "2026-05-02"}}', "no such lab"), ("{", "not JSON"),
                       ('{"references": {"lab1": "2026-05-99"}}', "2026-05-99"), ('{"x": 1}', "x")):
        file.write_text(text)
        with pytest.raises(UsageError, match=says):
            course.read(file, LABS)


def test_a_draft_is_in_no_release() -> None:
    finished = [dataclasses.replace(lab, draft=False) for lab in LABS]
    draft = dataclasses.replace(finished[1], draft=True)
    there = [finished[0], draft, *finished[2:]]
    assert release_verb.chosen(there, None, None) == [finished[0], *finished[2:]]
    with pytest.raises(UsageError, match=f"{draft.id} is a draft"):
        release_verb.refuse_drafts([draft])


def test_refuses_a_tree_with_changes_and_a_folder_that_is_no_release(tmp_path: Path) -> None:
    root = tmp_path / "staff"
    root.mkdir()
    with pytest.raises(CannotRun, match="no git repository"):
        contents.tracked(root)
    tree.git(root, "init", "-q")
    (root / "a").write_text("x")
    with pytest.raises(CannotRun, match="not committed"):
        contents.tracked(root)
    with pytest.raises(UsageError, match="is no release"):
        tree.earlier(root)
    assert tree.earlier(tmp_path / "new") is None


def test_objects_fit_one_compiler_and_unchanged_headers(tmp_path: Path) -> None:
    (tmp_path / "kern").mkdir()
    (tmp_path / "kern/a.hh").write_text("int a;\n")
    kit = {"flavours": {"asan": {"compiler": "g++", "compile": ["-O1", f"-I{tmp_path}"]}}, "programs": {}}
    here = reference_objects.Fingerprint.of(tmp_path, kit)
    folder = tmp_path / "references"
    (folder / here.folder / "kern/a.cc").mkdir(parents=True)
    (folder / here.folder / "kern/a.cc/asan.o").write_bytes(b"object")
    index = folder / "index.json"
    index.write_text(json.dumps({here.folder: here.to_dict()}))
    assert reference_objects.find(tmp_path, kit).answers["kern/a.cc"] == folder / here.folder / "kern/a.cc"
    (tmp_path / "kern/a.hh").write_text("long a;\n")
    found = reference_objects.find(tmp_path, kit)
    assert not found.answers.files and "header" in found.why_none and "mend" in found.why_none
    other = {**here.to_dict(), "compilers": ["g++ 99 for x86_64-linux-gnu"]}
    index.write_text(json.dumps({"0" * 16: other}))
    assert "g++ 99" in reference_objects.find(tmp_path, kit).why_none
    index.write_text("{")
    with pytest.raises(CannotRun, match="damaged"):
        reference_objects.find(tmp_path, kit)
    os.unlink(index)
    assert reference_objects.find(tmp_path, kit).why_none == ""


def test_hidden_tests_guard_points_and_are_marked(tmp_path: Path) -> None:
    """A hidden test changes no sum; without staff's folder it is not there."""
    lab = labs_module.find("lab5")
    hidden = [test for test in lab.tests if test.hidden]
    assert hidden and all(test.points == 0 for test in hidden)
    for test in hidden:
        bearer = lab.task(test.task).bearer(test)
        assert bearer.points and not bearer.hidden
    shutil.copytree(lab.folder, tmp_path / "labs" / lab.folder.name)
    alone = labs_module.load(tmp_path / "labs" / lab.folder.name)
    assert not [test for test in alone.tests if test.hidden]
    assert [task.points for task in alone.tasks] == [task.points for task in lab.tasks]
    place = tmp_path / "solutions-private/hidden/lab5"
    place.mkdir(parents=True)
    (place / "tests.json").write_text(json.dumps({"tests": [{"task": "lab5.kernel_entry", "guards": "unit:No.Such",
                                                             "name": "unit:A.B", "checks": "x", "read": "#x"}]}))
    with pytest.raises(Exception, match="has no test 'unit:No.Such' with points"):
        labs_module.load(tmp_path / "labs" / lab.folder.name)


def test_a_stub_may_be_behind_another_ones_and_behind_nothing_else() -> None:
    from grader.release.proof import unreached

    def result(*ends: str, state: str = "graded", score: float = 0) -> dict[str, object]:
        return {"tests": [{"extra_data": {"task": "lab3.x", "outcome": end}} for end in ends],
                "extra_data": {"tasks": [{"id": "lab3.x", "state": state, "score": score}]}}

    assert not unreached(result("blocked", "blocked")) and not unreached(result("not written", state="not written"))
    assert unreached(result("blocked", "failed")) and unreached(result("blocked", score=1)) and unreached(result("failed"))


def test_no_question_is_answered_in_a_release() -> None:
    from grader.release.proof import answered

    def result(*states: str) -> dict[str, object]:
        return {"extra_data": {"questions": [{"id": f"q{i}", "title": "How many?", "state": state}
                                             for i, state in enumerate(states)]}}

    assert not answered(result("no answer", "no answer"), "labs/lab6-x") and not answered(result(), "labs/lab6-x")
    assert answered(result("no answer", "pending"), "labs/lab6-x") == ["labs/lab6-x has an answer to q1: How many?"]
    assert len(answered(result("no number", "right"), "labs/lab6-x")) == 2


def test_a_students_build_folder_has_a_bound(tmp_path: Path) -> None:
    from grader.release.proof import BUILD_BYTES, too_large

    for number in range(5):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").touch()
        os.truncate(tmp_path / str(number) / "file", BUILD_BYTES // 5)  # without blocks on the disk
    [fault] = too_large(tmp_path)
    assert fault.startswith("the build folder has 400 MB, and 400 are allowed")
    shutil.rmtree(tmp_path / "0")
    assert not too_large(tmp_path)


@pytest.mark.parametrize("go_along", [True, False])
def test_a_release_is_graded_beside_wrong_answers_to_earlier_labs(go_along: bool, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    from grader.release import proof

    out = tmp_path / "out"
    for lab in UNTIL_2:
        for task in lab.tasks:
            (out / task.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / task.file, out / task.file)
    tree.git(out, "init", "-q")
    commit(out)
    first = UNTIL_2[1].tasks[0].file

    def grade(folder: Path, lab: object) -> dict[str, object]:
        """As a tree in which nothing stands in for a wrong answer to an earlier lab."""
        given, wrong = (folder / first).read_bytes() == (ROOT / first).read_bytes(), "does not" in (folder / first).read_text()
        ends = {"name": "unit:A.B", "status": "failed" if given or wrong else "passed",
                "extra_data": {"task": "x", "outcome": "not written"}}
        return {"tests": [ends], "extra_data": {"tasks": [{"id": "x", "state": "not written", "score": 0}], "questions": []}}

    monkeypatch.setattr(proof, "_grade", grade)
    monkeypatch.setattr(proof, "_nest", lambda *_: subprocess.CompletedProcess([], 0, "", ""))
    wanted = (ROOT, out, UNTIL_2, UNTIL_2[:2] if go_along else [], lambda line: None)
    if go_along:
        with pytest.raises(proof.Unfit, match="lab2: right answers beside wrong ones to other labs fail unit:A.B: failed$"):
            proof.works(*wanted)
    else:
        proof.works(*wanted)
