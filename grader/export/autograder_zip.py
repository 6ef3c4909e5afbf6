# SPDX-License-Identifier: MIT
"""The autograder that staff upload to Gradescope: setup.sh, run_autograder, and this tree as it is
committed.

The tree has the references, since Gradescope's image has a compiler that is not ours: setup.sh
makes them objects and deletes them (grader/export/sealing.py). The zip is staff's alone.
"""

from __future__ import annotations

import gzip
import io
import json
import secrets
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from grader.course.lab import Lab
from grader.export.on_gradescope import SETTINGS
from grader.release.contents import PRIVATE, commit, tracked

SCRIPTS = Path(__file__).with_name("gradescope_zip")
TREE = "nestling"
LEFT_OUT = (".ci", "docs", "grader/attacks", "grader/tests",
            *(f"{PRIVATE}/{name}" for name in ("mutants", "variants", "survivors")))
"""Folders that no judging needs."""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def write(root: Path, lab: Lab, out: Path) -> None:
    """Writes the zip. Raises CannotRun if the tree is not as it was committed."""
    files = [path for path in tracked(root) if not any(path.is_relative_to(folder) for folder in LEFT_OUT)]
    settings = {"lab": lab.id, "tree": commit(root), "salt": secrets.token_hex(16)}
    tree = _tar(root, files, json.dumps(settings).encode())
    making = out.with_name(f".{out.name}.making")
    with zipfile.ZipFile(making, "w", zipfile.ZIP_DEFLATED) as archive:
        for script in sorted(SCRIPTS.iterdir()):
            archive.writestr(_member(script.name, 0o755), script.read_bytes())
        archive.writestr(_member(f"{TREE}.tar.gz", 0o600), tree, zipfile.ZIP_STORED)
    making.replace(out)


def _member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _LONG_AGO)
    info.create_system = 3  # Unix: what follows are its modes
    info.external_attr = (0o100000 | mode) << 16
    return info


def _tar(root: Path, files: list[PurePosixPath], settings: bytes) -> bytes:
    packed = io.BytesIO()
    # Modes must arrive whatever unpacks the zip; so the tree is an archive of its own.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path in files:
            tar.add(root / path, f"{TREE}/{path}", recursive=False, filter=_nobodys)
        info = tarfile.TarInfo(f"{TREE}/{SETTINGS}")
        info.size, info.mode = len(settings), 0o600
        tar.addfile(info, io.BytesIO(settings))
    return packed.getvalue()


def _nobodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
