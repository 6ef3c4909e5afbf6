# SPDX-License-Identifier: MIT
"""The files of a git repository's last commit.

git obeys what stands in a repository: its configuration, its hooks, links to other repositories. So
the submission's own is never used as one. Its objects alone are copied, as files, into a repository
of ours, the last commit's name is read here, and git sees the rest only in the sandbox.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grader.confine import sandbox
from grader.intake.members import FILE_BYTES, MEMBERS, Member, Unreadable, is_fair, read_file
from grader.intake.submission import Findings

SECONDS = 30.0
OBJECTS_BYTES = 256 << 20
_OBJECT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}(?:[0-9a-f]{24})?|pack/pack-[0-9a-f]{40}(?:[0-9a-f]{24})?\.(?:pack|idx)")
_NAME = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REFERENCE = re.compile(r"refs/[\w./-]{1,200}")
_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_NO_REPLACE_OBJECTS": "1",
             "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "HOME": "/nonexistent"}


def folder_of(upload: Path) -> Path | None:
    """Where the repository is, if an upload is one: in its folder .git, or the upload itself
    (bare)."""
    for place in (upload / ".git", upload):
        if place.is_dir() and not place.is_symlink() and all(
                (place / one).is_dir() and not (place / one).is_symlink() for one in ("objects", "refs")):
            return place
    return None


def of_repository(folder: Path, findings: Findings) -> Iterator[Member]:
    """The files of the commit that HEAD names. Raises Unreadable."""
    commit = _head(folder)
    if not shutil.which("git"):
        raise Unreadable("git is not installed: apt-get install git")
    with tempfile.TemporaryDirectory(prefix="nest-git-") as place:
        ours = Path(place) / "ours.git"
        for one in ("objects/info", "objects/pack", "refs/heads"):
            (ours / one).mkdir(parents=True)
        (ours / "HEAD").write_text(f"{commit}\n")
        wide = len(commit) == 64
        (ours / "config").write_text("[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = "
                                     f"{'sha256' if wide else 'sha1'}\n")
        _copy_objects(folder / "objects", ours / "objects")
        listed = _git(ours, "ls-tree", "-r", "-z", "--full-tree", commit)
        entries = listed.split("\0")[:-1]
        if len(entries) > MEMBERS:
            raise Unreadable(f"it has more than {MEMBERS} files")
        for entry in entries:
            words, _, name = entry.partition("\t")
            mode, kind, blob = words.split(" ")
            if kind != "blob" or mode == "120000":
                findings.add(f"{name} is {'a link' if kind == 'blob' else 'another repository'}: left out")
            elif is_fair(name, findings):
                yield Member(name, lambda blob=blob, name=name: _blob(ours, blob, name))  # type: ignore[misc]


def _head(folder: Path) -> str:
    """The name of the last commit."""
    text = _text(folder, "HEAD")
    if not text.startswith("ref: "):
        return _checked(text)
    name = text.removeprefix("ref: ").strip()
    if not _REFERENCE.fullmatch(name) or ".." in name:
        raise Unreadable("its HEAD names nothing")
    place = folder
    for part in name.split("/")[:-1]:
        place = place / part
        if place.is_symlink():
            raise Unreadable(f"its {name} is reached by a link")
    if (folder / name).is_file():
        return _checked(_text(folder, name))
    if (folder / "packed-refs").is_file():
        for line in _text(folder, "packed-refs").splitlines():
            commit, _, what = line.partition(" ")
            if what == name:
                return _checked(commit)
    raise Unreadable("it has no commit")


def _text(folder: Path, name: str) -> str:
    return read_file(folder / name, name).decode("utf-8", "replace")


def _checked(commit: str) -> str:
    if not _NAME.fullmatch(commit.strip()):
        raise Unreadable("its HEAD names no commit")
    return commit.strip()


def _copy_objects(theirs: Path, ours: Path) -> None:
    """Objects and packs alone: no links to other repositories, and nothing that git would obey."""
    total = 0
    for place, folders, names in os.walk(theirs, followlinks=False):
        folders[:] = [one for one in folders if not (Path(place) / one).is_symlink()]
        for name in names:
            path = Path(place) / name
            inside = path.relative_to(theirs).as_posix()
            if not _OBJECT.fullmatch(inside):
                continue
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable(f"its object {inside} is no regular file")
            total += status.st_size
            if total > OBJECTS_BYTES:
                raise Unreadable(f"its objects have more than {OBJECTS_BYTES >> 20} MiB")
            (ours / inside).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, ours / inside, follow_symlinks=False)


def _blob(ours: Path, blob: str, name: str) -> bytes:
    size = _git(ours, "cat-file", "-s", blob).strip()
    if not size.isdigit() or int(size) > FILE_BYTES:
        return b" " * (FILE_BYTES + 1)
    out = ours / "blob"
    out.unlink(missing_ok=True)
    _git(ours, "cat-file", "blob", blob, into=out)
    return read_file(out, name)


def _git(ours: Path, *words: str, into: Path | None = None) -> str:
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", f"--git-dir={ours}", *words]
    if into is not None:
        command = ["/bin/sh", "-c", 'out=$1; shift; exec "$@" > "$out"', "sh", str(into), *command]
    done = sandbox.run(command, timeout=SECONDS, cwd=ours, writable=[ours], env=_SETTINGS, output_bytes=8 << 20,
                       memory_mib=1024)
    if not done.ok or done.truncated:
        said = done.stderr.strip().splitlines()
        raise Unreadable(f"git {words[0]} {done.ended()}" + (f": {said[-1]}" if said else ""))
    return done.stdout
