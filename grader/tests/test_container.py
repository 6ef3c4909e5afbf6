# SPDX-License-Identifier: MIT
"""The container, the editor's tasks and clangd name what the tree really has."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from grader import machines
from grader.course import lab
from grader.verbs import bootstrap, cli

ROOT = bootstrap.ROOT
CONTAINERFILE = (ROOT / "Containerfile").read_text()
EDITOR = {"python3", "ca-certificates", "clangd-19", "git"}


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's, with their lines joined."""
    lines = [line for line in CONTAINERFILE.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def document(path: str) -> Any:
    return json.loads((ROOT / path).read_text())


def test_its_packages_are_those_of_all_verbs(tmp_path: Path) -> None:
    copied = dict(rest.split() for word, rest in instructions() if word == "COPY")
    assert copied == {"grader/verbs/bootstrap.py": "/tmp/nest/verbs/bootstrap.py"}
    # The copy stands alone there, as here.
    alone = tmp_path / "nest/verbs/bootstrap.py"
    alone.parent.mkdir(parents=True)
    alone.write_bytes((ROOT / "grader/verbs/bootstrap.py").read_bytes())
    told = subprocess.run(["/usr/bin/python3", alone, "--packages"], capture_output=True, text=True, check=True)
    assert set(told.stdout.split()) == set().union(*bootstrap.PACKAGES.values())
    installed = [words for word, rest in instructions() if word == "RUN"
                 for words in re.findall(r"apt-get install -y --no-install-recommends (.*?) &&", rest)]
    assert installed == [" ".join(["python3", *sorted(EDITOR - {"python3"})]), "$(python3 /tmp/nest/verbs/bootstrap.py --packages)"]


def test_one_date_pins_the_image_and_the_archive() -> None:
    assert len(re.findall(r"\b20\d{6}\b", CONTAINERFILE)) == 1
    said = dict(instructions())
    assert said["FROM"].endswith("debian:trixie-${DATE}-slim")
    sources = [rest for word, rest in instructions() if word == "ARG" and "://" in rest]
    assert sources and all("://snapshot.debian.org/archive/" in rest and "${DATE}" in rest for rest in sources)


def test_the_development_container_is_that_one() -> None:
    container = document(".devcontainer/devcontainer.json")
    build = container["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Containerfile"
    assert (ROOT / ".devcontainer" / build["context"]).resolve() == ROOT
    assert f"useradd --create-home --shell /bin/bash {container['remoteUser']}" in CONTAINERFILE
    clangd = Path(container["customizations"]["vscode"]["settings"]["clangd.path"])
    assert clangd.name in EDITOR


@pytest.mark.parametrize("task", document(".vscode/tasks.json")["tasks"], ids=lambda task: task["label"])
def test_an_editors_task_is_a_command_of_nest(task: dict[str, Any]) -> None:
    assert task["command"] == "./nest"
    verb, *words = task["args"]
    command = cli.nest.get_command(click.Context(cli.nest), verb)
    assert command is not None
    choices = {choice["id"]: choice["options"] for choice in document(".vscode/tasks.json")["inputs"]}
    assert choices == {"lab": [one.id for one in lab.load_all()], "machine": list(machines.names())}
    filled = [re.sub(r"\$\{input:(\w+)\}", lambda found: choices[found[1]][0], word) for word in words]
    command.make_context(verb, filled)


def test_clangd_reads_what_setup_writes() -> None:
    folder = re.search(r"CompilationDatabase: (.*)", (ROOT / ".clangd").read_text())
    preset = document("CMakePresets.json")["configurePresets"][0]
    assert folder and preset["binaryDir"] == "${sourceDir}/" + folder[1]
    assert preset["cacheVariables"]["CMAKE_EXPORT_COMPILE_COMMANDS"] == "ON"
