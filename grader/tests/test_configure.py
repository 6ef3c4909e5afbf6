# SPDX-License-Identifier: MIT
"""How the build is configured: where a warning is an error, and where it is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.build import opening
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

    monkeypatch.setattr(opening, "_tool", tool)
    for settings, wanted in ((), 0), (STRICT, 1), (STRICT, 1), ((), 1):
        with opening.open_kit(None, lambda _: None, tmp_path, settings):  # type: ignore[arg-type]
            assert [argv[0] for argv in ran].count("cmake") == wanted


@pytest.mark.skipif(shutil.which("ccache") is None, reason="ccache is not installed")
def test_clones_share_what_was_compiled(tmp_path: Path) -> None:
    """The second clone compiles nothing, and its objects name no clone."""
    # compile_commands.json leaves the launcher out.
    said = subprocess.run(["ninja", "-C", ROOT / "build" / "cmake", "-t", "commands", "libkern.kernel.a"],
                          check=True, capture_output=True, text=True).stdout
    command = next(line for line in said.splitlines() if line.endswith("/kern/mm/heap.cc"))
    env = {**os.environ, "CCACHE_DIR": str(tmp_path / "cache")}
    objects = []
    for name in ("one", "other"):
        folder = tmp_path / name / "build" / "cmake"
        folder.mkdir(parents=True)
        shutil.copytree(ROOT / "kern", tmp_path / name / "kern")
        made = folder / command.partition(" -o ")[2].split()[0]
        made.parent.mkdir(parents=True)
        subprocess.run(command.replace(str(ROOT), str(tmp_path / name)), shell=True, cwd=folder, env=env, check=True)
        objects.append(made.read_bytes())
    told = subprocess.run(["ccache", "--print-stats"], env=env, check=True, capture_output=True, text=True).stdout
    assert "direct_cache_hit\t1" in told.splitlines()
    assert objects[0] == objects[1]
    assert b"kern/mm/heap.cc" in objects[0] and b"../kern" not in objects[0] and bytes(tmp_path) not in objects[0]


@pytest.mark.parametrize("name", ["$tree", "a 'b' \"c\""])
def test_tree_with_an_odd_name_compiles(tmp_path: Path, name: str) -> None:
    """ccache takes a dollar in its settings for a variable."""
    root = tmp_path / name
    shutil.copytree(ROOT / "cmake", root / "cmake")
    (root / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(odd LANGUAGES CXX)\n"
        "list(APPEND CMAKE_MODULE_PATH ${CMAKE_SOURCE_DIR}/cmake)\ninclude(compilers)\nadd_library(odd OBJECT odd.cc)\n")
    (root / "odd.cc").write_text("int odd;\n")
    build = root / "build"
    subprocess.run(["cmake", "-G", "Ninja", "-S", root, "-B", build], check=True, capture_output=True)
    subprocess.run(["ninja", "-C", build], check=True, capture_output=True)
    again = subprocess.run(["ninja", "-C", build], check=True, capture_output=True, text=True).stdout
    assert "no work to do" in again
