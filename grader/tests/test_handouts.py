# SPDX-License-Identifier: MIT
"""The handouts: they promise nothing that lab.json does not, and build without a warning."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from grader.course import handouts
from grader.course.fragments import functions
from grader.course import lab as labs
from grader.course.lab import Lab, Task


def make_lab(folder: Path, read: str = "#first") -> Lab:
    tests = (labs.Test("boot:test_a.py::test_seen", "lab9.first", 1, False, "It <is> seen.", "", read),
             labs.Test("unit:First.Refuses", "lab9.first", 2, True, "It is refused.", "", "#first"),
             labs.Test("unit:First.Works", "lab9.first", 4, False, "It works.", "", "#first"))
    task = Task("lab9.first", "The first", "vmm/first.cc", "vmm/first.hh", 7, "#first", tests)
    return Lab("lab9", "first-steps", "First", 7, (), ("amd-qemu",), "nestling", (task,), folder)


def test_anchors_of_both_kinds() -> None:
    assert handouts.anchors("# A {#one}\n\\anchor two_b\n@anchor three\n") == {"one", "two_b", "three"}


def test_every_anchor_of_the_lab_must_stand_in_its_handout(tmp_path: Path) -> None:
    (tmp_path / "handout.md").write_text("# Lab {#lab9}\n# First {#first}\n")
    assert list(handouts.anchor_faults(make_lab(tmp_path))) == []
    (fault,) = handouts.anchor_faults(make_lab(tmp_path, read="#second"))
    assert "'#second'" in fault and "boot:test_a.py::test_seen" in fault
    (tmp_path / "handout.md").write_text("# First {#first}\n")
    (fault,) = handouts.anchor_faults(make_lab(tmp_path))
    assert "{#lab9}" in fault
    (tmp_path / "handout.md").unlink()
    (fault,) = handouts.anchor_faults(make_lab(tmp_path))
    assert "there is no such file" in fault


def test_points_come_by_ground_and_are_escaped(tmp_path: Path) -> None:
    handouts.write_parts([make_lab(tmp_path)], tmp_path)
    page = (tmp_path / "lab9.first.html").read_text()
    assert "6 on the host, under AddressSanitizer, 1 in the booted machine" in page
    assert page.index("<code>Refuses") < page.index("<code>Works") < page.index("<code>test_seen")
    assert "It &lt;is&gt; seen." in page
    assert page.count("error case") == 1
    assert "lab9.html" in (tmp_path / "header.html").read_text()


def test_a_title_as_a_reader_says_it(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    assert handouts.short_title(lab) == "Lab 9: first steps"
    assert handouts.short_title(dataclasses.replace(lab, id="capstone")) == "Capstone: first steps"


def test_a_drawn_picture_becomes_an_image_that_scales() -> None:
    page = ('<iframe scrolling="no" frameborder="0" src="dot_1.svg" width="12" height="8"><p><b>No SVG</b></p>'
            '</iframe><div class="caption">\nA walk</div>\n')
    assert handouts.scalable_pictures(page) == (
        '<img src="dot_1.svg" width="12" height="8" alt="A walk"/><div class="caption">A walk</div>\n')


def test_code_out_of_a_class_stands_at_the_margin() -> None:
    page = ('<div class="fragment"><div class="line">    one(int a,</div>\n<div class="line">        int b);</div>\n'
            '</div><!-- fragment --><div class="line">  not code</div>')
    assert handouts.dedented_code(page) == (
        '<div class="fragment"><div class="line">one(int a,</div>\n<div class="line">    int b);</div>\n'
        '</div><!-- fragment --><div class="line">  not code</div>')


def test_fragments_stand_in_their_linked_order(tmp_path: Path) -> None:
    macro = ('.macro f_section order, label\n.section .text.f.\\order, "ax", @progbits\n.global \\label\n'
             '\\label:\n.endm\n')
    (tmp_path / "given.S").write_text(macro + "    f_section 30, f_end\n    ret\n\n    // The begin.\n"
                                      "    f_section 00, f\n    nop\n    .text\nlate:\n    nop\n")
    (tmp_path / "mine.S").write_text(macro + "    f_section 10, f_mine\n    // Write here.\n")
    (tmp_path / "other.S").write_text("this is no assembly\n")
    found = functions(["given.S", "mine.S", "other.S"], tmp_path)
    assert {name: [(one.order, one.label, one.file, one.source) for one in several] for name, several in found.items()} == {
        "f": [("00", "f", "given.S", ("    nop",)), ("10", "f_mine", "mine.S", ()),
              ("30", "f_end", "given.S", ("    ret",))]}
    (tmp_path / "mine.S").write_text(macro + "    f_section 10, f_mine\n    no such instruction\n")
    with pytest.raises(handouts.CannotRun, match="mine.S cannot be assembled"):
        functions(["mine.S"], tmp_path)


@pytest.mark.parametrize("tool", ["doxygen", "dot"])
def test_a_missing_tool_is_named_with_its_mend(monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    which = handouts.shutil.which
    monkeypatch.setattr(handouts.shutil, "which", lambda name: None if name == tool else which(name))
    with pytest.raises(handouts.CannotRun, match="apt-get install"):
        handouts.build()


def test_the_tree_builds_without_a_warning() -> None:
    page = handouts.build()
    assert page.is_file()
    assert (page.parent / "lab5.html").read_text().count("<img src=\"dot_inline") >= 5
    switch = (page.parent / "lab3.html").read_text()
    for function, most in (("vmx_asm_vmrun", "60"), ("svm_asm_vmrun", "99")):
        assert f'id="{function}_linked"' in switch
        orders = re.findall(r'linked-head"><b>(\d\d)', (handouts.PARTS / f"{function}.html").read_text())
        assert orders == sorted(set(orders)) and orders[0] == "00" and orders[-1] == most
