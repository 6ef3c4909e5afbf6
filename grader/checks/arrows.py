# SPDX-License-Identifier: MIT
"""The arrows between the rooms: who may include whom, and who may know what.

- ``kern`` knows only itself; ``vmm`` and ``guest`` know ``kern`` and themselves.
- Only what runs on the bare machine alone knows ``kern/arch/x86_64`` from inside; all else knows
  the headers of ``kern/arch``.
- A bit of a control register, of EFER or of RFLAGS is defined once, in ``kern/arch``.
- A user program knows the library and the numbers that it shares with its kernel.
- Only ``vmm/svm`` knows a VMCB and only ``vmm/vmx`` a VMCS; tests and measurements look inside.
- Instructions of the machine stand in ``kern/arch/x86_64``, in the two backends, in guests, and in
  the few files that INLINE_ASSEMBLY names with a reason.
- Nothing that is released includes a solution.
- The grader knows no lab by name.
- The rooms of the grader know those below them; labs' tests know the testkit alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from grader.checks import PRIVATE, Finding

CODE = (".cc", ".hh", ".h", ".S", ".inc")
ROOMS = ("kern", "vmm", "guest", "labs", PRIVATE)

MAY_INCLUDE = {
    "kern": ("kern",),
    "vmm": ("vmm", "kern"),
    "guest": ("guest", "kern"),
    "labs": ("labs", "vmm", "kern", "guest"),
}
MACHINE = "kern/arch/x86_64"
KNOW_THE_MACHINE = (
    MACHINE, "kern/tests/boot", "kern/bench",
    "vmm/svm", "vmm/vmx", "vmm/processor_state.hh", "vmm/tests/boot", "vmm/bench",
)  # fmt: skip
"""The backends, and the registers that both move, need more of a machine than ``kern/arch/arch.hh``
tells."""
BITS = ("kern/arch/x86.hh", "kern/arch/x86_numbers.h")
"""The one place of registers' bits."""
PROGRAMS = {
    "kern/user": ("kern/user", "kern/proc/syscall_numbers.hh", "kern/cap/interface.hh"),
    "vmm/user/program": (
        "vmm/user/program", "kern/user", "vmm/user/syscall_numbers.hh", "kern/elf/format.hh", "kern/lib/todo.hh",
    ),
}
"""What runs in ring 3, and all that it may include."""
BACKENDS = ("vmm/svm", "vmm/vmx")
LOOK_INSIDE = ("vmm/tests", "vmm/bench")
"""May know a backend from inside: they test and measure it."""
INLINE_ASSEMBLY = (
    "kern/arch/x86_64",
    "kern/tests/boot",  # runs on the bare machine only
    "kern/user",  # programs of ring 3
    "kern/bench",  # runs on the bare machine only
    "vmm/vmx",
    "guest",
)
ASSEMBLY_FILES = (*INLINE_ASSEMBLY, "vmm/svm", "vmm/vmx", "vmm/bench", "vmm/tests/boot")

_ALL_BUT_VERBS = (
    "confine", "course", "evidence", "gate", "machines", "build", "testkit", "judge", "mutate", "bench", "checks",
    "student", "release", "intake", "batch", "cluster", "export", "overview",
)  # fmt: skip
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "confine": (),
    "course": ("gate",),
    "evidence": (),
    "machines": ("confine", "evidence"),
    "gate": (),
    "build": ("confine", "course", "gate"),
    "testkit": ("confine", "evidence", "machines"),
    "judge": ("confine", "course", "evidence", "machines", "build", "testkit"),
    "mutate": ("confine", "course", "build", "judge"),
    "bench": ("confine", "course", "machines", "build", "testkit"),
    "checks": ("course", "build", "gate"),
    "gdb": ("evidence",),
    "student": ("course",),
    "intake": ("confine", "course"),
    "batch": ("confine", "course", "build", "judge", "intake"),
    "cluster": ("batch", "course"),
    "release": ("course", "build"),
    "export": ("confine", "course", "build", "judge", "intake", "batch", "release"),
    "overview": ("confine", "course", "judge", "batch"),
    "verbs": _ALL_BUT_VERBS,
    "attacks": ("build", "course", "judge"),
    "tests": (*_ALL_BUT_VERBS, "verbs"),
}
"""By room of the grader: the others that it may import. What stands in grader/__init__.py is
everybody's."""
FACE = "testkit"
"""The one room that labs' tests may import."""

_INCLUDE = re.compile(
    r'^[ \t]*#[ \t]*include\s*(?:"([^"\n]*)"|<((?:kern|vmm|guest|labs)/[^>\n]*)>)', re.MULTILINE
)
_BITS = re.compile(
    r"^[ \t]*(?:namespace (?:cr0|cr4|efer|rflags|dr6|dr7|msr) \{|#[ \t]*define (?:CR0|CR4|EFER)_\w+ +\(?[0-9])",
    re.MULTILINE,
)
_ASM = re.compile(r"\b(?:asm|__asm|__asm__)\b")
_LITERAL_OR_COMMENT = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)+\'', re.DOTALL
)
_LAB_NAME = re.compile(r"lab[0-9]+", re.IGNORECASE)


def check(root: Path) -> Iterator[Finding]:
    """Every arrow that points the wrong way."""
    for path in _files(root, ROOMS, CODE):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8", errors="replace")
        yield from _includes(name, text)
        yield from _assembly(name, text)
        yield from _bits(name, text)
    for path in _files(root, ("grader",), (".py",)):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8", errors="replace")
        if not name.startswith("grader/tests/"):
            yield from _lab_names(name, text)
        yield from _imports(name, text)
    for path in _files(root, ("labs",), (".py",)):
        yield from _imports(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8", errors="replace"))


def place(name: str) -> str:
    """Where a file stands in the rooms' terms: a solution stands where it answers."""
    parts = PurePosixPath(name).parts
    if parts[0] != PRIVATE:
        return name
    # mutants/lab5/... and variants/... hold copies of the same paths, some levels down.
    for index, part in enumerate(parts[1:], 1):
        if part in ("kern", "vmm", "guest"):
            return "/".join(parts[index:])
    return name


def _includes(name: str, text: str) -> Iterator[Finding]:
    here = place(name)
    room = here.split("/")[0]
    for found in _INCLUDE.finditer(text):
        target = found[1] if found[1] is not None else found[2]
        target_room = target.split("/")[0]
        line = _line(text, found.start())
        if target_room == PRIVATE or ".." in target.split("/"):
            yield Finding(name, line, f"includes {target}: write a path from the root, not a solution's")
            continue
        allowed = MAY_INCLUDE.get(room)
        if allowed and target_room in MAY_INCLUDE and target_room not in allowed:
            yield Finding(
                name, line, f"includes {target}: {room} may know {' and '.join(allowed)} only"
            )
        if _in(target, MACHINE) and not any(_in(here, folder) for folder in KNOW_THE_MACHINE):
            yield Finding(
                name, line, f"includes {target}: only {', '.join(KNOW_THE_MACHINE)} know it; use the "
                "headers of kern/arch"
            )  # fmt: skip
        for programs, known in PROGRAMS.items():
            if _in(here, programs) and target_room in MAY_INCLUDE and not any(_in(target, one) for one in known):
                yield Finding(
                    name, line, f"includes {target}: a program in {programs} may know {', '.join(known)} only"
                )
        for backend in BACKENDS:
            inside = any(_in(here, folder) for folder in (backend, *LOOK_INSIDE))
            if _in(target, backend) and not inside:
                yield Finding(
                    name, line, f"includes {target}: only {backend} knows its own structures; use "
                    "vmm/backend.hh"
                )  # fmt: skip


def _assembly(name: str, text: str) -> Iterator[Finding]:
    here = place(name)
    if here.endswith(".S"):
        if not any(_in(here, folder) for folder in ASSEMBLY_FILES):
            yield Finding(name, 1, f"assembly stands only in {', '.join(ASSEMBLY_FILES)}")
        return
    if any(_in(here, folder) for folder in INLINE_ASSEMBLY):
        return
    for found in _ASM.finditer(_blanked(text)):
        yield Finding(
            name, _line(text, found.start()),
            f"inline assembly stands only in {', '.join(INLINE_ASSEMBLY)}",
        )  # fmt: skip


def _bits(name: str, text: str) -> Iterator[Finding]:
    if name in BITS:
        return
    for found in _BITS.finditer(text):
        yield Finding(name, _line(text, found.start()), f"defines bits of a register: they are in {BITS[0]}")


def _lab_names(name: str, text: str) -> Iterator[Finding]:
    try:
        tree = ast.parse(text)
    except SyntaxError as problem:
        yield Finding(name, problem.lineno or 1, f"is not Python: {problem.msg}")
        return
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        known = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            known = "" if id(node) in documentation else node.value
        elif isinstance(node, (ast.Name, ast.FunctionDef, ast.ClassDef)):
            known = node.id if isinstance(node, ast.Name) else node.name
        if found := _LAB_NAME.search(known):
            yield Finding(
                name, getattr(node, "lineno", 1),
                f"knows {found[0]!r}: the grader learns labs from their lab.json",
            )  # fmt: skip


def _imports(name: str, text: str) -> Iterator[Finding]:
    """What a Python file imports of the grader and should not, and files outside the rooms."""
    parts = PurePosixPath(name).parts
    room = parts[1] if parts[0] == "grader" else ""
    if len(parts) == 2 and room not in ("", "__init__.py"):
        yield Finding(name, 1, "stands outside the rooms of grader/")
        return
    if room and room != "__init__.py" and room not in MAY_IMPORT:
        yield Finding(name, 1, f"{room} is no room that grader/checks/arrows.py knows")
        return
    allowed = (room, *MAY_IMPORT.get(room, ())) if parts[0] == "grader" else (FACE,)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return  # _lab_names tells
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            known = [f"{node.module}.{one.name}" for one in node.names if one.name in MAY_IMPORT]
            modules = known if node.module == "grader" else [node.module]
        elif isinstance(node, ast.Import):
            modules = [one.name for one in node.names]
        for module in modules:
            top, _, rest = module.partition(".")
            target = rest.partition(".")[0]
            if top == "grader" and target and target not in allowed:
                yield Finding(
                    name, node.lineno,
                    f"imports {module}: {room or 'a lab'} may know {', '.join(allowed)} only",
                )  # fmt: skip


def _files(root: Path, rooms: tuple[str, ...], endings: tuple[str, ...]) -> Iterator[Path]:
    for room in rooms:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in endings and path.is_file():
                yield path


def _in(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + "/")


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _blanked(text: str) -> str:
    """The text with comments and literals as spaces, every line where it was."""
    return _LITERAL_OR_COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
