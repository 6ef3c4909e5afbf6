# SPDX-License-Identifier: MIT
"""From uploads to submissions: every form in which students hand in, and uploads that mean harm."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grader import UsageError
from grader.intake import members, platforms, uploads
from grader.intake.members import Unreadable
from grader.intake.submission import Findings, Submission

ONE, TWO, QUESTIONS = "vmm/pager/one.cc", "kern/x/two.S", "labs/lab1-toy/questions.md"
LAB: Any = SimpleNamespace(
    id="lab1", folder=Path("/tree/labs/lab1-toy"), questions=SimpleNamespace(file="questions.md"),
    tasks=(SimpleNamespace(id="lab1.one", file=ONE), SimpleNamespace(id="lab1.two", file=TWO)))
ALL = {ONE: b"one", TWO: b"two", QUESTIONS: b"answers"}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def committed(folder: Path) -> Path:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True,
                       capture_output=True)

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "handed in")
    return folder


def read(folder: Path, **more: Any) -> dict[str, Submission]:
    return {one.who.id: one for one in uploads.read_all(folder, LAB, **more)[0]}


def test_every_form_of_the_same_files_is_the_same_submission(tmp_path: Path) -> None:
    put(tmp_path / "folder", ALL)
    put(tmp_path / "nested" / "lab-main" / "my work", ALL)
    zipped(tmp_path / "lab1-packed.zip", {"manifest.json": b"{}", **ALL})
    zipped(tmp_path / "windows.zip", {name.replace("/", "\\"): data for name, data in ALL.items()})
    for mode, ending in (("w:gz", "tar.gz"), ("w:bz2", "tbz2"), ("w:xz", "tar.xz"), ("w", "tar")):
        tarred(tmp_path / f"tar-{ending.replace('.', '')}.{ending}", ALL, mode)
    zipped(put(tmp_path / "moodle one_77_assignsubmission_file_", {}) / "x.zip", ALL) if (
        tmp_path / "moodle one_77_assignsubmission_file_").mkdir() is None else None
    committed(put(tmp_path / "git", ALL))
    subprocess.run(["git", "clone", "-q", "--bare", tmp_path / "git", tmp_path / "bare"], check=True, capture_output=True)
    for name, data in ALL.items():
        (tmp_path / f"doejane_LATE_12_99_{Path(name).name}").write_bytes(data)
        (tmp_path / f"Jan Novák_78_assignsubmission_file_{Path(name).name}").write_bytes(data)
    found = read(tmp_path)
    assert set(found) == {"folder", "nested", "packed", "windows", "tar-targz", "tar-tbz2", "tar-tarxz", "tar-tar",
                          "77", "git", "bare", "12", "78"}
    for one in found.values():
        assert one.files == ALL, (one.who.id, one.findings)
        assert not one.findings, one
    assert len({one.digest for one in found.values()}) == 1
    assert found["12"].who.late and not found["78"].who.late
    assert found["78"].who.name == "Jan Novák"


def test_what_is_missing_or_not_written_is_said(tmp_path: Path) -> None:
    put(tmp_path / "half", {ONE: b'todo("lab1.one");'})
    (tmp_path / "empty").mkdir()
    found = read(tmp_path)
    assert found["half"].findings == (f"{TWO}: not submitted", f"{QUESTIONS}: not submitted", f"{ONE}: not written")
    assert not found["empty"].files and len(found["empty"].findings) == 3


def test_files_that_were_renamed_on_the_way_are_found(tmp_path: Path) -> None:
    put(tmp_path / "renamed", {"one (1).cc": b"one", "TWO.s": b"two"})
    one = read(tmp_path)["renamed"]
    assert one.files == {ONE: b"one", TWO: b"two"}
    assert f"one (1).cc was taken for {ONE}" in one.findings


def test_of_a_platforms_numbers_the_last_counts_and_in_a_folder_the_plain_name(tmp_path: Path) -> None:
    for name, data in (("one.cc", b"old"), ("one-1.cc", b"newer"), ("one-2.cc", b"newest")):
        (tmp_path / f"doe_1_{len(data)}_{name}").write_bytes(data)
    put(tmp_path / "folder", {"one.cc": b"mine", "one-1.cc": b"a copy"})
    found = read(tmp_path)
    assert found["1"].files[ONE] == b"newest"
    assert found["folder"].files[ONE] == b"mine"


def test_two_files_for_one_task_that_differ_are_ambiguous_and_equal_ones_are_not(tmp_path: Path) -> None:
    put(tmp_path / "differ", {"a/one.cc": b"1", "b/one.cc": b"2", TWO: b"two"})
    put(tmp_path / "equal", {"a/one.cc": b"1", "b/one.cc": b"1"})
    zipped(tmp_path / "twice.zip", {"a/one.cc": b"1", "A/one.cc": b"2"})
    found = read(tmp_path)
    assert found["differ"].files == {TWO: b"two"}
    assert f"{ONE} is ambiguous: a/one.cc and b/one.cc differ; none was taken" in found["differ"].findings
    assert found["equal"].files[ONE] == b"1"
    assert ONE not in found["twice"].files


def test_in_a_whole_tree_another_file_of_the_same_name_is_not_taken(tmp_path: Path) -> None:
    put(tmp_path / "tree", {"vmm/svm/one.cc": b"given code", f"solutions-private/{TWO}": b"?", "deep/er/x/two.S": b"two"})
    one = read(tmp_path)["tree"]
    assert ONE not in one.files and one.files[TWO] == b"two"


def test_several_uploads_of_one_student(tmp_path: Path) -> None:
    put(tmp_path / "ann", ALL)
    zipped(tmp_path / "lab1-ann.zip", ALL)
    put(tmp_path / "bob", ALL)
    zipped(tmp_path / "bob.zip", {ONE: b"other"})
    found = read(tmp_path)
    assert found["ann"].files == ALL
    assert not found["bob"].files and "several uploads that differ" in found["bob"].findings[0]


def test_the_roster_names_who_is_missing_and_who_is_unknown(tmp_path: Path) -> None:
    put(tmp_path / "up" / "ann", ALL)
    put(tmp_path / "up" / "eve", ALL)
    (tmp_path / "class.csv").write_text("\ufeffid,name,group,handed_in\nann,Ann A.,g1,2026-11-01T12:00\ncid,Cid,,\n")
    found, nobodys = uploads.read_all(tmp_path / "up", LAB, platforms.read_roster(tmp_path / "class.csv"))
    who = {one.who.id: one for one in found}
    assert who["ann"].who.name == "Ann A." and who["ann"].who.handed_in == "2026-11-01T12:00"
    assert who["cid"].findings == ("not submitted",)
    assert nobodys == ["eve (eve) is not in the roster"]


@pytest.mark.parametrize("text, word", [("name\nann\n", "no column 'id'"), ("id\nann\nann\n", "appears twice")])
def test_a_roster_that_cannot_be_meant(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "class.csv").write_text(text)
    with pytest.raises(UsageError, match=word):
        platforms.read_roster(tmp_path / "class.csv")


def test_gradescopes_file_says_whose_it_is(tmp_path: Path) -> None:
    put(tmp_path / "submission_11", ALL)
    (tmp_path / "submission_metadata.yml").write_text(
        "submission_11:\n  :submitters:\n  - :name: Ann\n    :sid: s1\n    :email: a@x\n  - :name: Bob\n    :sid:\n    :email: b@x\n"
        "  :created_at: 2026-11-01 12:00:00.5 Z\n")
    one = read(tmp_path)["s1"]
    assert one.who.members == ("s1", "b@x") and one.who.name == "Ann, Bob" and one.who.handed_in.startswith("2026-11-01T12:00")


def test_names_that_lead_elsewhere_are_left_out_by_name(tmp_path: Path) -> None:
    bad = {"/etc/one.cc": b"x", "../one.cc": b"x", "a/../../one.cc": b"x", "C:\\one.cc": b"x", "..\\one.cc": b"x",
           "new\nline/one.cc": b"x", "\x1b[31m/one.cc": b"x", "\u202eone.cc": b"x"}
    zipped(tmp_path / "zip.zip", bad)
    tarred(tmp_path / "tar.tar", bad)
    found = read(tmp_path)
    for one in found.values():
        assert not one.files, one.files
        left = [line for line in one.findings if line.endswith("left out")]
        assert len(left) == len(bad), left
        assert all(line.isprintable() for line in one.findings)


def test_links_pipes_and_devices_are_never_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    up = tmp_path / "up"
    folder = put(up / "folder", {TWO: b"two"})
    (folder / "one.cc").symlink_to(secret)
    (folder / "vmm").symlink_to(tmp_path)
    os.mkfifo(folder / "questions.md")
    (up / "linked").symlink_to(tmp_path)
    (up / "lab1-eve.zip").symlink_to(secret)
    with tarfile.open(up / "tar.tar", "w") as archive:
        for kind, link in ((tarfile.SYMTYPE, str(secret)), (tarfile.LNKTYPE, "two.S"), (tarfile.FIFOTYPE, ""),
                           (tarfile.CHRTYPE, "")):
            info = tarfile.TarInfo(f"{kind.decode()}/one.cc")
            info.type, info.linkname = kind, link
            archive.addfile(info)
    with zipfile.ZipFile(up / "zip.zip", "w") as archive:
        info = zipfile.ZipInfo("one.cc")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(secret))
    found, nobodys = uploads.read_all(up, LAB)
    who = {one.who.id: one for one in found}
    assert set(who) == {"folder", "tar", "zip"} and len(nobodys) == 2
    assert who["folder"].files == {TWO: b"two"}
    assert not who["tar"].files and not who["zip"].files
    assert sum("left out" in line for line in who["tar"].findings) == 4


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "UNPACKED_BYTES", 4 << 20)
    path = tarred(tmp_path / "bomb.tar", {"zeros": bytes(8 << 20), ONE: b"one"}, mode)
    with pytest.raises(Unreadable, match="unpacks to more than"):
        [one.read() for one in members.of_archive(path, Findings())]


def test_an_xz_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    packed = bytearray(tarred(tmp_path / "x", {ONE: b"one"}, "w:xz").read_bytes())
    block, end = 12, 12 + (packed[12] + 1) * 4
    packed[block + 4] = 40  # the dictionary: 4 GiB
    packed[end - 4:end] = zlib.crc32(packed[block:end - 4]).to_bytes(4, "little")
    (tmp_path / "greedy.tar.xz").write_bytes(packed)
    one = read(tmp_path)["greedy"]
    assert not one.files and any("cannot be read" in line for line in one.findings)


def test_a_name_that_two_tasks_share_says_nothing_without_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LAB, "tasks", (SimpleNamespace(id="lab1.one", file="vmm/svm/s.S"),
                                       SimpleNamespace(id="lab1.two", file="vmm/vmx/s.S")))
    put(tmp_path / "bare", {"s.S": b"?"})
    put(tmp_path / "told", {"svm/s.S": b"amd", "x/vmx/s.S": b"intel"})
    found = read(tmp_path)
    assert not found["bare"].files
    assert found["told"].files == {"vmm/svm/s.S": b"amd", "vmm/vmx/s.S": b"intel"}


def test_a_zip_whose_members_are_huge(tmp_path: Path) -> None:
    zipped(tmp_path / "big.zip", {ONE: bytes(3 << 20), TWO: b"two"})
    one = read(tmp_path)["big"]
    assert one.files == {TWO: b"two"} and f"{ONE} has more than 1 MiB: left out" in one.findings


@pytest.mark.parametrize("name, data", [
    ("not.zip", b"this is no archive"), ("cut.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3abc"), ("empty.zip", b""),
    ("greedy.tar.xz", b"\xfd7zXZ\0\0\4" + b"\xff" * 100), ("zeros.tar", bytes(10_000))])
def test_an_archive_that_is_none_costs_its_student_alone(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    put(tmp_path / "ann", ALL)
    found = read(tmp_path)
    assert found["ann"].files == ALL
    assert not found[name.partition(".")[0]].files


def test_an_encrypted_member_and_an_archive_inside(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "x", {ONE: b"one", "inner.zip": b"?"}).read_bytes())
    for at in (data.find(b"PK\x01\x02") + 8, data.find(b"PK\x03\x04") + 6):
        data[at] |= 1
    (tmp_path / "enc.zip").write_bytes(data)
    one = read(tmp_path)["enc"]
    assert f"{ONE} is encrypted: left out" in one.findings
    assert "inner.zip is an archive inside the upload: it was not opened" in one.findings


def test_a_repository_obeys_nobody(tmp_path: Path) -> None:
    """What git would execute, or read elsewhere, if it took the submission for a repository of
    ours."""
    ran = tmp_path / "ran"
    other = committed(put(tmp_path / "other", {ONE: b"a neighbour's answer"}))
    up = tmp_path / "up"
    evil = committed(put(up / "evil", {ONE: b"one", TWO: b"two"}))
    with (evil / ".git/config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = touch {ran}; false\n\tsshCommand = touch {ran}\n"
                   f"[filter \"x\"]\n\tsmudge = touch {ran}\n\tclean = touch {ran}\n[include]\n\tpath = /etc/passwd\n")
    (evil / ".git/info").mkdir(exist_ok=True)
    (evil / ".git/info/attributes").write_text("* filter=x\n")
    hook = evil / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    # Another repository's objects, lent.
    lent = put(up / "lent", {})
    subprocess.run(["git", "init", "-q", lent], check=True)
    (lent / ".git/objects/info").mkdir(exist_ok=True)
    (lent / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
    head = subprocess.run(["git", "-C", other, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    (lent / ".git/HEAD").write_text(head)
    # A .git that is a file, and one that is a link.
    put(up / "file", {".git": f"gitdir: {other}/.git\n".encode(), TWO: b"two"})
    (put(up / "link", {TWO: b"two"}) / ".git").symlink_to(other / ".git")
    found = read(up)
    assert found["evil"].files == {ONE: b"one", TWO: b"two"}, found["evil"].findings
    assert not found["lent"].files
    assert found["file"].files == {TWO: b"two"} and found["link"].files == {TWO: b"two"}
    assert not ran.exists()


def test_a_link_inside_a_repository_is_left_out(tmp_path: Path) -> None:
    folder = put(tmp_path / "ann", {TWO: b"two"})
    (folder / "one.cc").symlink_to("/etc/passwd")
    one = read(put(tmp_path, {}) if committed(folder) else tmp_path)["ann"]
    assert one.files == {TWO: b"two"} and "one.cc is a link: left out" in one.findings


def test_the_folder_of_uploads_may_be_a_link_and_must_be_there(tmp_path: Path) -> None:
    put(tmp_path / "up" / "ann", ALL)
    (tmp_path / "link").symlink_to(tmp_path / "up")
    assert read(tmp_path / "link")["ann"].files == ALL
    with pytest.raises(UsageError, match="no folder"):
        uploads.read_all(tmp_path / "nowhere", LAB)


def test_ten_thousand_bad_names_make_no_ten_thousand_lines(tmp_path: Path) -> None:
    zipped(tmp_path / "many.zip", {f"../{number}": b"" for number in range(1000)})
    findings = read(tmp_path)["many"].findings
    assert len(findings) == 21 and findings[-1].startswith("and 98")
