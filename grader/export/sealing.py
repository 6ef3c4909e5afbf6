# SPDX-License-Identifier: MIT
"""Makes the tree in an autograder's image ready to judge: the references become objects, their
sources go, and the kit is built without them. Then the objects must get all points, in the sandbox
that will hold the students' code.

Only hidden tests stay in solutions-private/, closed to all but root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from grader import CannotRun, NestError
from grader.confine import sandbox
from grader.course import lab as labs_module
from grader.course.lab import ROOT
from grader.export.on_gradescope import SANDBOX, SETTINGS
from grader.release import objects
from grader.release.contents import PRIVATE

HIDDEN = "hidden"


def seal(root: Path) -> None:
    """Does so to a tree. Raises CannotRun, and leaves no reference behind even then."""
    labs = labs_module.load_all()
    try:
        if not sandbox.status().isolated:
            raise CannotRun(f"{sandbox.status().detail}\n  mend: {sandbox.status().mend}")
        with tempfile.TemporaryDirectory(prefix="nest-seal-") as kept:
            objects.write(root, root, labs, objects.toolchains(root, _say), Path(kept))
    finally:
        for path in (root / PRIVATE).iterdir():
            if path.name != HIDDEN:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(root / "build", ignore_errors=True)
    lab = json.loads((root / SETTINGS).read_text())["lab"]
    done = subprocess.run([str(root / "nest"), "grade", lab, "--reference", "--seed", "1"], cwd=root, check=False)
    if done.returncode != 0:
        raise CannotRun(f"the references do not get all points of {lab} here: see above")
    shutil.rmtree(root / "build" / "transcripts", ignore_errors=True)


def _say(text: str) -> None:
    print(f"nest: {text}", flush=True)


def main() -> int:
    os.environ.update(SANDBOX)
    try:
        seal(ROOT)
    except NestError as error:
        print(f"nest: {error}", file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
