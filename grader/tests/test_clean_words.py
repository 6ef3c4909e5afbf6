# SPDX-License-Identifier: MIT
"""Whatever an answer makes a compiler, a process or a machine say: what is kept of it can be
printed and parsed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from defusedxml import ElementTree

from grader.build.failures import BuildFailure
from grader.confine.words import clean
from grader.judge import forms, outcome
from grader.judge.engine import not_built
from grader.judge.outcome import Outcome
from grader.judge.unit import run_case
from grader.testkit.boot import run_boot
from grader.tests import tiny_kernel
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.test_results import graded
from grader.tests.toy_tree import HALF, TWICE, Tree

BAD = ("\x1b[2J", "\0", "\x08", "\x7f", "\x9b31m", "\r", "\u202e", "\u2028", "\ud800", "\udfff", "\ufffe", "\uffff",
       "\U0001fffe", "\U0010ffff")
ESCAPE, NO_CHARACTER = "\x1b[31m", "\ufffe"


def is_clean(text: str) -> bool:
    return all(c in "\n\t" or c.isprintable() for c in text)


@pytest.mark.parametrize("bad", BAD)
def test_what_nobody_can_print_is_written_out(bad: str) -> None:
    text = clean(f"a{bad}b\n\tc")
    assert is_clean(text) and text.startswith("a\\") and text.endswith("b\n\tc")
    assert clean(text) == text


def test_what_can_be_printed_stays() -> None:
    text = "Grüße, 数 → … �\n\ttab\n"
    assert clean(text) == text and clean("a\r\nb\r\n") == "a\nb\n"


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", [outcome.FAILED, outcome.NOT_JUDGED])
def test_every_form_of_a_result_holds(bad: str, kind: str) -> None:
    result = graded(Outcome(kind, f"seen: <{bad}> & ]]>"))
    junit = forms.to_junit(forms.as_dict(result), "2026-11-27T10:00:00+01:00")
    assert ElementTree.fromstring(junit) is not None
    json.loads(forms.to_json(result).encode("utf-8"))
    assert is_clean(forms.to_json(result)) and is_clean(junit)


@pytest.mark.parametrize("bad", BAD)
def test_words_of_a_tool_are_clean(bad: str) -> None:
    failure = BuildFailure(f"vmm/{bad}.cc: error: {bad}", file="vmm/one.cc", stage="does not compile")
    assert is_clean(str(failure)) and is_clean(not_built(failure).detail)


def test_transcript_of_a_process_is_clean(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nprintf '\\033[31m\\357\\277\\276'; printf '\\033' >&2\n")
    program.chmod(0o755)
    run_case(program, "A.B", task="lab1.one", seed=1, transcript=tmp_path / "t" / "a.txt")
    text = (tmp_path / "t" / "a.txt").read_text()
    assert "\\x1b[31m\\ufffe" in text and is_clean(text)


def test_transcript_of_a_machine_is_clean(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, tiny_kernel.say("\x1b[31m\n") + tiny_kernel.power_off(0))
    result = run_boot(kernel, {}, [], cpus=1, memory_mib=64, seconds=20, transcript_dir=tmp_path / "t")
    assert result.serial.startswith("\x1b[31m\n")  # tests look at what was said
    assert (tmp_path / "t" / "serial.txt").read_text().startswith("\\x1b[31m\n")


def test_what_an_answer_says_breaks_no_report(tree: Tree) -> None:  # noqa: F811
    tree.solve()
    words = '"\\033[31m\\357\\277\\276 </failure> ]]> &amp;\\n"'
    tree.write("vmm/twice.cc", TWICE.replace("return n + n", f"say({words}); return n"))
    tree.write("vmm/half.cc", HALF + f"#error {ESCAPE}{NO_CHARACTER}\n")
    result, _ = tree.grade("--junit", str(tree.root / "out.xml"))
    top = ElementTree.parse(tree.root / "out.xml").getroot()
    suites = {suite.get("name"): (suite.get("failures"), suite.get("errors")) for suite in top}
    assert suites == {"lab1.twice": ("2", "0"), "lab1.half": ("0", "4")}, suites  # twice 0 is right
    text = (tree.root / "out.json").read_text() + (tree.root / "out.xml").read_text()
    assert is_clean(text) and text.count("\\x1b[31m\\ufffe") >= 4  # of a process, a machine and a compiler
    assert "</failure> ]]>" in result["tests"][2]["output"] + result["tests"][0]["output"]
