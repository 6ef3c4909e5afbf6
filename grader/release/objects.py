# SPDX-License-Identifier: MIT
"""Compiles the references that go along with a release: for each compiler that is installed here,
in each flavour.

An object can be decompiled, and says what a determined reader wants to know. What it does not carry
is words of ours: no debug information, no paths, no names of locals, of files or of static
functions. AddressSanitizer would put the names of locals and globals into its tables, and
UndefinedBehaviorSanitizer places in the source, so these are left out: a bug in a reference is
found here, not at a student's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader import CannotRun
from grader.build import reference_objects
from grader.build.opening import read_description
from grader.build.schedule import cores
from grader.course.lab import Lab
from grader.release.contents import PRIVATE

COMPILERS = ("g++-12", "g++-13", "g++-14", "clang++-19")
ASSEMBLY = ".S"


@dataclass(frozen=True)
class Toolchain:
    """One compiler, and how the kit of the release's tree is made with it."""

    name: str
    kit: dict[str, Any]


def toolchains(tree: Path, say: Callable[[str], None]) -> list[Toolchain]:
    """Configures ``tree``, a release's, with each compiler that is installed. Raises CannotRun if
    none is."""
    found = []
    for name in COMPILERS:
        if not shutil.which(name):
            say(f"{name} is not installed here: whoever builds with it has no references, and no blame isolation")
            continue
        folder = tree / "build" / "cmake"
        shutil.rmtree(folder, ignore_errors=True)
        _run(["cmake", "--preset", "default", f"-DCMAKE_CXX_COMPILER={name}"], tree)
        found.append(Toolchain(name, read_description(tree)))
    shutil.rmtree(tree / "build", ignore_errors=True)
    if not found:
        raise CannotRun(f"none of {', '.join(COMPILERS)} is installed\n  mend: apt-get install g++-12")
    return found


def write(root: Path, tree: Path, labs: Sequence[Lab], tools: Sequence[Toolchain], kept: Path) -> None:
    """Compiles the labs' references, sources of ``root``, into ``tree``/references. Raises
    CannotRun.

    ``kept``: a folder for objects that the next call may need again.
    """
    folder = tree / reference_objects.FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    if not labs:
        return
    index = {}
    jobs: list[tuple[list[str], Path]] = []
    wanted = []
    for tool in tools:
        fingerprint = reference_objects.Fingerprint.of(tree, tool.kit)
        index[fingerprint.folder] = fingerprint.to_dict()
        for lab in labs:
            for task in lab.tasks:
                for flavour, recipe in _flavours(task.file, tool.kit):
                    name = Path(fingerprint.folder, task.file, reference_objects.name(flavour))
                    wanted.append(name)
                    if not (kept / name).exists():
                        (kept / name).parent.mkdir(parents=True, exist_ok=True)
                        jobs.append((_command(root, tree, task.file, recipe, kept / name), kept / name))
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda job: _compile(*job, tree), jobs))
    for name in wanted:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept / name, folder / name)
    (folder / reference_objects.INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _flavours(file: str, kit: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Where a task's file is compiled: assembly for the bare machine, a program's part for it and
    for host tests."""
    programs = [(name, recipe) for name, recipe in kit["programs"].items() if file in recipe["tasks"]]
    return [(name, recipe) for name, recipe in kit["flavours"].items()
            if (name == "kernel" and not programs) or (name != "kernel" and not file.endswith(ASSEMBLY))] + programs


def _command(root: Path, tree: Path, file: str, recipe: dict[str, Any], output: Path) -> list[str]:
    flags = recipe["assemble" if file.endswith(ASSEMBLY) else "compile"]
    words = [word.replace("address,undefined", "address") for word in flags
             if not word.startswith("-g") and not word.startswith("-fno-sanitize-recover")]
    if "-fsanitize=address" in words:
        clang = "clang" in Path(recipe["compiler"]).name
        for what in ("asan-stack=0", "asan-globals=0"):
            words += ["-mllvm", f"-{what}"] if clang else ["--param", what]
    return [recipe["compiler"], *words, "-g0", f"-ffile-prefix-map={root / PRIVATE}/=", f"-ffile-prefix-map={tree}/=",
            f"-iquote{(tree / file).parent}", "-c", str(root / PRIVATE / file), "-o", str(output)]


def _compile(command: list[str], output: Path, tree: Path) -> None:
    _run(command, tree)
    # Local symbols are names of ours, and no linker needs them.
    _run(["objcopy", "--strip-debug", "--strip-unneeded", "--remove-section=.comment", str(output)], tree)


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(command[:3])} ... failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
