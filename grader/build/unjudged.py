# SPDX-License-Identifier: MIT
"""What staff compile of answers of their own, past the gate: what tests do not reach, what two
answers compile to, and the headers of answers that are made by the thousand.
"""

from __future__ import annotations

from pathlib import Path

from grader.build.answers import Answers
from grader.build.cache import digest
from grader.build.compiling import ASSEMBLY, COMPILE_SECONDS
from grader.build.failures import BuildFailure
from grader.build.kit import LINK_SECONDS, Kit
from grader.confine import sandbox
from grader.course.lab import Lab


def counting(kit: Kit, lab: Lab, answers: Answers, file: str, flavour: str, folder: Path) -> Path:
    """Links the lab's unit tests with the answers, of which the one to `file` counts how often each
    line and branch is reached, for gcov, in answer.gcda of the folder. Raises BuildFailure."""
    answers, inputs, _, command = kit.tests(lab, answers, flavour)
    # What the sanitizers look at is a branch too, and not the answer's.
    flags = [*kit.flags(file, flavour), "-O0", "-fno-sanitize=undefined", "-fno-sanitize-address-use-after-scope",
             "--coverage", "-fprofile-update=atomic"]
    counted = _compiled(kit, folder, file, answers[file], kit.shown(answers[file]), flavour, flags)
    objects = [counted if one == file else kit.object(one, path, flavour).result() for one, path in answers.files]
    done = sandbox.run([*command(objects, folder / "program"), "--coverage"], timeout=LINK_SECONDS, cwd=folder,
                       writable=[folder], readable=[*objects, *inputs], memory_mib=4096)
    if not done.ok:
        raise BuildFailure((done.stdout + done.stderr).strip(), file=None, stage="does not link")
    return folder / "program"


def code(kit: Kit, file: str, source: Path) -> list[bytes]:
    """The optimized objects of an answer, as it boots and on the host, without debug information:
    where two answers have the same, no test can tell them apart. Raises BuildFailure."""
    bare = next((name for name, recipe in kit.description["programs"].items() if file in recipe["tasks"]), "kernel")
    objects = []
    for flavour in (bare,) if file.endswith(ASSEMBLY) else (bare, "asan"):
        flags = [flag for flag in kit.flags(file, flavour) if "sanitize" not in flag and not flag.startswith("-g")]
        with kit.cache.workplace() as place:
            # The name of an object's source stands in it.
            flags += ["-O2", f"-ffile-prefix-map={source.parent}/="]
            objects.append(_compiled(kit, place, file, source, kit.shown(source), flavour, flags).read_bytes())
    return objects


def precompile(kit: Kit, file: str, flavour: str, includes: str, folder: Path) -> None:
    """From here on, answers to the task are compiled behind these #include lines, which are
    compiled once: of a small answer, nearly all the time goes into the headers."""
    header = folder / digest(includes, file, kit.flags(file, flavour), kit.ground) / "first.hh"
    if not header.with_suffix(".hh.gch").exists():
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text(includes)
        with kit.cache.workplace() as place:
            made = _compiled(kit, place, file, header, str(header), flavour, [*kit.flags(file, flavour), "-x", "c++-header"])
            made.replace(header.with_suffix(".hh.gch"))
    kit.headers[file, flavour] = header


def _compiled(kit: Kit, place: Path, file: str, source: Path, name: str, flavour: str, flags: list[str]) -> Path:
    """Compiles an answer of staff's own, past the gate, into a folder."""
    output = place / "answer.o"
    done = sandbox.run(
        [kit.compiler(flavour), *flags, f"-ffile-prefix-map={kit.root}/=", f"-iquote{(kit.root / file).parent}",
         "-fdiagnostics-color=never", "-c", name, "-o", str(output)],
        timeout=COMPILE_SECONDS, cwd=kit.root, writable=[place], readable=[*kit.rooms, source])
    if not done.ok:
        kit.blame_disk(done.stderr)
        text = (done.stdout + done.stderr).strip()
        if done.killed or done.returncode < 0 or not text:
            text += f"\nthe compiler {done.ended()}"
        raise BuildFailure(text.strip(), file=file, stage="does not compile")
    return output
