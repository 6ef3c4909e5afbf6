# SPDX-License-Identifier: MIT
"""One answer through the gate and the compiler: from its text to an object of which only the task's
own symbols are global.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from grader.build.failures import BuildFailure
from grader.confine import sandbox
from grader.gate import Finding, code, objects, source

COMPILE_SECONDS = 30.0
PREPROCESS_SECONDS = 20.0
ASSEMBLY = ".S"
REFUSED = "is refused"
_FILE_BLOCKS = 32 << 11
"""of 512 bytes: what the compiler, and a bomb in an answer, may write in one file"""
_PREPROCESSED_BLOCKS = 8 << 11
LISTING_BYTES = 32 << 20
_DIED = ("signal terminated", "due to signal", "File size limit")
"""What g++ and clang++ say of a preprocessor that was ended."""
SHOWN = 12
"""So many findings of one kind are looked for and shown."""
_TOO_BIG, _NO_TOOL = 119, 120


@dataclass(frozen=True)
class Tools:
    """The programs of one flavour, and the words for the compiler."""

    compiler: str
    flags: Sequence[str]
    ld: str
    objcopy: str
    objdump: str


@dataclass(frozen=True)
class Answer:
    """One answer's text, as the gate read it."""

    file: str
    """the task's file"""
    name: str
    """how the answer's own file is called in messages: from the root, if it is inside"""
    text: bytes
    root: Path = field(hash=False)

    @property
    def is_assembly(self) -> bool:
        return self.file.endswith(ASSEMBLY)

    def put(self, place: Path) -> str:
        """Writes the copy that tools may see, and nobody else writes; its name from `place`, as in
        messages."""
        path = place / self.name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.text)
        return str(path.relative_to(place))

    def refused(self, findings: Sequence[Finding]) -> BuildFailure:
        """The failure for what the gate found."""
        lines = [f"{self.name}:{one.line}: {one.text}" if one.line else f"{self.name}: {one.text}" for one in findings]
        return BuildFailure("\n".join(dict.fromkeys(lines[:SHOWN])), file=self.file, stage=REFUSED)


def command(answer: Answer, tools: Tools, name: str) -> list[str]:
    """The compiler's words for one answer. It sees the rooms and itself, so that it cannot include
    a reference."""
    folder = (answer.root / answer.file).parent
    clang = "clang" in Path(tools.compiler).name or "clang" in str(Path(tools.compiler).resolve())
    own = ["-ferror-limit=3"] if clang else ["-fmax-errors=3", "-fno-gnu-unique"]
    return [tools.compiler, *tools.flags, "-fno-lto", f"-ffile-prefix-map={answer.root}/=", f"-iquote{folder}",
            "-fdiagnostics-color=never", *own, name]


def words(answer: Answer, by_flavour: dict[str, Tools], place: Path, readable: list[Path]) -> list[Finding]:
    """What the file's own lines may not hold once macros are replaced, in all flavours. They run at
    once.

    A flavour that the preprocessor finds an error in is left out, since it will not compile. Raises
    BuildFailure where the preprocessor does not get to its end, which the compiler might: nothing
    is judged then, nor compiled."""
    name = answer.put(place)
    script = "".join(
        f"({shlex.join([*command(answer, tools, name), '-E', '-o', f'own-{i}.ii'])} 2>said-{i} && mv own-{i}.ii whole-{i}) & "
        for i, tools in enumerate(by_flavour.values())) + "wait"
    done = sandbox.run(["/bin/sh", "-c", f"ulimit -f {_PREPROCESSED_BLOCKS}; {script}"], timeout=PREPROCESS_SECONDS,
                       cwd=place, writable=[place], readable=readable)
    texts = {}
    for i, flavour in enumerate(by_flavour):
        path = place / f"whole-{i}"
        if not path.is_file():
            said = (place / f"said-{i}").read_text(encoding="utf-8", errors="replace") if done.ok else ""
            if "error: " in said and not any(words in said for words in _DIED):
                continue
            raise BuildFailure(f"the preprocessor does not get to its end: macros make too much of it (it {done.ended()})",
                               file=answer.file, stage="does not compile")
        texts[flavour] = path.read_text(encoding="utf-8", errors="replace")
    return source.preprocessed_findings(texts, name) if texts else []


def compiled(answer: Answer, tools: Tools, keep: Sequence[str], place: Path, readable: list[Path],
             blame_disk: Callable[[str], None]) -> Path:
    """Compiles the answer in `place`, and hides all of its symbols but those in `keep`; where the
    object is.

    Raises BuildFailure with the compiler's words."""
    name = answer.put(place)
    (place / "keep").write_text("".join(f"{one}\n" for one in keep))
    grouped = [tools.ld, "-r", "--force-group-allocation", "-z", "noexecstack", "-o", "grouped.o", "compiled.o"]
    steps = (
        f"ulimit -f {_FILE_BLOCKS}\n"
        f"{shlex.join([*command(answer, tools, name), '-c', '-o', 'compiled.o'])} || exit $?\n"
        f"[ $(stat -c %s compiled.o) -le {objects.OBJECT_BYTES} ] || exit {_TOO_BIG}\n"
        f"{shlex.join(grouped)} && {tools.objcopy} --keep-global-symbols=keep grouped.o answer.o || exit {_NO_TOOL}\n")
    done = sandbox.run(["/bin/sh", "-c", steps], timeout=COMPILE_SECONDS, cwd=place, writable=[place], readable=readable)
    text = _named(done.stdout + done.stderr, answer, name).strip()
    if done.returncode == _TOO_BIG or (not done.ok and "File size limit" in text):
        raise answer.refused([Finding(0, "its object has more than 4 MiB")])
    if not done.ok:
        blame_disk(done.stderr)
        if done.killed or done.returncode < 0 or not text:
            text += f"\nthe compiler {done.ended()}"
        if done.returncode == _NO_TOOL:
            raise answer.refused([Finding(0, f"its object cannot be read: {text[:200]}")])
        raise BuildFailure(text.strip(), file=answer.file, stage="does not compile")
    return place / "answer.o"


def judged(made: Path, answer: Answer, tools: Tools, flavour: str, may_have: Callable[[str], bool],
           about: frozenset[str]) -> tuple[list[Finding], list[str]]:
    """What the gate finds in an answer's object, and what a person may want to look at."""
    try:
        found = objects.read(made)
    except objects.NoObject as problem:
        return [Finding(0, f"its object cannot be read: {problem}")], []
    # Of findings without number the first are enough.
    out = list(islice(objects.findings(found, flavour, answer.is_assembly, may_have, Path(answer.file).parent.name), SHOWN))
    for_staff: list[str] = []
    if found.machine == objects.X86_64:
        done = sandbox.run([tools.objdump, "-d", "-w", "-z", str(made)], timeout=PREPROCESS_SECONDS, readable=[made],
                           output_bytes=LISTING_BYTES)
        if not done.ok or done.truncated:
            return [*out, Finding(0, f"its code cannot be read: objdump {done.ended()}")], []
        listed = code.instructions(done.stdout)
        out += islice(code.findings(listed, about, answer.is_assembly), SHOWN)
        executable = [one for one in found.sections if one.executable and one.size]
        if answer.is_assembly:
            out += code.closed(listed, {one.name: one.size for one in executable})
        if flavour not in ("asan", "tsan"):
            for one in executable:
                for_staff += [f"{answer.name}: {what}" for what in code.hidden(listed, one.name, one.data)]
    if len(for_staff) > SHOWN:
        for_staff[SHOWN:] = [f"{answer.name}: and {len(for_staff) - SHOWN} more of that kind"]
    return out, for_staff


def _named(text: str, answer: Answer, name: str) -> str:
    """A tool's words with the answer's own name."""
    text = text.replace(f"{answer.root}/", "")
    return text.replace(name, answer.name) if name != answer.name else text
