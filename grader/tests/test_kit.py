# SPDX-License-Identifier: MIT
"""What a kit does once for all that ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from grader.build.answers import Answers, own_answers
from grader.build.cache import Cache, digest
from grader.build.kit import Kit
from grader.build.opening import read_description
from grader.build.schedule import Schedule
from grader.course.lab import ROOT, load_all
from grader.gate import reader
from grader.tests import toy_tree


def test_an_answer_is_read_once_in_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of sets of answers share most of their files, and each case asks for its program
    again."""
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


@pytest.mark.skipif(not (ROOT / "build/cmake/kit.json").exists(), reason="the kit is not configured")
def test_what_is_kept_is_found_by_the_next_process(tmp_path: Path) -> None:
    """A set is written in another order by each process: a key that has one is never found
    again."""
    write = ("from pathlib import Path\nfrom grader.build.cache import Cache\nfrom grader.build.kit import Kit\n"
             "from grader.course.lab import ROOT\nfrom grader.build.schedule import Schedule\n"
             f"print(Kit({{}}, ROOT, Cache(Path({str(tmp_path)!r})), Schedule())._rules)")
    rules = {subprocess.run([sys.executable, "-c", write], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
                            check=True, capture_output=True, text=True).stdout for seed in ("1", "2", "3")}
    assert len(rules) == 1
    with pytest.raises(TypeError, match="no key from a set"):
        digest("key", [{"flags": frozenset(("a", "b"))}])


def test_what_a_compiler_fortifies_by_itself_is_not_fortified_here() -> None:
    """As Ubuntu's does: a bare machine has no __memcpy_chk, and no sanitizer stands before it."""
    kit = read_description(ROOT)
    for name, recipe in {**kit["flavours"], **kit["programs"]}.items():
        macros = subprocess.run([recipe["compiler"], "-D_FORTIFY_SOURCE=3", *recipe["compile"], "-x", "c++", "-E", "-dM", "/dev/null"],
                                capture_output=True, text=True, check=True).stdout
        assert "__cplusplus" in macros and "_FORTIFY_SOURCE" not in macros, name


def test_what_takes_memory_from_the_heap_is_searched_for_leaks(tmp_path: Path) -> None:
    """LeakSanitizer takes longer than most tests: it looks where an answer can leak, and nowhere
    else."""
    tree = toy_tree.make(tmp_path / "tree")
    description = read_description(tree.root)
    for flavour in ("compile", "link"):
        description["flavours"]["asan"][flavour] += ["-fsanitize=address", "-fno-pie" if flavour == "compile" else "-no-pie"]
    (tree.root / "build/cmake/kit.json").write_text(json.dumps(description))
    tree.solve()
    tree.write("vmm/half.cc", '#include "vmm/toy.hh"\nint half(int n) { return n % 2 ? -1 : *new int(n / 2); }\n')
    result, done = tree.grade()
    seen = {test["name"]: (test["extra_data"]["outcome"], test.get("output", "")) for test in result["tests"]}
    assert seen["unit:Half.OfFour"][0] == "crashed" and "LeakSanitizer: detected memory leaks" in seen["unit:Half.OfFour"][1], done.stdout
    assert seen["unit:Twice.OfThree"] == seen["unit:Twice.OfZero"] == ("passed", "")
    kit = Kit(read_description(tree.root), tree.root, Cache(tmp_path / "cache"), Schedule())
    assert kit.allocates("vmm/half.cc", tree.root / "vmm/half.cc")
    assert not kit.allocates("vmm/twice.cc", tree.root / "vmm/twice.cc")
