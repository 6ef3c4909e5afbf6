# SPDX-License-Identifier: MIT
"""`nest export canvas` and `moodle`: a platform's own table, of which the wanted cells alone
change."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from grader import CANNOT_RUN, DONE, UsageError
from grader.course import lab as labs_module
from grader.export.moodle import as_html
from grader.export.table import Table
from grader.judge import outcome
from grader.tests.sample_class import NASTY, PENDING, hand_in, lab1, opened, results_of, small_class, some
from grader.tests.test_export import export

CANVAS = '''\
Student,ID,SIS User ID,SIS Login ID,Section,User programs (4711),Other (4712),Current Score,Final Score
,,,,,Manual Posting,,(read only),(read only)
    Points Possible,,,,,20.00,10.00,(read only),(read only)
"Byron, Ada",1001,s-1,ada,"A, B",,7.5,75,75
"=""Evil, ""Q""",1002,s-2,=cmd|x,A,3.5,,,
"Nasty, N",1003,s-3,nn,A,"",,,
"Half, N",1004,s-4,nh,A,,,,
"Group, One",2001,s-5,go,A,,,,
"Excused, E",2002,s-6,ge,A,EX,,,
"Nobody, N",9999,s-9,no,A,1,,,
"Student, Test",8888,,test,A,,,,
'''
MOODLE = """\
Identifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed","Last modified (grade)","Feedback comments"
Participant 1001,"Ada Byron",ada@example.com,"Submitted for grading - ",,20.00,Yes,-,
Participant 1002,"=1+2",=2@example.com,"Submitted for grading - ",1.00,20.00,Yes,"Friday, 27 November 2026, 9:00 AM","<p>old, ""kept"" no more</p>"
Participant 1003,Nasty,n@example.com,"No submission - ",,20.00,Yes,-,
Participant 1005,Failed,f@example.com,"Submitted for grading - ",,20.00,Yes,-,
"""


def rows(data: bytes, encoding: str = "utf-8", delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(encoding), newline=""), delimiter=delimiter))


def fill(folder: Path, data: bytes, form: str, *words: str) -> tuple[bytes, int, str]:
    (folder / "their.csv").write_bytes(data)
    status, said = export(form, "--results", folder / "results", "--into", folder / "their.csv", "--out", folder / "out.csv", *words)
    assert (folder / "their.csv").read_bytes() == data
    return (folder / "out.csv").read_bytes(), status, said


def others(data: bytes, *columns: int) -> list[list[str]]:
    """All cells but those of some columns."""
    return [[cell for index, cell in enumerate(row) if index not in columns] for row in rows(data)]


def test_canvas_gets_the_points_and_keeps_the_rest(tmp_path: Path) -> None:
    small_class(tmp_path / "results")
    made, status, said = fill(tmp_path, CANVAS.encode(), "canvas", "--column", "User programs")
    points = {row[1]: row[5] for row in rows(made) if row[1]}
    assert points == {"ID": "User programs (4711)", "1001": "20", "1002": "15", "1003": points["1003"], "1004": "", "2001": "18",
                      "2002": "EX", "9999": "1", "8888": ""}
    assert 0 < float(points["1003"]) < 20 and status == CANNOT_RUN
    assert others(made, 5) == others(CANVAS.encode(), 5)
    # The bytes of every row that was not filled in, and of the filled ones around the cell.
    before, after = CANVAS.splitlines(), made.decode().splitlines()
    assert [a for a, b in zip(after, before) if a == b] == [before[i] for i in (0, 1, 2, 6, 8, 9, 10)]
    assert after[3] == '"Byron, Ada",1001,s-1,ada,"A, B",20,7.5,75,75'
    assert after[4] == '"=""Evil, ""Q""",1002,s-2,=cmd|x,A,15,,,'
    for word in ("1004 (Not Judged): 4.5 of 20 points could not be judged; the cell stays", "1005 (Failed): in no row",
                 "1007 (Absent): in no row", "2002: Canvas says that the student is excused", "9999: in ", "8888: in "):
        assert word in said, said
    assert "1 of them in place of another one" in said and "\x1b" not in said


@pytest.mark.parametrize("wanted", ["User programs", "User programs (4711)", "4711"])
def test_canvas_column_by_title_or_number(tmp_path: Path, wanted: str) -> None:
    small_class(tmp_path / "results")
    assert rows(fill(tmp_path, CANVAS.encode(), "canvas", "--column", wanted)[0])[3][5] == "20"


@pytest.mark.parametrize(("wanted", "says"), [("Final Score", "no assignments 'Final Score'; it has: User programs (4711); Other"),
                                              ("Section", "no assignments"), ("ID", "no assignments")])
def test_canvas_writes_no_column_that_is_no_assignment(tmp_path: Path, wanted: str, says: str) -> None:
    small_class(tmp_path / "results")
    with pytest.raises(UsageError, match=says.replace("(", r"\(").replace(")", r"\)")):
        fill(tmp_path, CANVAS.encode(), "canvas", "--column", wanted)


@pytest.mark.parametrize(("encode", "delimiter"), [
    (lambda text: b"\xef\xbb\xbf" + text.encode(), ","),
    (lambda text: b"\xff\xfe" + text.encode("utf-16-le"), ","),
    (lambda text: text.replace("\n", "\r\n").encode(), ","),
    (lambda text: text.replace("\n", "\r").encode(), ","),
    (lambda text: text.rstrip("\n").encode(), ","),
    (lambda text: text.replace("Byron", "Býron").encode("cp1252"), ","),
    (lambda text: text.replace("User programs", "User, programs").replace(",", ";").replace("User; programs", '"User, programs"')
     .encode(), ";"),
])
def test_how_the_platform_writes_is_kept(tmp_path: Path, encode, delimiter: str) -> None:
    small_class(tmp_path / "results")
    data = encode(CANVAS)
    made, _, _ = fill(tmp_path, data, "canvas", "--column", "4711")
    grade = "20".encode("utf-16-le") if data.startswith(b"\xff\xfe") else b"20"
    # Taking the written cells out again leaves the platform's bytes.
    table, their = Table(made, "made"), Table(data, "their")
    for row in range(len(their.rows)):
        if table.value(row, table.header.index(their.header[5])) != their.value(row, 5):
            their._new[row, 5] = table._text[table.rows[row][5].start:table.rows[row][5].end]
    assert their.data() == made and grade in made and table.delimiter == delimiter
    assert made[:3] == data[:3] and made.count(b"\r") == data.count(b"\r") and len(table.rows) == len(their.rows)
    assert made.endswith(data[-8:])


def test_a_students_name_is_no_key_and_an_id_that_is_twice_is_told(tmp_path: Path) -> None:
    with opened(tmp_path / "results") as store:
        hand_in(store, "ada", results_of(lab1(), some({})), name="Byron, Ada")  # by login
        hand_in(store, "Nasty, N", results_of(lab1(), some({})), name="Nasty, N")
        hand_in(store, "1002", results_of(lab1(), some({})))
        hand_in(store, "1001", results_of(lab1(), some({})))  # Ada's too
    twice = CANVAS.replace("Nobody, N\",9999,s-9", "Nobody, N\",9999,1002")
    made, status, said = fill(tmp_path, twice.encode(), "canvas", "--column", "4711")
    points = {row[1]: row[5] for row in rows(made) if row[1]}
    assert points["1001"] == "20" and points["1002"] == "3.5" and points["1003"] == "" and points["9999"] == "1"
    assert "1002: in several rows" in said and "Nasty, N (Nasty, N): in no row" in said
    assert "in the same row" in said and status == DONE


def test_canvas_other_points_possible_are_told(tmp_path: Path) -> None:
    small_class(tmp_path / "results")
    _, _, said = fill(tmp_path, CANVAS.replace("20.00", "100.00").encode(), "canvas", "--column", "4711")
    assert "Canvas gives 100 points" in said and "the lab has 20" in said


def test_moodle_gets_grades_and_comments(tmp_path: Path) -> None:
    small_class(tmp_path / "results")
    made, status, said = fill(tmp_path, MOODLE.encode(), "moodle")
    table = rows(made)
    assert [row[4] for row in table] == ["Grade", "20", "15", table[3][4], ""] and status == CANNOT_RUN
    assert others(made, 4, 8) == others(MOODLE.encode(), 4, 8)
    assert table[1][8].startswith("<p>lab1 User programs: 20 of 20 points</p>") and "old" not in table[2][8] and table[4][8] == ""
    assert made.decode().splitlines()[4] == MOODLE.splitlines()[4]
    assert "1005 (Failed): the grader failed" in said and "g1" not in said and "2001: in no row" in said


def test_moodle_in_another_language_and_too_many_points(tmp_path: Path) -> None:
    small_class(tmp_path / "results")
    german = (MOODLE.replace("Identifier", "ID").replace("Participant ", "Teilnehmer/in").replace(",Grade,", ",Bewertung,")
              .replace("Feedback comments", "Feedback als Kommentar").replace("20.00", "10.00"))
    with pytest.raises(UsageError, match="--id-column"):
        fill(tmp_path, german.encode(), "moodle")
    words = ("--id-column", "ID", "--column", "Bewertung", "--comments", "Feedback als Kommentar")
    made, _, said = fill(tmp_path, german.replace("Maximum Grade", "Bestwertung").encode(), "moodle", *words)
    assert rows(made)[1][4] == "20" and rows(made)[1][8]
    made, _, said = fill(tmp_path, german.encode(), "moodle", *words)
    assert made == german.encode() and "20 points are more than the platform's 10" in said


def test_words_in_a_cell_are_no_formula_and_no_html() -> None:
    table = Table(MOODLE.encode(), "m")
    for row, text in enumerate(("=1+2", "+1", "-1", "@x"), 1):
        table.write_text(row, 8, text)
        table.write_number(row, 4, "-1")
    made = rows(table.data())
    assert [row[8] for row in made[1:]] == ["'=1+2", "'+1", "'-1", "'@x"] and {row[4] for row in made[1:]} == {"-1"}
    assert "<img" not in as_html([NASTY]) and as_html(["a"]) == "<p>a</p>"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"one\n", b"\xef\xbb\xbf\xff,\xff\n", b'"never closed'])
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes) -> None:
    small_class(tmp_path / "results")
    for words in (("canvas", "--column", "x"), ("moodle",)):
        with pytest.raises(UsageError):
            fill(tmp_path, data, *words)


def test_the_platforms_file_is_never_written(tmp_path: Path) -> None:
    small_class(tmp_path / "results")
    (tmp_path / "their.csv").write_text(CANVAS)
    (tmp_path / "link.csv").symlink_to("their.csv")
    for name in ("their.csv", "link.csv"):
        with pytest.raises(UsageError, match="platform's own file"):
            export("canvas", "--results", tmp_path / "results", "--into", tmp_path / "their.csv", "--column", "4711",
                   "--out", tmp_path / name)


def test_points_that_a_person_still_gives_are_told(tmp_path: Path) -> None:
    with opened(tmp_path / "results", "lab2") as store:
        hand_in(store, "1001", results_of(labs_module.find("lab2"), some({}), (PENDING,) * 4))
        hand_in(store, "1002", results_of(labs_module.find("lab2"), some({"boot:": outcome.FAILED}), ("entered",) * 4))
    made, status, said = fill(tmp_path, CANVAS.replace("20.00", "14.00").encode(), "canvas", "--column", "4711")
    assert rows(made)[3][5] == "10" and status == DONE
    assert "1001: 4 points are for answers that nobody has read yet" in said and "1002: 4" not in said
