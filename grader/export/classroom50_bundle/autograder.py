#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Judges a submission on Classroom 50 [foundation50/classroom50, wiki: Advanced Autograding].

It runs in the student's own repository, where the student may change what they like: so what it
says is provisional, and staff judge again with `nest grade-all`. Beside it lie the release's tree
without references, and settings.json. The working directory is the student's checkout; result.json
and release-body.md go there.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = 12 * 60.0
"""The job is ended after 15 minutes; what is before and after this needs some of them."""
PROVISIONAL = "Provisional: this ran in the student's own repository. Staff judge again after the deadline."
REFERENCES = "references"


def main() -> int:
    settings = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
    checkout = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="nestling-", dir=os.environ.get("RUNNER_TEMP")) as place:
        with tarfile.open(HERE / "nestling.tar.gz") as archive:  # ours
            archive.extractall(place)
        tree = Path(place) / "nestling"
        if (checkout / REFERENCES).is_dir():  # the release's objects of earlier labs, as the student has them
            shutil.copytree(checkout / REFERENCES, tree / REFERENCES, symlinks=True)
        found = judged(tree, settings["lab"], checkout)
    if found is None or found["extra_data"]["not_judged"]:
        # The runner then says `error`, which is no score.
        print("::error::not all of this could be judged here: the log above says why", file=sys.stderr)
        return 1
    result = to_result(found, os.environ)
    (checkout / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (checkout / "release-body.md").write_text(body(found, result), encoding="utf-8")
    if output := os.environ.get("GITHUB_OUTPUT"):
        with open(output, "a", encoding="utf-8") as file:
            file.write(f"status={'success' if result['score'] == result['max-score'] else 'failure'}\n"
                       f"summary=provisional: {found['score']:g} of {found['max_score']:g} points\n")
    return 0


def judged(tree: Path, lab: str, checkout: Path, seconds: float = SECONDS) -> dict[str, Any] | None:
    """The result as students may have it; None if there is none in time."""
    file = tree.parent / "result.json"
    process = subprocess.Popen([str(tree / "nest"), "grade", lab, "--from", str(checkout), "--json", str(file),
                                "--for-students"], cwd=tree, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends what it has started
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return None
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def to_result(found: dict[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The result in Classroom 50's form, which has whole numbers only: points are eighths, so all
    are made larger alike."""
    counted = [test for test in found["tests"] if "apart" not in test["tags"]]
    scale = next(scale for scale in (1, 2, 4, 8) if all(float(test["max_score"] * scale).is_integer() for test in counted))
    tests = [{"test-name": test["name"], "passed": test["status"] == "passed" and test["score"] == test["max_score"],
              "score": int(test["score"] * scale), "max-score": int(test["max_score"] * scale), "provisional": True,
              "output": "" if test["visibility"] == "hidden" else test["output"]} for test in counted]
    return {
        "schema": "classroom50/result/v1",
        "classroom": env["CLASSROOM"], "assignment": env["ASSIGNMENT"],
        "assignment_type": env.get("ASSIGNMENT_TYPE") or "individual", "owner": env.get("OWNER") or env["USERNAME"],
        "submission": env["SUBMISSION_TAG"], "commit": env["COMMIT_URL"], "release": env["RELEASE_URL"],
        "review": env.get("REVIEW_URL") or env["COMMIT_URL"],
        "datetime": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests), "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }


def body(found: dict[str, Any], result: dict[str, Any]) -> str:
    """What the student reads at the release."""
    failed = [test for test in result["tests"] if not test["passed"]]
    scale = result["max-score"] / sum(test["max_score"] for test in found["tests"] if "apart" not in test["tags"])
    points = f"{result['score'] / scale:g} of {result['max-score'] / scale:g} points"
    lines = [f"### {found['extra_data']['lab']}: {points} by tests", "", PROVISIONAL, "",
             f"{len(result['tests']) - len(failed)} of {len(result['tests'])} tests passed."]
    if scale != 1:
        lines.append(f"The scores of this assignment are the points times {scale:g}, since they must be whole numbers.")
    lines += ["", *(f"- `{test['test-name'].replace('`', chr(39))}`" for test in failed)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
