# SPDX-License-Identifier: MIT
"""A result as files: JSON, whose outer names are Gradescope's (grader/judge/schemas/results.json), and JUnit XML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grader.judge.failures import failure_text, read, transcript
from grader.judge.results import Results, TaskResult, TestResult


def as_dict(results: Results) -> dict[str, Any]:
    """The result as JSON has it; the outer names are Gradescope's."""
    return {
        "score": results.score,
        "max_score": results.max_score,
        "execution_time": round(results.seconds, 3),
        "output": f"{results.lab.id} {results.lab.title}: {results.reached}"
                  + (f", {results.pending} pending" if results.pending else "")
                  + (f", {results.not_judged:g} not judged" if results.not_judged else ""),
        "tests": [_test_dict(results, task, test) for task in results.tasks for test in task.tests],
        "extra_data": {
            "schema": 3,
            "lab": results.lab.id,
            "title": results.lab.title,
            "answers": results.answers,
            "seed": results.seed,
            "machines": [{
                "name": here.machine, "score": here.score, "max_score": here.max_score,
                "tasks": [{"id": task.task.id, "score": task.score, "max_score": task.max_score,
                           "counts": task.counts} for task in here.tasks],
                "left_out": [{"test": one.test.name, "points": one.test.points, "why": one.why}
                             for one in here.left_out]} for here in results.machines],
            "counts": results.lab.counts,
            "pending": results.pending,
            "not_judged": results.not_judged,
            "notes": list(results.notes), "let_passed": list(results.let_passed), "for_staff": list(results.for_staff),
            "questions": [{"id": one.question.id, "title": one.question.title, "score": one.score,
                           "max_score": one.question.points, "state": one.state, "note": one.note}
                          for one in results.questions],
            "partial": results.partial,
            "transcripts": results.transcripts,
            "tasks": [
                {"id": task.task.id, "title": task.task.title, "file": task.task.file,
                 "vendor": task.task.vendor, "counts": task.counts, "score": task.score,
                 "max_score": task.max_score, "state": task.state, "note": task.note, "elsewhere": task.elsewhere} for task in results.tasks],
            "together": None if results.together is None else {
                "passed": results.together.passed, "total": results.together.total,
                "failed": [{"name": name, "why": why} for name, why in results.together.failed]},
        },
    }


def _test_dict(results: Results, task: TaskResult, one: TestResult) -> dict[str, Any]:
    test, found = one.test, one.outcome
    return {
        "name": test.name,
        "score": one.score,
        "max_score": test.points,
        "status": "passed" if one.passed else "failed",
        "output": "" if one.passed else failure_text(results, one),
        "visibility": "hidden" if test.hidden else "visible",
        "tags": [test.task, test.kind] + ["negative"] * test.negative + ["unstable"] * found.unstable
                + ["apart"] * (not task.counts),
        "extra_data": {
            "task": test.task, "checks": test.checks, "negative": test.negative, "outcome": one.kind,
            "detail": one.detail, "seed": results.seed, "nonce": found.nonce, "read": read(results, test),
            "hint": test.hint, "alone": one.alone, "transcript": transcript(found),
            "machines": results.on_machines(test), "unstable": found.unstable, "seconds": round(found.seconds, 3)},
    }


def validated(data: dict[str, Any]) -> dict[str, Any]:
    """The same data, once it agrees with the schema. A disagreement is a fault of the grader."""
    from jsonschema import Draft202012Validator

    Draft202012Validator(json.loads((Path(__file__).with_name("schemas") / "results.json").read_text())).validate(data)
    return data


def to_json(results: Results, made: dict[str, Any] | None = None) -> str:
    """The result as JSON text, checked against its schema; `made`: another form of it than as_dict() gives."""
    return json.dumps(validated(made or as_dict(results)), indent=2, ensure_ascii=False) + "\n"


def to_junit(results: Results) -> str:
    """The result as JUnit XML: a suite for each task."""
    from xml.etree import ElementTree as xml

    top = xml.Element("testsuites", name=f"{results.lab.id} {results.lab.title}",
                      tests=str(len(results.tests)), time=f"{results.seconds:.3f}",
                      failures=str(sum(not one.passed and one.judged for one in results.tests)),
                      skipped=str(sum(not one.judged for one in results.tests)))
    for task in results.tasks:
        suite = xml.SubElement(top, "testsuite", name=task.task.id, tests=str(len(task.tests)),
                               failures=str(sum(not one.passed and one.judged for one in task.tests)),
                               skipped=str(sum(not one.judged for one in task.tests)))
        for one in task.tests:
            case = xml.SubElement(suite, "testcase", classname=task.task.id, name=one.test.name,
                                  time=f"{one.outcome.seconds:.3f}")
            if not one.judged:
                xml.SubElement(case, "skipped", message=one.detail)
            elif not one.passed:
                failure = xml.SubElement(case, "failure", message=one.test.checks, type=one.kind)
                failure.text = failure_text(results, one)
    xml.indent(top)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + xml.tostring(top, encoding="unicode") + "\n"
