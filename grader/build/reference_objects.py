# SPDX-License-Identifier: MIT
"""Reference answers as objects, which a release has in the place of their sources.

They stand in ``references/``: for each compiler a folder, in it for each task's file a folder of
objects, one a flavour; and ``index.json``, which says what each folder was made with. An object
fits one major version of a compiler, the flags of this tree, and its headers as they were, so all
three are looked at before one is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Mapping

from grader import CannotRun
from grader.build.answers import COMPILED, Answers

FOLDER = COMPILED
INDEX = "index.json"
ROOMS = ("kern", "vmm")
HEADERS = (".hh", ".h", ".inc")


@dataclass(frozen=True)
class Fingerprint:
    """What an object depends on beside its source."""

    compilers: tuple[str, ...]
    """of the flavours, each as `g++ 12 for x86_64-linux-gnu`"""
    flags: str
    """digest of all flags"""
    headers: str
    """digest of the tree's headers"""

    @classmethod
    def of(cls, root: Path, kit: Mapping[str, Any]) -> Fingerprint:
        """What the tree's kit makes objects with."""
        recipes = {**kit["flavours"], **kit["programs"]}
        compilers = sorted({describe(recipe["compiler"]) for recipe in recipes.values()})
        # Debug information is left out of the objects anyway, and each clone has its own paths.
        flags = {name: [[word.replace(str(root), "") for word in recipe[key]]
                        for key in ("compile", "assemble") if key in recipe]
                 for name, recipe in sorted(recipes.items())}
        return cls(tuple(compilers), _digest(repr(flags).encode()), headers_digest(root))

    @property
    def folder(self) -> str:
        """The name of its folder of objects."""
        return _digest(repr((self.compilers, self.flags, self.headers)).encode())[:16]

    def to_dict(self) -> dict[str, Any]:
        """Its entry in index.json."""
        return {"compilers": list(self.compilers), "flags": self.flags, "headers": self.headers}


@dataclass(frozen=True)
class Found:
    """The compiled references that can be used here."""

    answers: Answers
    why_none: str = ""
    """if there are some in the tree, and none of them fits: why, and the mend"""


def name(flavour: str) -> str:
    """The file name of an object of this flavour, or of this user program's part."""
    return flavour.replace("/", "-") + ".o"


def find(root: Path, kit: Mapping[str, Any]) -> Found:
    """The compiled references that fit the tree's kit. Raises CannotRun if index.json is
    damaged."""
    none = Answers.of({})
    index_file = root / FOLDER / INDEX
    try:
        index = json.loads(index_file.read_text(encoding="utf-8"))
        sets = [(folder, Fingerprint(tuple(one["compilers"]), one["flags"], one["headers"]))
                for folder, one in index.items()]
    except FileNotFoundError:
        return Found(none)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CannotRun(f"{index_file} is damaged\n  mend: take references/ from the release again") from None
    here = Fingerprint.of(root, kit)
    folder = root / FOLDER / here.folder
    if (here.folder, here) in sets:
        files = {str(path.parent.relative_to(folder)): path.parent for path in sorted(folder.rglob("*.o"))}
        return Found(Answers.of(files))
    return Found(none, _why(here, [one for _, one in sets]))


def _why(here: Fingerprint, there: list[Fingerprint]) -> str:
    same = [one for one in there if one.compilers == here.compilers]
    if not same:
        known = ", ".join(sorted({" and ".join(one.compilers) for one in there})) or "none"
        return (f"this release has references for other compilers ({known}) than this one "
                f"({' and '.join(here.compilers)})\n  mend: build with one of those, as CXX=g++-12 ./nest setup in a tree "
                "without build/, or use the container")
    if all(one.headers != here.headers for one in same):
        return ("a header of kern/ or vmm/ is not as it was released\n"
                "  mend: `git diff -- '*.hh'` shows what was changed; put it back")
    return "the flags of the build are not as they were released\n  mend: put CMakeLists.txt and cmake/ back"


@cache
def describe(compiler: str) -> str:
    """A compiler's kind, major version and target."""
    def ask(word: str) -> str:
        try:
            return subprocess.run([compiler, word], capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            raise CannotRun(f"{compiler} does not run\n  mend: ./nest setup") from None

    kind = "clang++" if "clang" in ask("--version") else "g++"
    target = "-".join(part for part in ask("-dumpmachine").split("-") if part not in ("pc", "unknown"))
    return f"{kind} {ask('-dumpversion').partition('.')[0]} for {target}"


def headers_digest(root: Path) -> str:
    """Of all headers that an answer can see."""
    paths = [Path(folder, file).relative_to(root) for room in ROOMS for folder, _, files in os.walk(root / room)
             for file in files if file.endswith(HEADERS) and not is_staffs(Path(folder).relative_to(root))]
    return _digest(repr([(path.as_posix(), (root / path).read_bytes()) for path in sorted(paths)]).encode())


def is_staffs(folder: Path) -> bool:
    """Whether a folder of a room holds staff's tests or measurements, which a release leaves
    out."""
    return folder.parts[1:2] in (("tests",), ("bench",))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
