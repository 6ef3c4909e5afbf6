# SPDX-License-Identifier: MIT
"""What a report says of one failed test, whatever its form."""

from __future__ import annotations

from collections.abc import Mapping

from grader.course.lab import ROOT, Test
from grader.judge import outcome
from grader.judge.outcome import Outcome
from grader.judge.results import Results, TestResult


def read(results: Results, test: Test) -> str:
    """Where to read about the rule that a test checks."""
    return f"labs/{results.lab.folder.name}/handout.md#{test.read.lstrip('#')}"


def transcript(found: Outcome) -> str:
    """Where a test's transcript is, from the root if it is inside."""
    if found.transcript is None:
        return ""
    path = found.transcript
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def failure_text(results: Results, one: TestResult) -> str:
    """Everything that helps to mend one failure, in lines."""
    test, found = one.test, one.outcome
    bearer = results.lab.task(test.task).bearer(test)
    belongs = "" if bearer is test else f", with {bearer.local}"
    worth = f", {bearer.points:g} point{'s' * (bearer.points != 1)}{belongs}" if bearer.points else ""
    rows = [("task", f"{test.task}{worth}"),
            ("hidden", "a test of staff's: students learn its name only" if test.hidden else ""),
            ("checks", test.checks), ("machine", _where(results.on_machines(test))), ("seen", one.detail),
            ("hint", _hint(test, found)),
            ("read", read(results, test)), ("alone", one.alone),
            ("seed", f"{results.seed}" + (f", nonce {found.nonce}" if found.nonce else "")),
            ("log", transcript(found))]
    if found.unstable:
        rows.insert(4, ("unstable", "it passed when it was replayed with the same nonce: the answer depends "
                                    "on luck, for example on which CPU is first"))
    lines = []
    for key, text in rows:
        if text:
            first, *rest = text.split("\n")
            lines.append(f"  {key:<9}{first}".rstrip())
            lines += [f"           {line}".rstrip() for line in rest]
    return "\n".join(lines)


def _hint(test: Test, found: Outcome) -> str:
    """The test's hint. It was written for a machine that comes to its end; of one that does not,
    the last words say more."""
    behind = "if the lines above do not explain it: " * (test.kind == "boot" and found.kind == outcome.CRASHED)
    return test.hint and behind + test.hint


def _where(kinds: Mapping[str, str]) -> str:
    """On which machines a test failed, where it ran on several."""
    failed = [name for name, kind in kinds.items() if kind != outcome.PASSED]
    passed = [name for name in kinds if name not in failed]
    return ", ".join(failed) + (f"; it passes on {', '.join(passed)}" if passed else "") if len(kinds) > 1 else ""
