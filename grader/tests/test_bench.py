# SPDX-License-Identifier: MIT
"""What `nest bench` makes of the lines that its kernels print."""

import subprocess
from pathlib import Path

import pytest

from grader import CannotRun
from grader.bench import classes, edit, three_ways
from grader.bench import measure as bench
from grader.build.workshop import Progress
from grader.course.lab import ROOT, load_all


def test_lines_are_put_together_with_the_time_at_which_they_end() -> None:
    lines = bench.Lines()
    for piece in (b"bench a ours 1\r\nben", b"ch a ", b"floor 2\n", b"bench done"):
        lines.add(piece)
    assert [text for _, text in lines.whole] == ["bench a ours 1", "bench a floor 2"]
    assert lines.whole[0][0] < lines.whole[1][0]


def test_both_clocks() -> None:
    by_kernel, by_us = bench.samples_of([
        (0.0, "bench a ours 10"), (1.0, "timed 4000"), (1.5, "what a guest prints"), (3.0, "bench a ours 20"),
        (9.0, "bench a floor 30"), (9.0, "bench done"),
    ])  # fmt: skip
    assert by_kernel == {("a", "ours"): (10.0, 20.0), ("a", "floor"): (30.0,)}
    assert by_us == {("a", "ours"): (2e9 / 4000,)}


def test_rows_have_units_and_bounds() -> None:
    one = bench.Comparison("row", "a", "ours", "floor", "what", "against", "us", 1.5)
    row, = bench._rows([one], {("a", "ours"): (3000.0, 4000.0, 2000.0), ("a", "floor"): (2000.0,)})
    assert row.ours == (3.0, 4.0, 2.0) and row.ratio == 1.5 and row.verdict == "kept"
    with pytest.raises(CannotRun, match="did not measure row"):
        list(bench._rows([one], {("a", "ours"): (1.0,)}))


def test_the_table_of_three_ways_has_medians() -> None:
    samples = {(row, side): (3e6 + i, 1e6, 2e6) for i, side in enumerate(three_ways.WAYS) for row in three_ways.WHAT}
    lines = list(three_ways.table(samples))
    assert [line.split()[:2] for line in lines[2:]] == [name.split() for name in three_ways.WAYS.values()]
    assert all(line.split()[2:] == ["2000000", "2000000", "2", "ms"] for line in lines[2:])


def test_names_are_one_rows_each() -> None:
    names = [name for some, _ in bench.MEASUREMENTS for name in some] + [*classes.NAMES]
    assert len(names) == len(set(names))


def test_each_lab_has_a_row_for_an_edit_of_a_task_that_counts() -> None:
    edited = {lab.id: edit.edited_task(lab) for lab in load_all()}
    for lab in load_all():
        assert lab.counted(edited[lab.id]), lab.id
    assert edited["lab3"].file.startswith("vmm/vmx/")


def test_no_copy_of_the_tree_is_made_for_rows_that_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "copied_tree", lambda: pytest.fail("a copy"))
    assert list(edit.grade_after_edit(Progress(), "instructions")) == []


def test_copy_of_the_tree_is_whole_and_answered(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    edit.copy(tree)
    done = subprocess.run([tree / "nest", "labs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "lab1" in done.stdout, done.stderr
    assert (tree / "grader" / "build").is_dir() and not (tree / "build" / "cmake").exists()
    assert (tree / "vmm/pager/load_page.cc").read_bytes() == (ROOT / "solutions-private/vmm/pager/load_page.cc").read_bytes()


def test_a_class_is_of_different_answers_and_the_hostile_ones_never_end(tmp_path: Path) -> None:
    lab = max(load_all(), key=lambda one: one.points)
    of_lab = classes._Class(ROOT, lab, tmp_path)
    right = list(of_lab.answers(range(3)))
    assert len(set(right)) == 3
    assert of_lab.hung(0).count("for (volatile unsigned i = 0;;)") == 1 and "for (volatile" not in right[0]
