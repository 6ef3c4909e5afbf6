# SPDX-License-Identifier: MIT
"""`nest report`: what the page counts, where its links lead, and that no student's word is more
than a word."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from grader.batch.store import Store
from grader.course.lab import ROOT
from grader.intake.submission import Submission, Who
from grader.judge import outcome
from grader.judge.outcome import Outcome
from grader.overview import figures, gathered, page, similar
from grader.tests.sample_class import NASTY, PASSED, hand_in, lab1, opened, results_of, small_class, some
from grader.verbs.report import command

TAGS = set("""html head meta title style body header h1 h2 h3 p nav ul li a main b div span i table thead tbody tr th td
br details summary pre code section""".split())


class Parsed(HTMLParser):
    """The page's tags, links and anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset", "data")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def report(folder: Path, out: Path | None = None) -> str:
    out = out or folder / "class.html"
    done = CliRunner().invoke(command, ["--results", str(folder), "--out", str(out)], standalone_mode=False)
    if done.exception:
        raise done.exception
    return out.read_text(encoding="utf-8")


def test_no_word_of_a_student_is_more_than_a_word(tmp_path: Path) -> None:
    small_class(tmp_path)
    with opened(tmp_path) as store:
        for student in ('"><script>alert(1)</script>', "' onmouseover=alert(1) x='", NASTY, "a\0b"):
            result = results_of(lab1(), some({"unit:": Outcome(outcome.FAILED, student), "boot:": Outcome(outcome.REFUSED, student,
                                                                                                        stub="is refused")}))
            hand_in(store, student, replace(result, for_staff=(student,)), name=student, group=student, handed_in=student,
                    why=student)
    text = report(tmp_path)
    made = Parsed(text)
    assert made.tags <= TAGS, made.tags - TAGS
    assert not [name for name in made.attributes if name.startswith("on")] and "src" not in made.attributes
    assert all(re.fullmatch(r"#[a-z0-9]+|evidence/[\w./-]+", link) for link in made.links), made.links
    assert "default-src 'none'" in text
    assert all(c in "\n\t" or c.isprintable() for c in text)
    assert '<script>alert(1)</script>' in "".join(made.text)  # as a word it is there


def test_each_link_has_its_anchor_and_each_anchor_is_one(tmp_path: Path) -> None:
    small_class(tmp_path)
    made = Parsed(report(tmp_path))
    assert len(made.ids) == len(set(made.ids))
    assert {link[1:] for link in made.links if link.startswith("#")} <= set(made.ids)


def test_a_failing_cell_leads_to_its_words_and_its_log(tmp_path: Path) -> None:
    name = next(test.name for test in lab1().tests if test.kind == "boot")
    with opened(tmp_path) as store:
        hand_in(store, "s1", results_of(lab1(), some({name: Outcome(outcome.FAILED, "seen 1, wanted 2")})))
        row = store.row("s1")
        assert row.attempt is not None
        log = store.evidence(row.digest, row.attempt.number) / "a task" / "boot.txt"
        log.parent.mkdir(parents=True)
        log.touch()
    with opened(tmp_path) as store:
        attempt = store.row("s1").attempt
        assert attempt is not None and attempt.result is not None
        for test in attempt.result["tests"]:
            if test["name"] == name:
                test["extra_data"]["transcript"] = str(log)
        store._db.execute("UPDATE attempt SET state = 'begun'")
        store.end(attempt.digest, 1, "graded", result=attempt.result)
    text = report(tmp_path)
    anchor = re.search(r"<td class=f><a tabindex=-1 href=#(\w+)>x</a>", text)
    assert anchor and text.count("<td class=f>") == 1
    there = re.search(rf'<details id="{anchor[1]}">(.*?)</details>', text, re.DOTALL)
    assert there and name in there[1] and "seen 1, wanted 2" in there[1]
    link = re.search(r'href="(evidence/[^"]+boot\.txt)"', there[1])
    assert link and (tmp_path / link[1].replace("%20", " ")) == log
    assert f'href="{tmp_path.name}/evidence/' in report(tmp_path, tmp_path.parent / "elsewhere.html")


@pytest.mark.parametrize("transcript", ["", "/etc/passwd", "build/transcripts/lab1/x.txt", "{}/../../secret",
                                        "javascript:alert(1)", "{}/not-there.txt"])
def test_no_other_file_is_linked(tmp_path: Path, transcript: str) -> None:
    folder = tmp_path / "evidence" / "abc-1"
    folder.mkdir(parents=True)
    (tmp_path / "secret").touch()
    assert gathered._log(transcript.format(folder), folder, tmp_path / "page.html") == ""


def class_of(folder: Path) -> gathered.Class:
    with opened(folder) as store:
        return gathered.gather(store, folder / "class.html")


def test_figures_of_a_small_class(tmp_path: Path) -> None:
    small_class(tmp_path)
    found = class_of(tmp_path)
    assert len(found.entries) == 8 and len(found.graded) == 5
    assert sum(bin.count for bin in figures.histogram(found)) == 5 and figures.histogram(found)[-1].count == 1
    states = {one.student: one.state for one in found.entries}
    assert states["1004"] == "not judged" and states["1005"] == "failed" and states["1006"] == "lost" and states["1007"] == ""
    tasks = {one.id: one for one in figures.tasks(found)}
    assert tasks["lab1.elf_decode"].states == {"not written": 1}
    assert sum((one.whole, one.some, one.none)) == 4 if (one := tasks["lab1.elf_decode"]) else False
    by_name = {one.test.name: one for one in figures.tests(found)}
    booted = next(one for name, one in by_name.items() if name.startswith("boot:"))
    assert booted.judged <= 4 and booted.counts[outcome.NOT_JUDGED] == 1 and booted.counts[outcome.CRASHED] == 1


def test_discrimination_is_high_for_a_test_that_the_best_pass() -> None:
    def figure(*passed: bool) -> float | None:
        there = [gathered.Entry(str(n), "", "", (), "", False, "", {}, (), score=10.0 * n + right,
                                kinds=[outcome.PASSED if right else outcome.FAILED]) for n, right in enumerate(passed)]
        return figures._discrimination(there, 0, 1)

    best, worst, neither = figure(False, False, True, True), figure(True, True, False, False), figure(True, False, False, True)
    assert best is not None and best > 0.85 and worst is not None and worst < -0.85 and neither == pytest.approx(0)
    assert figure(True, True, True) is None and figure(False, False, False) is None and figure(True, False) is None


def test_the_same_failure_of_several_is_told_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for index in range(3):
            hand_in(store, f"s{index}", results_of(lab1(), some({"unit:": Outcome(outcome.FAILED, f"seen 0x{index}0, wanted {index}")})))
    stumbles = figures.stumbles(class_of(tmp_path))
    assert outcome.FAILED in {one.kind for one in stumbles} and all(one.students == (0, 1, 2) for one in stumbles)


def test_unstable_tests_are_told(tmp_path: Path) -> None:
    name = lab1().tests[0].name
    with opened(tmp_path) as store:
        hand_in(store, "s1", results_of(lab1(), some({name: Outcome(outcome.FAILED, "luck", unstable=True)})))
    text = report(tmp_path)
    assert "1 unstable" in text and ">~</a>" in text


def test_an_empty_class_is_a_page(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    assert "There is no result yet." in report(tmp_path)


ANSWER = "\n".join(f"    if (header.value{n} != expected({n})) {{ return fail(header, {n}); }}" for n in range(20))
RENAMED = ANSWER.replace("header", "head").replace("expected", "wanted").replace("    ", "\t") + "\n// mine\n"
OTHER = "\n".join(f"    for (int i = {n}; i < size; ++i) table[i] = pointer->next[{n}] + (i << {n});" for n in range(20))


def write(store: Store, student: str, answer: str) -> None:
    file = "kern/elf/elf_decode.cc"
    one = Submission(Who(student), student, "folder", {file: answer.encode()})
    store.take_submission(one)
    path = store.handed_in(one.digest) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(answer)


@pytest.mark.skipif(not shutil.which(similar.TOOL), reason="similarity-tester is not installed")
def test_answers_that_are_alike(tmp_path: Path) -> None:
    stub = (ROOT / "kern/elf/elf_decode.cc").read_text()
    with opened(tmp_path) as store:
        for student, answer in (("a", stub + ANSWER), ("b", stub + RENAMED), ("c", stub + OTHER), ("d", stub), ("e", stub),
                                ("f", stub + ANSWER + "\n// a comment\n"), ("g", stub + "int x;\n")):
            write(store, student, answer)
        found = gathered.gather(store, tmp_path / "class.html")
        alike, = similar.look(found, lab1(), store.handed_in, ROOT)
    names = [one.student for one in found.entries]
    # Stubs and short answers are compared with nothing; comments make no difference; names make
    # none.
    assert [[names[place] for place in group] for group in alike.same] == [["a", "f"]]
    assert [{names[place] for place in (*pair.one, *pair.two)} for pair in alike.pairs] == [{"a", "f", "b"}]
    assert alike.compared == 3 and alike.pairs[0].percent > 90 and not alike.why_not
    text = page.render(found, [alike], "")
    assert "and no verdict" in text and "The same lines" in text


def test_no_file_outside_is_compared(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, "a", ANSWER)
        write(store, "b", OTHER)
        for row in list(store.rows()):
            path = store.handed_in(row.digest) / "kern/elf/elf_decode.cc"
            path.unlink()
            path.symlink_to(ROOT / "vmm/pager/load_page.cc")
        found = gathered.gather(store, tmp_path / "class.html")
        assert similar.look(found, lab1(), store.handed_in, ROOT) == []


def test_passed_is_a_dot() -> None:
    assert gathered.MARKS[PASSED.kind] == "\u00b7" and page.colour("anything") == "f"
