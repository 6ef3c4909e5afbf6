# SPDX-License-Identifier: MIT
"""The handouts: pages and reference as HTML, made by Doxygen with Graphviz.

What a page says twice is written once. A task's contract stands in its header and the page copies
it (``\\copydoc``); its points and tests stand in lab.json, and this module turns them into the
pieces that the page includes (``\\htmlinclude``). An anchor that lab.json names must stand in the
lab's handout.md.
"""

from __future__ import annotations

import fcntl
import html
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2

from grader import CannotRun, LabError
from grader.course import lab as labs
from grader.course import release
from grader.course.fragments import functions
from grader.course.lab import ROOT, Lab, Task, Test

PARTS = ROOT / "build" / "handouts-parts"
OUTPUT = ROOT / "build" / "handouts"
LONG_LINE = 96
"""Characters of code that fit the page in the usual size."""

_KINDS = {
    "unit": "On the host, under AddressSanitizer",
    "explore": "On the host, in every order",
    "race": "On the host, under ThreadSanitizer",
    "boot": "In the booted machine",
}
_ANCHOR = re.compile(r"\{#([\w-]+)\}|[\\@]anchor\s+([\w-]+)")


@dataclass(frozen=True)
class Group:
    """The tests of a task that run on the same ground."""

    title: str
    summary: str
    tests: tuple[Test, ...]


def groups(task: Task) -> list[Group]:
    """The task's tests by ground, empty ones left out."""
    out = []
    for kind, title in _KINDS.items():
        tests = tuple(test for test in task.tests if test.kind == kind and not test.hidden)
        if tests:
            points = sum(test.points for test in tests)
            many = f"{points:g}" if points else "more tests"
            out.append(Group(title, f"{many} {title[0].lower()}{title[1:]}", tests))
    return out


def case_name(test: Test) -> str:
    """What a reader calls a test: its case."""
    return test.local.rpartition("::")[2].rpartition(".")[2]


def rows(tests: Iterable[Test]) -> list[tuple[Test, tuple[str, ...]]]:
    """The tests, those of one typed case together: the first of them, and the types."""
    out: list[tuple[Test, tuple[str, ...]]] = []
    last = None
    for test in tests:
        suite, _, kind = test.local.rpartition(".")[0].partition("/")
        this = (suite, case_name(test), test.checks)
        if kind and this == last:
            out[-1] = (out[-1][0], (*out[-1][1], kind))
        else:
            out.append((test, (kind,) if kind else ()))
        last = this
    return out


def short_title(lab: Lab) -> str:
    """The id and the name of a lab as a reader says them: ``Lab N: its name``."""
    word, number = re.fullmatch(r"(.*?)(\d*)", lab.id).groups()  # type: ignore[union-attr]
    return f"{word.capitalize()} {number}".strip() + ": " + lab.name.replace("-", " ")


def anchors(handout: str) -> set[str]:
    """The anchors of a page, as ``{#name}`` behind a heading or ``\\anchor name``."""
    return {a or b for a, b in _ANCHOR.findall(handout)}


def anchor_faults(lab: Lab) -> Iterator[str]:
    """One line for each anchor of lab.json that the lab's handout lacks."""
    path = lab.folder / "handout.md"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        yield f"{path}: there is no such file"
        return
    here = anchors(text)
    if lab.id not in here:
        yield f"{path}: its title should carry {{#{lab.id}}}, which names its page"
    named = {task.handout: task.id for task in lab.tasks}
    named |= {test.read: test.name for test in lab.tests if test.read not in named}
    if lab.questions:
        named |= {one.read: one.id for one in lab.questions.ask if one.read and one.read not in named}
    for anchor, who in named.items():
        if anchor.rpartition("#")[2] not in here:
            yield f"{path}: no anchor '{anchor}', which {who} of {lab.folder / 'lab.json'} names"


def write_parts(all_labs: Iterable[Lab], folder: Path = PARTS) -> None:
    """Writes the pieces that come from lab.json: the page header, the list of labs, the points; and
    functions whose fragments are tasks, whole.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "handouts" / "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    all_labs = list(all_labs)
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, template: str, **values: object) -> None:
        text = environment.get_template(template).render(**values)
        (folder / name).write_text(text, encoding="utf-8")

    made = release.read()
    if made and made.coming:
        # Pages of this release may point to a later lab's: so that no link is dead, it leads here.
        (folder / "coming.md").write_text("# Later labs {#coming}\n\nThis comes with a later release.\n\n" + "".join(
            f"## Comes with a later release {{#{anchor}}}\n\n" for anchor in made.coming), encoding="utf-8")

    names = [{"id": lab.id, "short_title": short_title(lab)} for lab in all_labs]
    write("header.html", "header.html.j2", labs=names)
    write("labs.html", "labs.html.j2", labs=all_labs)
    for lab in all_labs:
        write(f"{lab.id}.points.html", "points.html.j2", lab=lab,
              counted=[task for task in lab.tasks if lab.counted(task)],
              apart=[task for task in lab.tasks if not lab.counted(task)])
        for task in lab.tasks:
            first = task.first_positive or task.tests[0]
            example = re.split(r"[.:]+", first.local)[-1]
            write(f"{task.id}.html", "task.html.j2", lab=lab, task=task, groups=groups(task), example=example,
                  case_name=case_name, rows=rows)
    tasks = {task.file: task for lab in all_labs for task in lab.tasks if task.file.endswith(".S")}
    rooms = {Path(file).parent for file in tasks}
    files = (str(path.relative_to(ROOT)) for room in sorted(rooms) for path in sorted((ROOT / room).glob("*.S")))
    for function, fragments in functions(files, ROOT).items():
        write(f"{function}.html", "fragments.html.j2", function=function, fragments=fragments, tasks=tasks)


def scalable_pictures(page: str) -> str:
    """Shows drawn pictures as images: Doxygen's frames have a fixed size and would be cut."""
    return re.sub(
        r'<iframe [^>]*src="([^"]+\.svg)" width="(\d+)" height="(\d+)">.*?</iframe><div class="caption">\s*(.*?)</div>',
        r'<img src="\1" width="\2" height="\3" alt="\4"/><div class="caption">\4</div>', page, flags=re.DOTALL)


def dedented_code(page: str) -> str:
    """Moves code that was cut out of a class to the left margin, and marks code with long lines."""
    def dedent(found: re.Match[str]) -> str:
        indents = re.findall(r'<div class="line">( *)[^ \n]', found[0])
        margin = '<div class="line">' + min(indents, key=len, default="")
        code = found[0].replace(margin, '<div class="line">')
        text = html.unescape(re.sub(r"<[^>]*>", "", code.replace("</div>", "\n")))
        longest = max(map(len, text.splitlines()), default=0)
        return code.replace('class="fragment"', 'class="fragment wide"', 1) if longest > LONG_LINE else code

    return re.sub(r'<div class="fragment">.*?<!-- fragment -->', dedent, page, flags=re.DOTALL)


def build() -> Path:
    """Builds everything; returns the first page.

    Raises LabError with every fault of a handout against its lab.json, and CannotRun with Doxygen's
    warnings, all of which are errors.
    """
    for tool, package in (("doxygen", "doxygen"), ("dot", "graphviz")):
        if shutil.which(tool) is None:
            raise CannotRun(f"{tool} is not installed; the mend: apt-get install {package}")
    all_labs = labs.load_all()
    faults = [fault for lab in all_labs for fault in anchor_faults(lab)]
    if faults:
        raise LabError("\n".join(faults))
    PARTS.mkdir(parents=True, exist_ok=True)
    with (PARTS.parent / "handouts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once in one tree: the second waits
        _build(all_labs)
    return OUTPUT / "index.html"


def _build(all_labs: list[Lab]) -> None:
    shutil.rmtree(PARTS)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    write_parts(all_labs)
    done = subprocess.run(["doxygen", "Doxyfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.removeprefix(f"{ROOT}/") for line in done.stderr.splitlines() if line.strip()]
        raise CannotRun("\n".join([*lines, f"doxygen ended with {done.returncode}; {len(lines)} lines above"]))
    for page in OUTPUT.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        if "dotgraph" in text or ('"fragment"' in text and not page.stem.endswith("_source")):
            page.write_text(dedented_code(scalable_pictures(text)), encoding="utf-8")
