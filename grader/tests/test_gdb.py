# SPDX-License-Identifier: MIT
"""The gdb script's printers and its walk, on a program of the host that has our types in it."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "grader" / "gdb" / "nestling.py"

pytestmark = [
    pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed"),
    # of the printers of libstdc++
    pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning"),
]

PROGRAM = """
#include <expected>
#include "vmm/address.hh"
#include "vmm/exit.hh"
int done(vmm::Gpa gpa, vmm::Gva gva, kern::Hpa hpa, kern::Hva hva, vmm::Exit exit,
         std::expected<kern::Hpa, kern::Error> good, std::expected<void, kern::Error> fine,
         std::expected<kern::Hpa, kern::Error> bad) {
    return gpa.value() + gva.value() + hpa.value() + hva.value() + exit.code + bool(good) + bool(bad) + bool(fine);
}
int main() {
    vmm::Exit exit;
    exit.reason = vmm::exit::Halt{};
    exit.code = 0x78;
    exit.rip = 0x1234;
    return done(vmm::Gpa{0x204000}, vmm::Gva{5}, kern::Hpa{0x1000}, kern::Hva{0xfff}, exit,
                kern::Hpa{0x7000}, {}, std::unexpected{kern::Error::OutOfMemory});
}
"""  # noqa: E501


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gdb") / "program"
    command = ["g++", "-std=c++23", "-g", "-O0", f"-I{ROOT}", "-x", "c++", "-", "-o", str(made)]
    subprocess.run(command, input=PROGRAM, text=True, check=True)
    return made


def gdb(program: Path, *commands: str) -> str:
    argv = ["gdb", "-q", "-nx", "-batch", str(program), "-ex", f"source {SCRIPT}"]
    argv += ["-ex", "break done", "-ex", "run"]
    for one in commands:
        argv += ["-ex", one]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if "ptrace" in done.stderr:
        pytest.skip("no process may be traced here")
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("gpa", "= Gpa 0x204000"),
        ("gva", "= Gva 0x5"),
        ("hpa", "= Hpa 0x1000"),
        ("hva", "= Hva 0xfff"),
        ("good", "= value = Hpa 0x7000"),
        ("fine", "= success"),
        ("bad", "= error = kern::Error::OutOfMemory"),
        ("exit", "= exit 0x78 (HLT) at rip 0x1234, information 0x0 0x0"),
    ],
)
def test_printer(program: Path, expression: str, wanted: str) -> None:
    assert wanted in gdb(program, f"print {expression}")


def script_module():  # type: ignore[no-untyped-def]
    """The script as a module, with an empty stand-in for gdb's own."""
    import importlib.util
    import sys
    import types
    from unittest import mock

    stand_in = mock.MagicMock()
    stand_in.Command = type("Command", (), {"__init__": lambda self, *_, **__: None})
    names = {"gdb": stand_in, "gdb.printing": types.ModuleType("gdb.printing")}
    names["gdb.printing"] = mock.MagicMock()
    with mock.patch.dict(sys.modules, names):
        spec = importlib.util.spec_from_file_location("nestling_gdb", SCRIPT)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("code", "words"),
    [(0x400, "nested page fault"), (0x4E, "exception 14"), (0x13, "write of CR3"),
     (0x999, "unknown exit code"), ((1 << 64) - 1, "invalid guest state")],
)  # fmt: skip
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert script_module().exit_code_name(code) == words


def test_walk_tells_each_level() -> None:
    from grader.evidence.memory import PhysicalMemory
    from grader.evidence.vms import TableFormat
    from grader.evidence.second_level import steps

    data = bytearray(0x10000)
    for table in (0x1000, 0x2000, 0x3000):
        struct.pack_into("<Q", data, table, table + 0x1000 | 7)
    struct.pack_into("<Q", data, 0x4000 + 8, 0x9000 | 5)
    module = script_module()

    def lines(gpa: int) -> list[str]:
        found = steps(PhysicalMemory(data), 0x1000, TableFormat.NPT, gpa)
        return [module._step_line(step, gpa) for step in found]

    assert lines(0x1234) == [
        "level 4: entry at Hpa 0x1000 = 0x0000000000002007: rwx, table at Hpa 0x2000",
        "level 3: entry at Hpa 0x2000 = 0x0000000000003007: rwx, table at Hpa 0x3000",
        "level 2: entry at Hpa 0x3000 = 0x0000000000004007: rwx, table at Hpa 0x4000",
        "level 1: entry at Hpa 0x4008 = 0x0000000000009005: r-x, page of 4 KiB at Hpa 0x9000; "
        "the byte is Hpa 0x9234",
    ]
    assert lines(0x2000)[-1].endswith("not present: nobody has loaded this page")
