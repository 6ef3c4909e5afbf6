# SPDX-License-Identifier: MIT
"""The folder that staff put at CLASSROOM/autograders/ASSIGNMENT/ of Classroom 50's repository.

It is published, so it is made of a release and of nothing else: no hidden test, and no reference,
not even as an object. The objects of earlier labs that a release has are in the student's own
checkout.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

from grader import CannotRun, UsageError
from grader.build.reference_objects import FOLDER as REFERENCES
from grader.course import release
from grader.course.lab import Lab
from grader.release.contents import PRIVATE, tracked

SCRIPT = Path(__file__).with_name("classroom50_bundle") / "autograder.py"
TREE = "nestling"
LARGEST = 10 << 20
"""Classroom 50's runner fetches no larger bundle."""


def write(made: Path, lab: Lab, packages: tuple[str, ...], out: Path) -> None:
    """Writes the folder from the release in ``made``. Raises UsageError and CannotRun."""
    if release.read(made) is None or not (made / "labs" / lab.folder.name / "lab.json").is_file():
        raise UsageError(f"{made} is no release with {lab.id}\n  mend: `nest release {made}` makes one")
    files = [path for path in tracked(made) if path.parts[0] != REFERENCES]
    if private := [path for path in files if path.parts[0] == PRIVATE]:
        raise CannotRun(f"{made} has {private[0]}, which no release has\n  mend: `nest release` into a new folder")
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path in files:
            tar.add(made / path, f"{TREE}/{path}", recursive=False)
    if len(packed.getvalue()) > LARGEST:
        raise CannotRun(f"the bundle has {len(packed.getvalue()) >> 20} MiB, and Classroom 50 takes {LARGEST >> 20}")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{TREE}.tar.gz").write_bytes(packed.getvalue())
    shutil.copyfile(SCRIPT, out / SCRIPT.name)
    (out / "settings.json").write_text(json.dumps({"lab": lab.id}) + "\n", encoding="utf-8")
    # For `gh teacher assignment add --runtime`: where the packages come from before the minutes of
    # grading count.
    (out / "runtime.json").write_text(json.dumps({"runs-on": "ubuntu-24.04", "apt": list(packages)}, indent=2) + "\n",
                                      encoding="utf-8")
