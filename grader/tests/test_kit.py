# SPDX-License-Identifier: MIT
"""What a kit does once for all that ask."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from grader.build.answers import Answers, own_answers
from grader.build.cache import Cache
from grader.build.kit import Kit
from grader.build.opening import read_description
from grader.build.schedule import Schedule
from grader.course.lab import load_all
from grader.gate import reader
from grader.tests import toy_tree


def test_an_answer_is_read_once_in_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of sets of answers share most of their files, and each case asks for its program again."""
    root = toy_tree.make(tmp_path / "tree").root
    opened: Counter[str] = Counter()
    real = reader.read

    def read(path: Path, tree: Path) -> bytes:
        opened[str(path.relative_to(root))] += 1
        return real(path, tree)

    monkeypatch.setattr(reader, "read", read)
    kit = Kit(read_description(root), root, Cache(tmp_path / "cache"), Schedule())
    labs = load_all(root)
    own = own_answers(labs, root)
    answered = own.replaced("vmm/half.cc", root / "solutions-private/vmm/half.cc")
    asked = [kit.program(labs[0], answers, flavour) for answers in (own, answered, Answers(own.files)) * 2
             for flavour in ("asan", "tsan")]
    assert len({one.result() for one in asked}) == 4
    # For each flavour's object, and for the name of what is linked.
    assert set(opened) == {"vmm/twice.cc", "vmm/half.cc", "solutions-private/vmm/half.cc"}
    assert set(opened.values()) == {3}
