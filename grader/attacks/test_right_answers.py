# SPDX-License-Identifier: MIT
"""A right answer that the gate refuses is a fault of the gate."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from grader.attacks import corpus, right
from grader.build.failures import BuildFailure
from grader.build.workshop import Progress, workshop
from grader.course.lab import ROOT, load_all

PLACE = ROOT / "build" / "attacks" / "right"


def refused(sources: list[tuple[str, Path]], turns: tuple[tuple[str, ...], ...]) -> list[str]:
    """What the gate, or the compiler, says of them; of the flavours each source takes the next of
    `turns`."""
    with workshop(Progress(), other=corpus.OTHER_BUILD) as kit:
        made: list[tuple[Path, str, Future[Path]]] = [
            (path, flavour, kit.object(file, path, flavour))
            for i, (file, path) in enumerate(sources) for flavour in turns[i % len(turns)]
            if not (file.endswith(".S") and flavour != "kernel")]
        out = []
        for path, flavour, future in made:
            try:
                future.result()
            except BuildFailure as failure:
                out.append(f"{path.name} {flavour}: {str(failure)[:400]}")
        return out


def test_generated_answers() -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    sources = []
    for name, text in right.answers():
        path = PLACE / f"{name}.cc"
        path.write_text(text)
        sources.append((right.TASK_FILE, path))
    assert len(sources) >= 200
    assert refused(sources, (("kernel",), ("asan",), ("tsan",))) == []


def test_references_variants_and_mutants() -> None:
    """Of another compiler without the mutants, which would take long and show nothing new."""
    files = {task.file for lab in load_all() for task in lab.tasks}
    programs = {file for file in files if "/program/" in file}
    sources = [(file, path) for file in sorted(files - programs) for pattern in ("", "variants/*/*/", "mutants/*/*/")[:2 if corpus.OTHER_BUILD else 3]
               for path in sorted((ROOT / "solutions-private").glob(f"{pattern}{file}"))]
    assert refused(sources, (("kernel", "asan", "tsan"),)) == []
