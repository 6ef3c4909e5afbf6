# SPDX-License-Identifier: MIT
"""The linter finds what is bad, once, and looks again only at what has changed."""

import json
import shutil
from pathlib import Path

import pytest

from grader.build.cache import Cache
from grader.checks import lint

BAD = '#include "kern/a.hh"\nint* none() { return 0; }\n'
GOOD = '#include "kern/a.hh"\nint* none() { return nullptr; }\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with one header and one source, which the kernel's and two ordinary flavours
    compile."""
    (tmp_path / "kern").mkdir()
    (tmp_path / ".clang-tidy").write_text(
        "Checks: '-*,modernize-use-nullptr'\nWarningsAsErrors: '*'\nHeaderFilterRegex: 'kern/.*'\n")
    (tmp_path / "kern/a.hh").write_text("#pragma once\nint* none();\n")
    (tmp_path / "kern/a.cc").write_text(GOOD)
    commands = [{"file": str(tmp_path / "kern/a.cc"), "directory": str(tmp_path),
                 "command": f"/usr/bin/ccache g++ {flags} -Werror -I{tmp_path} -o a.o -c {tmp_path}/kern/a.cc"}
                for flags in ("-fsanitize=thread", "-mgeneral-regs-only -mcmodel=kernel -fno-tree-loop-distribute-patterns",
                              "-fsanitize=address")]
    (tmp_path / "compile_commands.json").write_text(json.dumps(commands))
    return tmp_path


def run(root: Path) -> tuple[int, list[str]]:
    shown: list[str] = []
    return lint.lint(root, root, Cache(root / "cache"), show=shown.append), shown


def test_bad_file_is_found_each_time_until_it_is_mended(root: Path) -> None:
    (root / "kern/a.cc").write_text(BAD)
    for _ in range(2):
        count, shown = run(root)
        assert count == 1
        assert shown[0].startswith("kern/a.cc:2:22: error:") and "modernize-use-nullptr" in shown[0]
    (root / "kern/a.cc").write_text(GOOD)
    assert run(root)[0] == 0


def test_clean_file_is_looked_at_once_and_again_after_a_change_of_header_or_checks(root: Path) -> None:
    def looked_at() -> str:
        count, shown = run(root)
        assert count == 0
        return shown[-1].split(":")[1].strip()

    assert looked_at() == "1 files, 1 of them looked at anew"
    assert looked_at() == "1 files, 0 of them looked at anew"
    header = root / "kern/a.hh"
    header.write_text(header.read_text() + "int more();\n")
    assert looked_at() == "1 files, 1 of them looked at anew"
    checks = root / ".clang-tidy"
    checks.write_text(checks.read_text() + "FormatStyle: none\n")
    assert looked_at() == "1 files, 1 of them looked at anew"


def test_headers_finding_is_shown_once_for_all_that_include_it(root: Path) -> None:
    (root / "kern/a.hh").write_text("#pragma once\ninline int* none() { return 0; }\n")
    for name in ("a", "b"):
        (root / f"kern/{name}.cc").write_text('#include "kern/a.hh"\n')
    count, shown = run(root)
    assert count == 1 and shown[0].startswith("kern/a.hh:2:"), shown


def also(root: Path, **files: str) -> None:
    """More sources, compiled as the first is."""
    database = root / "compile_commands.json"
    commands = json.loads(database.read_text())
    for name, text in files.items():
        (root / f"kern/{name}.cc").write_text(text)
        commands += [{key: value.replace("a.cc", f"{name}.cc") for key, value in one.items()} for one in commands[:3]]
    database.write_text(json.dumps(commands))


def test_files_are_looked_at_together_and_one_with_a_finding_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    also(root, b=BAD.replace("none()", "other()"), c='#include "kern/a.hh"\n', d="")
    looked: list[list[str]] = []
    check = lint.Linter.check
    monkeypatch.setattr(lint.Linter, "check", lambda self, units: looked.append([unit.path for unit in units])
                        or check(self, units))
    for _ in range(2):
        count, shown = run(root)
        assert count == 1 and shown[0].startswith("kern/b.cc:2:23: error:"), shown
    assert looked == [["kern/a.cc", "kern/b.cc", "kern/c.cc", "kern/d.cc"], ["kern/a.cc", "kern/b.cc"],
                      ["kern/a.cc"], ["kern/b.cc"], ["kern/c.cc", "kern/d.cc"], ["kern/b.cc"]]


def test_files_that_do_not_compile_together_are_clean_alone(root: Path) -> None:
    helper = 'namespace {{ int help() {{ return {0}; }} }}\nint value{0}() {{ return help(); }}\n'
    also(root, b=helper.format(1), c=helper.format(2))
    assert run(root) == (0, ["clang-tidy: 3 files, 3 of them looked at anew: nothing found"])
    assert "0 of them looked at anew" in run(root)[1][-1]


@pytest.mark.parametrize("text", [
    "int dereference(int* p) { if (!p) return *p; return 0; }",  # what the analyzer finds on one path
    "int dead(int n) { int m = n; m = n + 1; return n; }",
    "int leaked() { int* p = new int{1}; return *p; }",
    "int CamelCase() { return 0; }",
    "int zero(int used, int unused) { return used; }",
    "long wide(int n) { return n * n; }",
    "int* null() { return 0; }",
    "void control() { return; }",
    "struct Moved { Moved(Moved&&); Moved(const Moved&) = delete; }; void take(Moved); "
    "void twice(Moved m) { take(static_cast<Moved&&>(m)); take(static_cast<Moved&&>(m)); }",
])  # fmt: skip
def test_nothing_is_overlooked_in_files_that_are_looked_at_together(root: Path, text: str) -> None:
    """The tree's own checks see in an included source what they see in one alone."""
    shutil.copy(lint.ROOT / ".clang-tidy", root)
    also(root, b=text + "\n")
    command = tuple(word for word in lint.units(root, json.loads((root / "compile_commands.json").read_text()))[0].command
                    if not word.startswith("-m"))
    linter = lint.Linter(root, Cache(root / "cache"))
    alone, both = lint.Unit("kern/b.cc", command), [lint.Unit(f"kern/{name}.cc", command) for name in "ab"]
    (root / "kern/c.cc").write_text("")
    seen: list[int] = []
    real = lint.subprocess.run

    def noted(*rest: object, **more: object) -> object:
        done = real(*rest, **more)  # type: ignore[call-overload]
        seen.append(done.returncode)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lint.subprocess, "run", noted)
        found = linter.check([alone])
        assert found, "clang-tidy finds nothing in it alone, so this proves nothing"
        linter.check(both)
        assert not linter.check([both[0], lint.Unit("kern/c.cc", command)])
    assert seen == [1, 1, 0, 1, 0], "it was overlooked, or something is found in two clean files together"


def test_what_clang_cannot_read_is_a_finding(root: Path) -> None:
    (root / "kern/a.cc").write_text("int a = ;\n")
    count, shown = run(root)
    assert count == 1 and "kern/a.cc:1:" in shown[0]


def test_units_are_one_for_each_source_as_the_kernel_compiles_it(root: Path) -> None:
    for name in ("solutions-private/mutants/lab1/m/kern/a.cc", "vmm/stub.cc"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("")
    found = lint.units(root, json.loads((root / "compile_commands.json").read_text()))
    assert sorted(unit.path for unit in found) == ["kern/a.cc", "vmm/stub.cc"]
    assert all(unit.command == ("-mno-sse", "-mno-mmx", "-mcmodel=kernel", f"-I{root}") for unit in found)


def test_missing_database_names_the_mend(root: Path) -> None:
    (root / "compile_commands.json").unlink()
    with pytest.raises(lint.CannotRun, match="cmake --preset default"):
        run(root)


def test_clones_of_one_user_share_what_was_clean(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    other = tmp_path / "other"
    shutil.copytree(root, other, ignore=lambda folder, names: {"other"} & set(names))
    database = other / "compile_commands.json"
    database.write_text(database.read_text().replace(str(root), str(other)))
    said: list[str] = []
    for tree in (root, other):
        assert lint.lint(tree, tree, lint.known_here(), show=said.append) == 0
    assert ["1 of them" in line for line in said] == [True, False]


def test_without_a_home_it_is_remembered_in_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert lint.known_here().folder == lint.ROOT / "build" / "cache"
