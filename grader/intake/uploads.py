# SPDX-License-Identifier: MIT
"""A folder of uploads as submissions: one a student, or a group."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from grader import UsageError
from grader.course.lab import Lab
from grader.intake import matching, members, platforms, repository
from grader.intake.members import Member, Unreadable
from grader.intake.platforms import Roster
from grader.intake.submission import Findings, Submission, Who

NOT_SUBMITTED = "not submitted"


def read_all(folder: Path, lab: Lab, roster: Roster | None = None) -> tuple[list[Submission], list[str]]:
    """Every submission in a folder of uploads, by student; and what a person should know of uploads
    that are nobody's.

    A student of whom there are several uploads that differ, and one of the roster who handed in
    nothing, have a submission without files. Raises UsageError if there is no such folder.
    """
    top = folder.resolve()
    if not top.is_dir():
        raise UsageError(f"{folder} is no folder\n  mend: name the folder that holds the students' uploads")
    roster = roster or Roster({})
    gradescope = platforms.read_gradescope(top)
    nobodys = []
    by_student: dict[str, list[tuple[Who, Path, str]]] = {}
    for name in sorted(os.listdir(top)):
        if name in (platforms.GRADESCOPE, "__MACOSX") or name.startswith("."):
            continue
        path = top / name
        mode = os.lstat(path).st_mode
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            nobodys.append(f"{shown!r} is {'a link' if stat.S_ISLNK(mode) else 'no file and no folder'}: left out")
            continue
        place = platforms.place_of(name, stat.S_ISDIR(mode), lab.id, gradescope)
        if place is None or not shown.isprintable():
            nobodys.append(f"{shown!r} belongs to nobody, by its name: left out")
            continue
        by_student.setdefault(place.who.id, []).append((roster.merged(place.who), path, place.file))
    out = [_of_student(there, lab) for _, there in sorted(by_student.items())]
    out += [Submission(who, "", "none", findings=(NOT_SUBMITTED,))
            for one, who in sorted(roster.people.items()) if one not in by_student and not _in_group(one, out)]
    if roster.people:
        nobodys += [f"{one.who.id} ({one.source}) is not in the roster" for one in out
                    if not {one.who.id, *one.who.members} & set(roster.people)]
    return sorted(out, key=lambda one: one.who.id), nobodys


def _in_group(student: str, found: Iterable[Submission]) -> bool:
    return any(student in one.who.members for one in found)


def read_one(path: Path, lab: Lab, who: Who | None = None) -> Submission:
    """One upload: a folder, a repository or an archive. Raises UsageError where there is none."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    path = path.resolve()
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise UsageError(f"{path} is no folder and no archive")
    single = stat.S_ISREG(mode) and not path.name.lower().endswith(members.ARCHIVES)
    return _of_student([(who or Who(path.name), path, path.name if single else "")], lab)


def _of_student(there: list[tuple[Who, Path, str]], lab: Lab) -> Submission:
    """What one student handed in: one upload, or several files of which each is one."""
    who = replace(there[0][0], late=any(one.late for one, _, _ in there))
    flat = [(path, file) for _, path, file in there if file and not file.lower().endswith(members.ARCHIVES)]
    whole = [path for _, path, file in there if not file or file.lower().endswith(members.ARCHIVES)]
    found = [_whole(who, path, lab) for path in whole]
    if flat:
        findings = Findings()
        files = _matched(_singles(flat, findings), lab, findings, newest=True)
        found.append(_described(who, flat[0][0].name if len(flat) == 1 else f"{len(flat)} files", "flat", files, lab, findings))
    chosen = found[0]
    if len({one.digest for one in found}) > 1:
        names = " and ".join(one.source for one in found)
        return Submission(who, names, "several", findings=(
            f"several uploads that differ: {names}; none was taken: remove all but one", *chosen.findings))
    return chosen


def _singles(flat: list[tuple[Path, str]], findings: Findings) -> Iterator[Member]:
    for path, file in flat:
        if "/" not in file:
            yield Member(file, lambda path=path, file=file: members.read_file(path, file))  # type: ignore[misc]


def _whole(who: Who, path: Path, lab: Lab) -> Submission:
    findings = Findings()
    try:
        form, inside = _inside(path, findings)
    except OSError as error:
        form, inside = "unreadable", iter(())
        findings.add(f"{path.name}: {error.strerror}")
    return _described(who, path.name, form, _matched(inside, lab, findings), lab, findings)


def _inside(path: Path, findings: Findings) -> tuple[str, Iterator[Member]]:
    """What kind of upload it is, and its members."""
    if not path.is_dir():
        return ("zip" if path.name.lower().endswith(".zip") else "tar"), members.of_archive(path, findings)
    place = repository.folder_of(path)
    if place is not None:
        return "git", repository.of_repository(place, findings)
    if (path / ".git").exists():
        findings.add(".git is no repository's folder: not looked at")
    # What a platform puts into a student's folder is often one archive.
    archives = [one for one in sorted(path.iterdir()) if one.name.lower().endswith(members.ARCHIVES)
                and one.is_file() and not one.is_symlink()]
    others = [one for one in path.iterdir() if one not in archives and not one.name.startswith(".")]
    if len(archives) == 1 and not others:
        form, inside = _inside(archives[0], findings)
        return form, inside
    return "folder", members.of_folder(path, findings)


def _matched(inside: Iterable[Member], lab: Lab, findings: Findings, *, newest: bool = False) -> dict[str, bytes]:
    try:
        return matching.match(inside, lab, findings, newest=newest)
    except Unreadable as why:
        findings.add(f"nothing of it was taken: {why}")
        return {}


def _described(who: Who, source: str, form: str, files: dict[str, bytes], lab: Lab, findings: Findings) -> Submission:
    for path in matching.wanted(lab):
        if path not in files:
            findings.add(f"{path}: {NOT_SUBMITTED}")
    for task in lab.tasks:
        if f'todo("{task.id}")'.encode() in files.get(task.file, b""):
            findings.add(f"{task.file}: not written")
    return Submission(who, source, form, files, findings.all())


