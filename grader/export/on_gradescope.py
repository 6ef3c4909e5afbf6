# SPDX-License-Identifier: MIT
"""Judges one submission inside Gradescope's image, and leaves a results.json whatever happens.

The file is there before anything of the student runs: it says that nothing is judged yet. So it
stays if the grader is killed, and Gradescope shows that in the place of its own words for an empty
folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from grader import WRONG_USAGE
from grader.confine import sandbox
from grader.confine.words import clean
from grader.course import lab as labs_module
from grader.course.lab import ROOT
from grader.export import gradescope

SETTINGS = "autograder.json"
"""In the tree: the lab, the commit, and what the nonces follow from."""
SECONDS = 570.0
"""Gradescope ends a container after ten minutes unless staff allow more."""
GRACE_SECONDS = 10.0
"""for a grader that is told to end, to end what it has started"""
SANDBOX = {"NEST_SANDBOX": "own-user"}
"""Gradescope's containers have no namespaces, and run_autograder is root there."""


def judge(top: Path, root: Path = ROOT, seconds: float = SECONDS) -> None:
    """Judges top/submission, and writes top/results/results.json."""
    target = top / "results" / "results.json"
    _write(target, gradescope.no_verdict("the grader was ended before it was done."))
    try:
        _write(target, _verdict(top, root, seconds))
    except Exception as error:  # whatever it is, a student must get a file, and staff the reason
        print(f"{type(error).__name__}: {clean(str(error))}", flush=True)
        _write(target, gradescope.no_verdict("the grader itself failed."))


def _verdict(top: Path, root: Path, seconds: float) -> dict[str, Any]:
    if not sandbox.status().isolated:
        print(sandbox.status().detail, sandbox.status().mend, sep="\n", flush=True)
        return gradescope.no_verdict("students' programs cannot be kept apart from the grader on this machine.")
    settings = json.loads((root / SETTINGS).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="nest-result-") as place:
        result = Path(place) / "result.json"
        status, said = _run([str(root / "nest"), "grade", settings["lab"], "--from", str(top / "submission"),
                             "--json", str(result), "--for-students", "--seed", str(seed(settings["salt"], top))],
                            root, seconds)
        print(said, flush=True)  # Gradescope keeps it for staff
        if result.is_file():
            return gradescope.results_json(json.loads(result.read_text(encoding="utf-8")))
    if status == WRONG_USAGE and (top / "submission").is_dir():
        lab = labs_module.find(settings["lab"])
        return gradescope.nothing_to_judge("it has none of the lab's files: " + ", ".join(task.file for task in lab.tasks),
                                           sum(task.points for task in lab.tasks if lab.counted(task)))
    return gradescope.no_verdict("it took too long." if status is None else "the grader could not run.")


def seed(salt: str, top: Path) -> int:
    """The same for the same submission, so that a regrade repeats its verdict; nobody outside can
    know it."""
    try:
        name = str(json.loads((top / "submission_metadata.json").read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        name = ""
    return int.from_bytes(hashlib.sha256(f"{salt} {name}".encode()).digest()[:6], "big")


def _run(command: list[str], root: Path, seconds: float) -> tuple[int | None, str]:
    """The exit status, or None if the time was up, and what was said at last."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   start_new_session=True, env={**os.environ, **SANDBOX})
        status: int | None
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
            process.terminate()  # it ends what it has started
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(max(0, output.seek(0, os.SEEK_END) - (1 << 16)))
        return status, clean(output.read().decode("utf-8", "replace"))


def _write(target: Path, data: dict[str, Any]) -> None:
    """Whole, or as it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    making = target.with_name(".results.json.making")
    making.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    making.chmod(0o644)
    making.replace(target)


def main() -> int:
    os.umask(0o077)
    os.environ.update(SANDBOX)
    judge(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
