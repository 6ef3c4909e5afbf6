# SPDX-License-Identifier: MIT
"""The archive that a student hands in: the task files of one lab, its questions, and a manifest.

The manifest says what was packed and what the grader said of it here. It proves nothing: whoever
grades does not believe it, and looks at the hashes only to tell what was meant.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Mapping

from grader import CannotRun, UsageError
from grader.course import release
from grader.course.lab import ROOT, Lab
from grader.student.identity import Identity

MANIFEST = "manifest.json"
LARGEST_FILE = 1 << 20


def files(lab: Lab, root: Path = ROOT) -> dict[str, bytes]:
    """What is handed in, by path in the tree. Raises UsageError for what no grader would take."""
    names = [task.file for task in lab.tasks]
    if lab.questions:
        names.append(f"labs/{lab.folder.name}/{lab.questions.file}")
    found = {}
    for name in names:
        path = root / name
        if path.is_symlink() or not path.is_file():
            raise UsageError(f"{name} is {'a link' if path.is_symlink() else 'missing, or no file'}\n"
                             f"  mend: put the file there; `git checkout -- {name}` brings back the last one committed")
        data = path.read_bytes()
        if len(data) > LARGEST_FILE:
            raise UsageError(f"{name} is larger than 1 MiB, which no grader takes\n  mend: hand in what you wrote only")
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{name} is not UTF-8 (byte {error.start})\n  mend: save it as UTF-8 in your editor") from None
        found[name] = data
    return found


def manifest(lab: Lab, who: Identity, packed: Mapping[str, bytes], score: Mapping[str, Any],
             root: Path = ROOT) -> dict[str, Any]:
    """What is said of the archive inside it."""
    made = release.read(root)
    return {"form": 1, "lab": lab.id, "student": asdict(who), "packed": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "release": made.number if made else None, "commit": _commit(root),
            "files": {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
                      for name, data in packed.items()},
            "local": dict(score)}


def write(target: Path, packed: Mapping[str, bytes], described: Mapping[str, Any]) -> None:
    """Writes the archive, whole or not at all. Raises CannotRun."""
    making = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(making, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {MANIFEST: (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode(),
                               **packed}.items():
                # One date for all, so that equal answers make equal archives but for the manifest.
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
        making.replace(target)
    except OSError as error:
        raise CannotRun(f"cannot write {target}: {error.strerror}\n  mend: name another place with --out") from None
    finally:
        making.unlink(missing_ok=True)


def _commit(root: Path) -> str | None:
    """The last commit of the student's repository, if there is one."""
    try:
        done = subprocess.run(["git", "-C", str(root), "rev-parse", "--verify", "-q", "HEAD"], capture_output=True,
                              text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
