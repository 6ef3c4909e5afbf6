# SPDX-License-Identifier: MIT
"""The kit, everything that an answer does not change, and what is built from it and an answer.

CMake and Ninja build the kit into build/cmake. From then on one task's file is compiled and linked
here, without them: into objects, unit-test programs and kernels that are kept by content, so that
an answer that was seen before costs nothing.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence, TypeVar

from grader import CannotRun
from grader.build import ground, reference_objects
from grader.build.answers import Answers, content, is_compiled, reference_answers
from grader.build.cache import Cache, digest
from grader.build.compiling import ASSEMBLY, COMPILE_SECONDS, Answer, Tools, compiled, judged, words
from grader.build.disk import disk_words, has_room
from grader.build.failures import BuildFailure
from grader.build.ground import ROOMS, identity
from grader.build.schedule import Schedule
from grader.confine import sandbox
from grader.course.lab import Lab, load_all
from grader.gate import Refused, contract, reader, source as rules

LINK_SECONDS = 60.0
_CONTROL = "int main() { delete new int; }\n"
BINUTILS = ("ld", "objcopy", "objdump")
_OPERATOR_NEW = (b"_Znw", b"_Zna")
"""How the names of its functions begin, in an object."""

T = TypeVar("T")


class Kit:
    """A built kit, and the things built from it in this run, each once.

    Builders return futures of the schedule. A future fails with BuildFailure where the answer is to
    blame, and with another exception where this machine is.
    """

    def __init__(self, description: dict[str, Any], root: Path, cache: Cache, schedule: Schedule):
        self.root = root
        self.cache = cache
        self.schedule = schedule
        self.description = {"programs": {}, **description}
        self._futures: dict[str, Future[Path]] = {}
        self._asked: dict[tuple[object, ...], Any] = {}
        """what was asked for before: each answer is read once, so that all of a session is about
        the same text"""
        self.is_alone: Callable[[], bool] = lambda: False
        """whether no other nest works with this kit, asked once the work is done"""
        self.headers: dict[tuple[str, str], Path] = {}
        """by task file and flavour: what is included first, since it is precompiled"""
        self.handed_in: Path | None = None
        """the folder of the submission that is judged: its files are named as if they stood in the
        tree"""
        self.let_pass: frozenset[str] = frozenset()
        """the tasks' files of which staff say that the gate lets them pass"""
        self.let_passed: dict[str, str] = {}
        """by answer: what the gate would have refused in it"""
        self.for_staff: dict[str, list[str]] = {}
        """by answer: what a person may want to look at, and what costs no points"""

    @cached_property
    def compilers(self) -> tuple[str, ...]:
        """Kind, major version and target of the compilers of answers."""
        return tuple(sorted({reference_objects.describe(self.compiler(flavour)) for flavour in self.description["flavours"]}))

    def begin(self, handed_in: Path | None, let_pass: frozenset[str]) -> None:
        """Turns to another submission, or to the tree's own files. What was built before is
        kept."""
        self.handed_in, self.let_pass = handed_in, let_pass
        self.let_passed, self.for_staff = {}, {}

    @property
    def files(self) -> dict[str, Path]:
        """Files that the kit built and that no answer changes, such as guests."""
        return {key: Path(path) for key, path in self.description["files"].items()}

    def object(self, file: str, source: Path, flavour: str, rank: int = 0) -> Future[Path]:
        """Compiles one answer to the task whose file is `file`; the flavour may be a user program's
        name."""
        if flavour == "explore":
            flavour = "tsan"  # the same objects, linked otherwise
        return self._once_asked(("object", file, source, flavour), lambda: self._object(file, source, flavour, rank))

    def fault(self, file: str, source: Path) -> BuildFailure | None:
        """Why nothing can be linked with this answer: it does not compile, or the gate refuses it.
        Waits for it."""
        program = next((name for name, recipe in self.description["programs"].items() if file in recipe["tasks"]), "")
        flavours = [program or "kernel", *(["asan"] if not program and not file.endswith(ASSEMBLY) else [])]
        for built in [self.object(file, source, flavour) for flavour in flavours]:
            if isinstance(problem := built.exception(), BuildFailure):
                return problem
        return None

    def allocates(self, file: str, source: Path) -> bool:
        """Whether an answer's code on the host, which compiles, takes memory from the heap: by
        operator new, the only way that the gate lets pass."""
        if file.endswith(ASSEMBLY):
            return False
        return self._once_asked(("allocates", file, source), lambda: any(
            word in self.object(file, source, "asan").result().read_bytes() for word in _OPERATOR_NEW))

    def _object(self, file: str, source: Path, flavour: str, rank: int) -> Future[Path]:
        name = self.shown(source)
        if is_compiled(source, self.root):
            ready: Future[Path] = Future()
            ready.set_result(source / reference_objects.name(flavour))
            return ready
        try:
            answer = Answer(file, name, reader.read(source, self._root_of(source)), self.root)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            if missing and self._root_of(source) == self.handed_in:
                return _failed(BuildFailure("there is no such file", file=file, stage="was not handed in"))
            mend = f"\nmend: git checkout -- {file} brings back the last one committed" * missing
            return _failed(BuildFailure(f"{name}: {error.strerror}{mend}", file=file, stage="does not compile"))
        except Refused as refused:
            return _failed(Answer(file, name, b"", self.root).refused(refused.findings))
        made = digest("compiled", name, answer.text, self.compiler(flavour), self.flags(file, flavour), self.ground,
                      contract.own_symbols(self._contract, answer.is_assembly))
        key = digest("object", made, self._rules, file in self.let_pass)
        self._say_again(key, name)
        return self._once(key, lambda *_: self._compile(key, made, answer, flavour), *self._words(answer, rank), rank=rank)

    def _words(self, answer: Answer, rank: int) -> list[Future[Path]]:
        """What must be known of an answer's words before any flavour of it is compiled."""
        key = digest("words", answer.name, answer.text, self.ground, self._rules, answer.file in self.let_pass)
        if self.cache.get(key) is not None:
            self._say_again(key, answer.name)
            return []
        text = answer.text.decode()
        found = rules.assembly_findings(text) if answer.is_assembly else rules.findings(text)
        if found:
            return [] if self._lets_pass(answer, found, key) else [_failed(answer.refused(found))]

        def passed() -> Path:
            with self.cache.workplace() as place:
                (place / "passed").write_text("")
                return self.cache.put(key, place / "passed")

        if answer.is_assembly or rules.is_plain(text):
            passed()
            return []

        def make() -> Path:
            flavours = ["asan", "tsan"] + ([
                name for name, recipe in self.description["programs"].items() if answer.file in recipe["tasks"]] or ["kernel"])
            with self.cache.workplace() as place:
                seen = words(answer, {one: self._tools(answer.file, one) for one in reversed(flavours)}, place,
                             self.rooms)
                if seen and not self._lets_pass(answer, seen, key):
                    raise answer.refused(seen)
            return passed()

        return [self._once(key, make, rank=rank)]

    def _lets_pass(self, answer: Answer, found: list[Any], key: str) -> bool:
        if answer.file not in self.let_pass:
            return False
        self.let_passed[answer.name] = str(answer.refused(found))
        self._keep("let pass", key, self.let_passed[answer.name])
        return True

    def _keep(self, what: str, key: str, text: str) -> None:
        """Keeps what was said of a look whose result is found again under this key."""
        with self.cache.workplace() as place:
            (place / "said").write_text(text)
            self.cache.put(digest(what, key), place / "said")

    def _say_again(self, key: str, name: str) -> None:
        """Says of an answer what was said when the gate looked at it."""
        if (staff := self.cache.get(digest("for staff", key))) is not None:
            self.for_staff[name] = staff.read_text().splitlines()
        if (let := self.cache.get(digest("let pass", key))) is not None:
            self.let_passed[name] = let.read_text()

    def program(self, lab: Lab, answers: Answers, flavour: str, rank: int = 0, words: Sequence[str] = ()) -> Future[Path]:
        """Links the lab's unit tests of one flavour (asan, tsan, explore) with the answers; `words`
        are more of the linker's."""
        def begin() -> Future[Path]:
            mine, inputs, link, command = self.tests(lab, answers, flavour)
            return self._link(f"program {lab.id}", mine, flavour, inputs, [*link, *words],
                              lambda objects, output: [*command(objects, output), *words], rank)

        return self._once_asked(("program", lab.id, answers, flavour, *words), begin)

    def tests(self, lab: Lab, answers: Answers, flavour: str) -> tuple[
            Answers, list[Path], list[str], Callable[[list[Path], Path], list[str]]]:
        """What a program of unit tests is linked of: those of the answers that are in it, other
        files, the flavour's words, and the command."""
        # The host has no use for assembly, and only the lab whose task it is for a part of a user
        # program: its tests bring the library of such programs along.
        mine = {task.file for task in lab.tasks}
        answers = answers.where(lambda file: not file.endswith(ASSEMBLY)
                                and (file not in self._in_programs or file in mine))
        tests = [Path(path) for path in self.description["test_objects"][f"{lab.id}-tests.{flavour}"]]
        # All but `tasks`, the reference answers: vmm, kern, and what only this flavour has.
        libraries = self._libraries(flavour, [name for name in self.description["flavours"][flavour]["libraries"]
                                              if name != "tasks"])
        link = self.description["flavours"][flavour]["link"]
        compiler = self.compiler(flavour)

        def command(objects: list[Path], output: Path) -> list[str]:
            return [compiler, *link, "-o", str(output), *map(str, tests + objects),
                    "-Wl,--start-group", *map(str, libraries), "-Wl,--end-group",
                    "-lgtest", "-lpthread"]

        return answers, tests + libraries, link, command

    def control(self, flavour: str) -> Path:
        """A program of the flavour that does nothing: where it cannot run, no test can. Raises
        BuildFailure."""
        tools = self.description["flavours"][flavour]
        words = [self.compiler(flavour), *tools["compile"], *tools["link"]]
        key = digest("control", words, _CONTROL, self.ground)
        if (kept := self.cache.get(key)) is not None:
            return kept
        with self.cache.workplace() as place:
            (place / "control.cc").write_text(_CONTROL)
            done = sandbox.run([*words, "control.cc", "-o", "control"], timeout=COMPILE_SECONDS, cwd=place,
                               writable=[place])
            if not done.ok:
                self.blame_disk(done.stderr)
                raise BuildFailure(done.stderr, file=None, stage="does not link")
            return self.cache.put(key, place / "control")

    def runs(self, kernel: str) -> str:
        """What a kernel runs: `guests`, `programs` or `vmms`. Raises CannotRun if the kit has none
        of that name."""
        return self._recipe(kernel)["runs"]

    def kernel(self, name: str, answers: Answers, rank: int = 0) -> Future[Path]:
        """Links the bootable kernel of this name with those of the answers that stand in its
        rooms."""
        return self._once_asked(("kernel", name, answers), lambda: self._kernel(name, answers, rank))

    def boots(self, kernel: str, file: str) -> bool:
        """Whether a kernel is linked with the answer to the task of this file."""
        return Path(file).parts[0] in self._recipe(kernel)["archives"] and file not in self._in_programs

    def _kernel(self, name: str, answers: Answers, rank: int) -> Future[Path]:
        recipe = self._recipe(name)
        rooms = recipe["archives"]
        answers = answers.where(lambda file: self.boots(name, file))
        libraries = self._libraries("kernel", rooms)
        boot = [Path(path) for path in recipe["objects"]]
        flags = recipe["flags"]
        inputs = [*boot, *libraries, *(Path(word) for word in flags if word.startswith("/"))]

        def command(objects: list[Path], output: Path) -> list[str]:
            return [recipe["linker"], *flags, "-o", str(output), *map(str, boot + objects),
                    "--start-group", *map(str, libraries), "--end-group"]

        def finish(image: Path) -> None:
            from grader.build.kernel_image import ImageError, fill_symbols

            try:
                fill_symbols(image)
            except ImageError as error:
                raise BuildFailure(str(error), file=None, stage="does not link") from error

        tool = (Path(__file__).parent / "kernel_image.py").read_bytes()
        return self._link(f"kernel {name}", answers, "kernel", inputs, [recipe, tool], command, rank, finish)

    def references(self, labs: list[Lab]) -> tuple[Answers, str]:
        """The reference answers of this tree, as sources, or as a release's objects: perhaps not of
        every task. And why objects that are there cannot be used, with the mend; empty if they
        can."""
        sources = reference_answers(labs, self.root)
        if sources is not None:
            return sources, ""
        found = reference_objects.find(self.root, self.description)
        return found.answers, found.why_none

    def programs(self, kernel: str) -> tuple[str, ...]:
        """The user programs that hold tasks and that boots of this kernel have among their
        files."""
        return tuple(name for name, recipe in self.description["programs"].items() if kernel in recipe["kernels"])

    def user_program(self, name: str, answers: Answers, rank: int = 0) -> Future[Path]:
        """Links the user program of this name, as kit.json has it, with those of the answers that
        are in it."""
        return self._once_asked(("user program", name, answers), lambda: self._user_program(name, answers, rank))

    def _user_program(self, name: str, answers: Answers, rank: int) -> Future[Path]:
        recipe = self.description["programs"][name]
        answers = answers.where(lambda file: file in recipe["tasks"])
        parts = [Path(path) for path in recipe["objects"] + recipe["archives"]]
        flags = recipe["flags"]
        inputs = [*parts, *(Path(word) for word in flags if word.startswith("/"))]

        def command(objects: list[Path], output: Path) -> list[str]:
            return [recipe["linker"], *flags, "-o", str(output), *recipe["objects"], *map(str, objects),
                    *recipe["archives"]]

        return self._link(f"program {name}", answers, name, inputs, recipe, command, rank)

    @cached_property
    def _in_programs(self) -> frozenset[str]:
        """The tasks' files that are parts of user programs, and not of a kernel."""
        return frozenset(file for recipe in self.description["programs"].values() for file in recipe["tasks"])

    def _recipe(self, kernel: str) -> dict[str, Any]:
        kernels = self.description["kernels"]
        if kernel not in kernels:
            raise CannotRun(f"this tree builds no kernel '{kernel}'; it builds: {', '.join(sorted(kernels))}\n"
                            "  mend: a lab.json's \"kernel\" is the name given to nest_kit_kernel()")
        return kernels[kernel]

    def compiler(self, flavour: str) -> str:
        """The flavour's compiler, or a user program's: where this is no x86-64 machine, there are
        two."""
        return (self.description["programs"].get(flavour) or self.description["flavours"][flavour])["compiler"]

    @cached_property
    def ground(self) -> str:
        """What every compilation of an answer rests on: the compilers and the tree's headers."""
        return ground.of_compilers_and_headers(self.root, [self.compiler(flavour) for flavour in self.description["flavours"]])

    @cached_property
    def _contract(self) -> contract.Ground:
        return ground.contract_of(self.description, self.cache)

    def _root_of(self, source: Path) -> Path:
        """The folder that stands for the tree's root where this answer is."""
        return self.handed_in if self.handed_in and source.is_relative_to(self.handed_in) else self.root

    def shown(self, source: Path) -> str:
        """How an answer's own file is called in messages."""
        root = self._root_of(source)
        return str(source.relative_to(root)) if source.is_relative_to(root) else str(source)

    def _libraries(self, flavour: str, rooms: Iterable[str]) -> list[Path]:
        libraries = self.description["flavours"][flavour]["libraries"]
        return [Path(libraries[name]) for name in rooms]

    def flags(self, file: str, flavour: str) -> list[str]:
        """The words with which an answer to this task is compiled."""
        if flavour in self.description["programs"]:
            return self.description["programs"][flavour]["compile"]
        return self.description["flavours"][flavour]["assemble" if file.endswith(ASSEMBLY) else "compile"]

    def _once_asked(self, what: tuple[object, ...], begin: Callable[[], T]) -> T:
        """What `begin` gives; of what was asked for before, what it gave then."""
        key = (*what, self.let_pass)
        if key not in self._asked:
            self._asked[key] = begin()
        return self._asked[key]  # type: ignore[no-any-return]

    def _once(self, key: str, make: Callable[..., Path], *after: Future[Any], rank: int) -> Future[Path]:
        if key not in self._futures:
            path = self.cache.get(key)
            if path is not None:
                done: Future[Path] = Future()
                done.set_result(path)
                self._futures[key] = done
            else:
                self._futures[key] = self.schedule.submit(make, *after, rank=rank)
        return self._futures[key]

    def _compile(self, key: str, compiled_key: str, answer: Answer, flavour: str) -> Path:
        """The object, as it was compiled once, looked at by the gate as it is now."""
        tools, ground = self._tools(answer.file, flavour), self._contract
        known = contract.known_words(self.root, self._header(answer.file))
        with self.cache.workplace() as place:
            made = self.cache.get(compiled_key)
            if made is None:
                made = self.cache.put(compiled_key, compiled(
                    answer, tools, contract.own_symbols(ground, answer.is_assembly), place,
                    [*self.rooms, *(header.parent for header in self.headers.values())], self.blame_disk))
            found, for_staff = judged(
                made, answer, tools, flavour, lambda name: contract.may_have(name, ground, known, flavour),
                self._privileged.get(answer.file, frozenset()))
            if found and not self._lets_pass(answer, found, key):
                raise answer.refused(found)
            if for_staff:
                self.for_staff[answer.name] = for_staff
                self._keep("for staff", key, "\n".join(for_staff))
            os.link(made, place / "passed.o")
            return self.cache.put(key, place / "passed.o")

    def look_again(self, file: str, source: Path, flavour: str) -> None:
        """Lets the gate look once more at an answer's words and at its object, which is compiled:
        for measurements."""
        answer = Answer(file, self.shown(source), reader.read(source, self.root), self.root)
        if not answer.is_assembly:
            rules.findings(answer.text.decode())
        known = contract.known_words(self.root, self._header(file))
        judged(self.object(file, source, flavour).result(), answer, self._tools(file, flavour), flavour,
               lambda name: contract.may_have(name, self._contract, known, flavour), self._privileged.get(file, frozenset()))

    @cached_property
    def rooms(self) -> list[Path]:
        """What a compiler may read of the tree."""
        return [self.root / room for room in ROOMS if (self.root / room).is_dir()]

    def _tools(self, file: str, flavour: str) -> Tools:
        binutils = self.description["binutils"]["kernel" if flavour in self.description["programs"] or flavour == "kernel" else "host"]
        header = self.headers.get((file, flavour))
        flags = [*self.flags(file, flavour), *(["-include", str(header)] if header else [])]
        return Tools(self.compiler(flavour), flags, *(binutils[one] for one in BINUTILS))

    @cached_property
    def _rules(self) -> str:
        """The gate itself: what it let pass before it was changed is looked at again."""
        here = Path(__file__).parent
        return digest([path.read_text() for path in (*sorted((here.parent / "gate").glob("*.py")), here / "compiling.py")],
                      sorted((file, sorted(words)) for file, words in self._privileged.items()))

    @cached_property
    def _tasks(self) -> dict[str, Any]:
        return {task.file: task for lab in load_all(self.root) for task in lab.tasks}

    def _header(self, file: str) -> str:
        return self._tasks[file].header if file in self._tasks else ""

    @cached_property
    def _privileged(self) -> dict[str, frozenset[str]]:
        return {file: frozenset(task.privileged) for file, task in self._tasks.items() if task.privileged}

    def _link(self, what: str, answers: Answers, flavour: str, inputs: list[Path], recipe: Any,
              command: Callable[[list[Path], Path], list[str]], rank: int,
              finish: Callable[[Path], None] = lambda image: None) -> Future[Path]:
        objects = [self.object(file, source, flavour, rank) for file, source in answers.files]
        # An object is named by its content key, so the key of what is linked is known before.
        sources = [(file, self.shown(source), self._once_asked(("content", source), lambda one=source: content(one)),
                    file in self.let_pass) for file, source in answers.files]
        before = identity(inputs)
        key = digest(what, sources, flavour, before, recipe, self.ground, self._rules,
                     self.description["flavours"].get(flavour))

        def make(*built: Path) -> Path:
            with self.cache.workplace() as place:
                output = place / "linked"
                # No -lgtest from anywhere but the system, and no reference: only what is named
                # here.
                done = sandbox.run(command(list(built), output), timeout=LINK_SECONDS, cwd=place,
                                   writable=[place], readable=[*built, *inputs], memory_mib=4096)
                if before != identity(inputs):
                    raise CannotRun("another nest rebuilt the kit meanwhile\n  mend: run it again")
                if not done.ok:
                    self.blame_disk(done.stderr)
                    text = (done.stdout + done.stderr).strip() or f"the linker {done.ended()}"
                    raise BuildFailure(text.replace(f"{self.root}/", ""), file=None,
                                       stage="does not link")
                finish(output)
                return self.cache.put(key, output)

        return self._once(key, make, *objects, rank=rank)

    def blame_disk(self, text: str) -> None:
        """Raises CannotRun if the disk is to blame for what a tool said. An answer can make a tool
        say anything, as by an #error: so it is believed only of a disk without room."""
        if (trouble := disk_words(text, self.cache.folder)) and not has_room(self.cache.folder):
            raise CannotRun(trouble)


def _failed(failure: BuildFailure) -> Future[Path]:
    future: Future[Path] = Future()
    future.set_exception(failure)
    return future
