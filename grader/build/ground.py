# SPDX-License-Identifier: MIT
"""What every answer is compiled and judged against, put into few words, so that what was made is
kept by it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grader.build.cache import Cache, digest
from grader.gate import contract

ROOMS = ("kern", "vmm")
"""The rooms whose headers an answer may include."""
HEADERS = (".hh", ".h", ".inc")


def identity(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Files by name, time and size."""
    return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]


def of_compilers_and_headers(root: Path, compilers: Iterable[str]) -> str:
    """What every compilation of an answer rests on: the compilers and the tree's headers."""
    programs = identity(sorted({Path(one).resolve() for one in compilers}))
    headers = []
    for room in ROOMS:
        for folder, _, names in sorted(os.walk(root / room)):
            for name in sorted(names):
                if name.endswith(HEADERS):
                    path = Path(folder, name)
                    headers.append((str(path.relative_to(root)), path.read_bytes()))
    return digest(programs, headers)


def contract_of(description: dict[str, Any], cache: Cache) -> contract.Ground:
    """What the kit's own objects define, and what they lack."""
    parts = [Path(path) for recipe in description["kernels"].values() for path in recipe["objects"]]
    parts += [Path(path) for recipe in description["programs"].values() for path in recipe["objects"] + recipe["archives"]]
    parts += [Path(path) for name, path in description["flavours"]["kernel"]["libraries"].items() if name in ROOMS]
    host = [Path(path) for flavour in ("asan", "tsan")
            for name, path in description["flavours"][flavour]["libraries"].items() if name in ROOMS]
    tests = [Path(path) for name, paths in description["test_objects"].items() if name.endswith(".asan") for path in paths]
    key = digest("contract", identity([*parts, *host, *tests]), Path(contract.__file__).read_text(), Path(__file__).read_text())
    kept = cache.get(key)
    if kept is None:
        nm = description["binutils"]["host"]["nm"]
        scripts = {Path(word) for recipe in description["kernels"].values() for word in recipe["flags"]
                   if word.endswith(".ld")}
        ground = contract.ground_of(parts, description["binutils"]["kernel"]["nm"], scripts)
        defined = contract.ground_of(host, nm).defined | ground.defined
        # A task that only other tasks call is named by its tests alone.
        called = {name for name in contract.ground_of(tests, nm).lacking if contract.OURS.match(name)} - defined.keys()
        with cache.workplace() as place:
            (place / "made").write_text(json.dumps([defined, sorted(ground.lacking | called)]))
            kept = cache.put(key, place / "made")
    defined, lacking = json.loads(kept.read_text())
    return contract.Ground(defined, frozenset(lacking))
