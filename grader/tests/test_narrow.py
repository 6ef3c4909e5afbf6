# SPDX-License-Identifier: MIT
"""A terminal of 60 columns: no line is broken by the terminal but commands that somebody may
copy."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from grader.course.lab import ROOT, Lab
from grader.judge import outcome, report, results
from grader.judge.outcome import Outcome
from grader.judge.scoring import score_task
from grader.tests.test_results import task
from grader.verbs.cli import VERBS
from grader.verbs.narrow import folded

COLUMNS = 60
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize(("line", "wanted"), [
    ("short", "short"),
    ("one two three four five", "one two three\nfour five"),
    ("  one two three four", "  one two\n  three four"),
    ("  hint   one two three", "  hint   one\n         two\n         three"),
    ("unbreakableandverylong word", "unbreakableandverylong\nword"),
    ("  alone  ./nest grade lab0 -k 'A.B' --seed 1", "  alone  ./nest grade lab0 -k 'A.B' --seed 1"),
    ("sudo apt-get install -y a b c", "sudo apt-get install -y a b c"),
    ("\x1b[1;31mone two\x1b[0m three", "\x1b[1;31mone two\x1b[0m three"),
    ("\x1b[36m  seen   \x1b[0mone two", "\x1b[36m  seen   \x1b[0mone\n         two"),
])
def test_folds_at_words_below_the_text(line: str, wanted: str) -> None:
    assert folded(line, 13) == wanted


def on_a_terminal(*words: str) -> str:
    """What a command says to a terminal of 60 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen([ROOT / "nest", *words], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
                               start_new_session=True, env={**environment, "TERM": "xterm"})
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 1 << 16):
            said += more
    except OSError:  # the last one has closed it
        pass
    os.close(ours)
    process.wait()
    return COLOUR.sub("", said.decode())


SCREENS = [[], ["help"], ["labs"], ["--version"], ["nosuch"], ["grade"], ["grade", "nosuch"], ["grade", "--nosuch", "lab0"],
           ["grade", "lab0", "--task", "nosuch"], ["grade", "lab0", "--machine", "nosuch"], ["run", "lab0", "--cpus", "99"],
           ["run", "lab0", "--machine", "nosuch"], ["update", "/nosuch"], ["whoami", "--id", "a b"],
           *([verb, "--help"] for verb in VERBS)]


@pytest.mark.parametrize("words", SCREENS, ids=" ".join)
def test_screens(words: list[str]) -> None:
    said = on_a_terminal(*words)
    wide = [line for line in said.replace("\r\n", "\n").split("\n") if len(line) > COLUMNS]
    assert said.strip() and not wide, "\n".join(wide)


@pytest.mark.parametrize(("words", "says"), [
    (["update"], "nest: missing argument 'FROM'"),
    (["grade", "lab0", "--nosuch"], "nest: no such option: --nosuch"),
    (["run", "lab0", "--machine", "nosuch"], "nest: invalid value for '--machine': 'nosuch' is not one of 'amd-qemu'"),
])
def test_wrong_usage_is_told_in_the_words_of_every_error(words: list[str], says: str) -> None:
    done = subprocess.run([ROOT / "nest", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith(says) and second == f"  mend: ./nest {words[0]} --help says what there is"


@pytest.mark.parametrize("machines", [("amd-qemu",), ("amd-qemu", "intel-bochs")])
def test_a_verdict(machines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    name = "lab2.copy_guest_kern_gpa"
    one = replace(task(4, 4, 2), id=name, title="The guest kernel's image into the guest's memory")
    one = replace(one, tests=tuple(replace(test, task=name) for test in one.tests))
    found = dict(zip([test.name for test in one.tests],
                     [Outcome(outcome.FAILED, "seen a thing that is rather long to say, and wanted quite another one"),
                      Outcome(outcome.BLOCKED, stub="lab2.ept_map_hva2gpa is not written yet"), Outcome(outcome.PASSED)]))
    cell = score_task(one, found, elsewhere="own", alone="./nest grade lab2 -k '{}' --seed 123456789012345")
    assert cell is not None
    lab = Lab("lab2", "toy", "Guest memory", 10, (), machines, "nestling", (one,), Path("labs/lab2-toy"))
    here = tuple(results.MachineResult(name, (cell,), ()) for name in machines)
    whole = results.Results(lab, "own", 123456789012345, False, (cell,), here, None, "build/transcripts/lab2/x", 1.0)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    report.show(whole, out)
    lines = [part for line in COLOUR.sub("", out.getvalue()).split("\n") for part in folded(line, COLUMNS).split("\n")]
    wide = [line for line in lines if len(line) > COLUMNS and "./nest grade" not in line]
    assert not wide, "\n".join(wide)
    for word in (name, *machines, "2/10", "lab2.ept_map_hva2gpa"):
        assert any(word in line for line in lines), f"{word} is broken:\n" + "\n".join(lines)
