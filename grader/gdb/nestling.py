# SPDX-License-Identifier: MIT
"""What gdb learns of this project: printers, and the command ``nest walk GPA``.

Runs inside gdb (``source grader/gdb/nestling.py``), against a QEMU machine.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import gdb
import gdb.printing

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from grader.evidence import guests as guest_evidence  # noqa: E402
from grader.evidence.memory import KERNEL_OFFSET, EvidenceError  # noqa: E402
from grader.evidence.vms import BLOCK, TableFormat, VmRecord, parse  # noqa: E402
from grader.evidence.guests import GuestRecord  # noqa: E402
from grader.evidence.programs import ProcEvidence  # noqa: E402
from grader.evidence.second_level import span, steps  # noqa: E402
from grader.evidence.symbols import SymbolError, Symbols  # noqa: E402

SPACES = {
    "kern::HostPhysical": "Hpa",
    "kern::HostVirtual": "Hva",
    "vmm::GuestPhysical": "Gpa",
    "vmm::GuestVirtual": "Gva",
}

# [amd/vol2 appendix C]
EXIT_CODES = {
    0x60: "physical interrupt", 0x61: "NMI", 0x62: "SMI", 0x63: "INIT", 0x64: "virtual interrupt",
    0x6E: "RDTSC", 0x6F: "RDPMC", 0x70: "PUSHF", 0x71: "POPF", 0x72: "CPUID", 0x73: "RSM",
    0x74: "IRET", 0x75: "INTn", 0x76: "INVD", 0x77: "PAUSE", 0x78: "HLT", 0x79: "INVLPG",
    0x7A: "INVLPGA", 0x7B: "port I/O", 0x7C: "MSR access", 0x7D: "task switch",
    0x7E: "FERR freeze", 0x7F: "shutdown", 0x80: "VMRUN", 0x81: "VMMCALL", 0x82: "VMLOAD",
    0x83: "VMSAVE", 0x84: "STGI", 0x85: "CLGI", 0x86: "SKINIT", 0x87: "RDTSCP", 0x88: "ICEBP",
    0x89: "WBINVD", 0x8A: "MONITOR", 0x8B: "MWAIT", 0x8C: "MWAIT, armed", 0x8D: "XSETBV",
    0x8E: "RDPRU", 0x400: "nested page fault", 0x401: "AVIC: incomplete IPI",
    0x402: "AVIC: no acceleration", 0x403: "VMGEXIT", (1 << 64) - 1: "invalid guest state",
}  # fmt: skip


def exit_code_name(code: int) -> str:
    """An AMD exit code in words."""
    for begin, what in ((0x00, "read of CR"), (0x10, "write of CR"), (0x20, "read of DR"),
                        (0x30, "write of DR")):  # fmt: skip
        if begin <= code < begin + 16:
            return f"{what}{code - begin}"
    if 0x40 <= code < 0x60:
        return f"exception {code - 0x40}"
    return EXIT_CODES.get(code, "unknown exit code")


class AddressPrinter:
    """``Gpa 0x204000``."""

    def __init__(self, value: gdb.Value) -> None:
        self._value = value

    def to_string(self) -> str:
        space = str(self._value.type.strip_typedefs().template_argument(0))
        return f"{SPACES.get(space, space)} {int(self._value['value_']):#x}"


class ExpectedPrinter:
    """``value = ...`` or ``error = ...``."""

    def __init__(self, value: gdb.Value) -> None:
        self._value = value

    def to_string(self) -> str:
        kind = self._value.type.strip_typedefs()
        if not self._value["_M_has_value"]:
            return f"error = {self._value['_M_unex']}"
        if kind.template_argument(0).code == gdb.TYPE_CODE_VOID:
            return "success"
        return f"value = {self._value['_M_val']}"


class ExitPrinter:
    """A ``vmm::Exit`` with its code in words."""

    def __init__(self, value: gdb.Value) -> None:
        self._value = value

    def to_string(self) -> str:
        code = int(self._value["code"])
        words = f"exit {code:#x} ({exit_code_name(code)}) at rip {int(self._value['rip']):#x}"
        information = self._value["information"]["_M_elems"]
        return f"{words}, information {int(information[0]):#x} {int(information[1]):#x}"


class ControlAreaPrinter:
    """A VMCB's control area: what one looks for first."""

    FIELDS = ("exit_info1", "exit_info2", "exit_int_info", "event_injection", "n_cr3", "asid")

    def __init__(self, value: gdb.Value) -> None:
        self._value = value

    def to_string(self) -> str:
        code = int(self._value["exit_code"])
        rest = ", ".join(f"{name} {int(self._value[name]):#x}" for name in self.FIELDS)
        return f"exit_code {code:#x} ({exit_code_name(code)}), {rest}; print/r shows all"


class Memory:
    """Physical memory of the stopped machine, as grader.evidence.second_level wants it."""

    size = 1 << 40

    def contains(self, hpa: int, length: int = 1) -> bool:
        return 0 <= hpa and hpa + length <= self.size

    def read(self, hpa: int, length: int) -> bytes:
        gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)
        try:
            return bytes(gdb.selected_inferior().read_memory(hpa, length))
        except gdb.MemoryError as problem:
            raise EvidenceError(f"Hpa {hpa:#x} cannot be read: {problem}") from problem
        finally:
            gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)


class Nest(gdb.Command):
    """Commands for this project: `nest walk GPA`."""

    def __init__(self) -> None:
        super().__init__("nest", gdb.COMMAND_DATA, prefix=True)


class NestWalk(gdb.Command):
    """nest walk GPA [ROOT [npt|ept|page]]: walks a VM's second-level table, level by level.

    GPA is any expression. The table is the one of the pager whose method is selected (`this`), or
    else that of the newest VM, unless ROOT, the table's Hpa, is given. `nest walk ADDRESS $cr3
    page` walks the page tables of the program that runs: they have the form of an NPT."""

    def __init__(self) -> None:
        super().__init__("nest walk", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument: str, from_tty: bool) -> None:
        words = gdb.string_to_argv(argument)
        if not 1 <= len(words) <= 3:
            raise gdb.GdbError("nest walk GPA [ROOT [npt|ept|page]]")
        if not gdb.selected_inferior().pid:
            raise gdb.GdbError("the machine has gone")
        gpa = _number(gdb.parse_and_eval(words[0]))
        if len(words) > 1:
            name = words[2] if len(words) > 2 else "npt"
            if name not in ("npt", "ept", "page"):
                raise gdb.GdbError(f"a table is npt, ept or page, not {name}")
            root = _number(gdb.parse_and_eval(words[1])) & ~0xFFF  # CR3 has flags there
            form = TableFormat[name.upper()] if name != "page" else TableFormat.NPT
            whose = "the given table"
        else:
            root, form, whose = _table()
            name = form.name
        table, space = ("page table", "address") if name == "page" else (f"{form.name} of {whose}", "Gpa")
        print(f"{table}, root at Hpa {root:#x}: {space} {gpa:#x}")
        try:
            for step in steps(Memory(), root, form, gpa):  # type: ignore[arg-type]
                print(f"  {_step_line(step, gpa)}")
        except EvidenceError as problem:
            raise gdb.GdbError(str(problem)) from None


def _step_line(step: object, gpa: int) -> str:
    entry = step.entry
    line = f"level {step.level}: entry at Hpa {step.hpa:#x} = {entry.value:#018x}: "
    if not entry.present:
        return line + "not present: nobody has loaded this page"
    rights = "".join(
        letter if allowed else "-"
        for letter, allowed in (("r", entry.read), ("w", entry.write), ("x", entry.execute))
    )
    if entry.fault:
        return line + f"breaks a rule: {entry.fault}"
    if not entry.leaf:
        return line + f"{rights}, table at Hpa {entry.target:#x}"
    size = span(step.level)
    here = entry.target + gpa % size
    return line + f"{rights}, page of {size >> 10} KiB at Hpa {entry.target:#x}; the byte is Hpa {here:#x}"


def _number(value: gdb.Value) -> int:
    """A number, or the number in an address of ours."""
    kind = value.type.strip_typedefs()
    if kind.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.referenced_value()
        kind = value.type.strip_typedefs()
    return int(value["value_"] if kind.code == gdb.TYPE_CODE_STRUCT else value)


def _table() -> tuple[int, TableFormat, str]:
    """Root, format and owner of the second-level table that is meant."""
    for frame in _frames():
        try:
            this = frame.read_var("this").dereference()
        except (ValueError, gdb.error):
            continue
        kind = str(this.type.strip_typedefs().unqualified())
        if kind in ("vmm::KernelVmPager", "vmm::MappedMemory"):
            this, kind = this["table_"], "vmm::SecondLevelTable"
        if kind == "vmm::SecondLevelTable":
            name = this["format_"].dereference()["name"]["_M_str"].string(length=3)
            return _number(this["root_"]), TableFormat[name.upper()], f"this frame's {kind}"
    for record in reversed(_records()):
        if record.table_root:
            return record.table_root, record.table_format, f"VM {record.name}"
    raise gdb.GdbError("no VM has a table yet; stop in the pager, or give ROOT")


def _records() -> Sequence[VmRecord | GuestRecord]:
    """What the kernel publishes of its guests, in the order in which they were made."""
    # By physical address: a CPU that is in a guest shows the guest's memory only.
    try:
        symbols = Symbols.of(Path(gdb.current_progspace().filename))
        if symbols.find(guest_evidence.BLOCK.symbol):  # they belong to programs
            at = symbols.exactly_one(guest_evidence.BLOCK.symbol).address - KERNEL_OFFSET
            programs = ProcEvidence(finished=False, cpus=0, records=())
            return guest_evidence.parse(Memory().read(at, guest_evidence.BLOCK.size), programs).guests
        at = symbols.exactly_one(BLOCK.symbol).address - KERNEL_OFFSET
        return parse(Memory().read(at, BLOCK.size)).records
    except (SymbolError, EvidenceError) as problem:
        raise gdb.GdbError(f"{problem}; stop in the pager, or give ROOT") from None


def _frames() -> list[gdb.Frame]:
    frames = []
    frame = gdb.selected_frame()
    while frame is not None and len(frames) < 16:
        frames.append(frame)
        try:
            frame = frame.older()
        except gdb.error:
            break
    return frames


def _printers() -> gdb.printing.PrettyPrinter:
    printers = gdb.printing.RegexpCollectionPrettyPrinter("nestling")
    printers.add_printer("Address", r"^kern::Address<.*>$", AddressPrinter)
    printers.add_printer("expected", r"^std::expected<.*>$", ExpectedPrinter)
    printers.add_printer("Exit", r"^vmm::Exit$", ExitPrinter)
    printers.add_printer("ControlArea", r"^vmm::svm::ControlArea$", ControlAreaPrinter)
    return printers


def _standard_library_printers() -> None:
    """Spans, variants and arrays, as Debian's libstdc++ prints them."""
    for folder in ("/usr/share/gcc/python", "/usr/share/gcc-12/python"):
        if Path(folder).is_dir() and folder not in sys.path:
            sys.path.append(folder)
    try:
        from libstdcxx.v6.printers import register_libstdcxx_printers
    except ImportError:
        return
    try:
        register_libstdcxx_printers(None)
    except RuntimeError:
        pass  # registered already


gdb.execute("set print asm-demangle on")
gdb.execute("set print thread-events off")
_standard_library_printers()
gdb.printing.register_pretty_printer(None, _printers(), replace=True)
Nest()
NestWalk()
