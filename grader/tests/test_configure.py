# SPDX-License-Identifier: MIT
"""How the build is configured: where a warning is an error, and where it is none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from grader.build import kit
from grader.course.lab import ROOT
from grader.verbs.test import STRICT


@pytest.mark.parametrize("settings", [(), STRICT])
def test_a_warning_is_an_error_for_the_own_tests_only(tmp_path: Path, settings: tuple[str, ...]) -> None:
    subprocess.run(
        ["cmake", "--preset", "default", "-B", str(tmp_path), *(f"-D{setting}" for setting in settings)],
        cwd=ROOT, check=True, capture_output=True)  # fmt: skip
    commands = json.loads((tmp_path / "compile_commands.json").read_text())
    compiled = [entry["command"].split() for entry in commands if entry["file"].endswith(".cc")]
    assert len(compiled) > 100
    assert {"-Werror" in command for command in compiled} == {bool(settings)}
    # What students write is compiled by kit.json's words: there a warning is never one.
    assert "-Werror" not in (tmp_path / "kit.json").read_text()


def test_settings_are_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "build" / "cmake"
    folder.mkdir(parents=True)
    (folder / "build.ninja").touch()
    (folder / "CMakeCache.txt").write_text("CMAKE_BUILD_TYPE:STRING=None\n")
    (folder / "kit.json").write_text("{}")
    ran: list[list[str]] = []

    def tool(argv: list[str], *_: object) -> str:
        ran.append(argv)
        if argv[0] == "cmake":
            (folder / "CMakeCache.txt").write_text("\n".join(word[2:] for word in argv if word.startswith("-D")))
        return "no work to do"

    monkeypatch.setattr(kit, "_tool", tool)
    for settings, wanted in ((), 0), (STRICT, 1), (STRICT, 1), ((), 1):
        with kit.open_kit(None, lambda _: None, tmp_path, settings):  # type: ignore[arg-type]
            assert [argv[0] for argv in ran].count("cmake") == wanted
