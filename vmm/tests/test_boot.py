# SPDX-License-Identifier: MIT
"""Boots of vmm/tests/boot: the hypervisor on the virtualization that QEMU (AMD) and Bochs (Intel)
emulate. That kernel runs guests with a nonce, looks at their registers and memory itself, and
prints what it found as lines ``fact GROUP.KEY VALUE``; here stands what the facts must be."""

from __future__ import annotations

import functools
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader import machines
from grader.confine.processes import Child, Limits

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("NEST_BUILD", ROOT / "build" / "cmake"))
KERNEL = BUILD / "vmm" / "tests" / "boot" / "vmm-boot-test.elf"
SECONDS = 180
FACT = re.compile(r"^fact ([^.\n]+)\.(\S+) ?(.*)$", re.MULTILINE)


@dataclass
class Boot:
    """What one boot printed."""

    vendor: str
    nonce: int
    serial: str
    facts: dict[str, dict[str, str]]

    def group(self, name: str, *, exited: bool = True) -> dict[str, str]:
        """The facts of one guest, which must have ended with the nonce, and left no frame
        behind."""
        assert name in self.facts, f"nothing is known of {name}:\n{self.serial[-4000:]}"
        facts = self.facts[name]
        if exited:
            assert facts["end"] == "exited", facts
            assert int(facts["status"], 16) == self.nonce, facts
        assert int(facts.get("frames-left", "0"), 16) == 0, facts
        return facts

    def numbers(self, name: str, *keys: str, **options: bool) -> list[int]:
        """Some facts of one guest as numbers."""
        facts = self.group(name, **options)
        return [int(facts[key], 16) for key in keys]


def in_qemu(line: str, model: str = "max") -> str:
    """The serial text of a boot there."""
    text = bytearray()
    with Child([
        "qemu-system-x86_64", "-display", "none", "-no-reboot", "-serial", "stdio", "-nodefaults",
        "-vga", "none", "-nic", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
        "-kernel", str(KERNEL), "-append", line, "-cpu", model, "-smp", "2", "-m", "256",
    ], on_stdout=text.extend) as child:  # fmt: skip
        ended = child.wait(Limits(seconds=SECONDS))
    assert ended == 1, text.decode(errors="replace")[-4000:]
    return text.decode(errors="replace")


def in_bochs(line: str, name: str = "intel-bochs") -> str:
    """The same there; skipped where there is no Bochs."""
    machine = machines.machine(name)
    try:
        machine.check()
    except machines.MachineError as problem:
        pytest.skip(str(problem))
    text = bytearray()
    configuration = machines.Configuration(
        kernel=KERNEL, command_line=line, cpus=2, memory_mib=machine.default_memory_mib
    )
    with machine.start(configuration, text.extend) as running:
        end = running.wait(SECONDS)
    assert (end.reason, end.status) == ("powered off", 0), text.decode(errors="replace")[-4000:]
    return text.decode(errors="replace").replace("\r\n", "\n")


def run(vendor: str, line: str = "", *model: str) -> Boot:
    """Boots the kernel, which must come to its end."""
    if not KERNEL.is_file():
        pytest.fail(f"{KERNEL} is not built; mend: ninja -C {BUILD} vmm-boot-test")
    nonce = secrets.randbelow(1 << 31) + 1
    line = f"nonce={nonce} {line}"
    serial = in_bochs(line) if vendor == "intel" else in_qemu(line, *model)
    assert "\nall done\n" in serial, serial[-4000:]
    return Boot(vendor, nonce, serial, facts_in(serial))


def facts_in(serial: str) -> dict[str, dict[str, str]]:
    """The facts by group and key."""
    facts: dict[str, dict[str, str]] = {}
    for group, key, value in FACT.findall(serial):
        facts.setdefault(group, {})[key] = value.strip()
    return facts


@functools.cache
def boot_of(vendor: str) -> Boot:
    """The boot that most tests look at."""
    return run(vendor)


@pytest.fixture(params=["amd", "intel"])
def boot(request: pytest.FixtureRequest) -> Boot:
    """Both vendors' boots."""
    return boot_of(request.param)


@pytest.fixture
def amd() -> Boot:
    """For what only AMD has."""
    return boot_of("amd")


@pytest.fixture
def intel() -> Boot:
    """For what only Intel has."""
    return boot_of("intel")


def test_interrupts_wait_for_the_guest(boot: Boot) -> None:
    """Not with IF clear, not in the shadow of STI, but right behind it; the higher priority
    first."""
    facts = boot.group("interrupts")
    assert boot.numbers("interrupts", "while-disabled", "in-shadow", "behind-shadow") == [0, 0, 1]
    for where in ("shadow", "cpuid", "halt", "priority"):
        assert facts[f"{where}-return"] == "true", f"the interrupt came elsewhere: {where}"
    first, then = boot.numbers("interrupts", "sequence", "next-in-sequence")
    assert (first.to_bytes(4, "little"), then) == (b"\x60\x61\x62\x6a", 0x63)
    assert boot.numbers("interrupts", "held-by-priority") == [0]


def test_interrupts_on_another_amd(amd: Boot) -> None:
    """Bochs's SVM is another program than QEMU's, and comes to the same."""
    line = f"nonce={amd.nonce} only=interrupts"
    found = facts_in(in_bochs(line, "amd-bochs"))
    assert found and found == {name: amd.facts.get(name) for name in found}


def test_the_apic_timer(boot: Boot) -> None:
    """Once is once; periodic goes on while the guest never exits by itself."""
    assert boot.numbers("interrupts", "one-shot", "one-shot-left") == [1, 0]
    assert boot.group("interrupts")["periodic-came"] == "true"


def test_interrupts_between_vcpus(boot: Boot) -> None:
    """Each once, to its destination only; an NMI also ends a HLT with IF clear."""
    keys = ("ipi-from-second", "ipi-to-second", "broadcast", "broadcast-to-self")
    assert boot.numbers("interrupts", *keys) == [4, 1, 1, 0]
    assert boot.group("interrupts")["nmi-to-second"] == "true"


def test_an_nmi_waits_for_the_handler_of_another(boot: Boot) -> None:
    """The handler sends the second one; its IRET lets it come."""
    assert boot.numbers("two-nmis", "in-first-handler", "in-all") == [1, 2]


@pytest.mark.parametrize(
    ("case", "error"),
    [("interrupt", 0), ("int-n", 0), ("int3", 0), ("ud", 0), ("gp", 0xF00), ("nmi", 0), ("pf", 2),
     ("host-gp", 0)],
)  # fmt: skip
def test_an_event_whose_delivery_faults_comes_once(boot: Boot, case: str, error: int) -> None:
    """The IDT and the stack are not in memory when the event comes: two nested faults on the
    way."""
    name = f"reinject-{case}"
    facts = boot.group(name)
    assert boot.numbers(name, "faults-on-idt", "faults-on-stack") == [1, 1], "the test tests nothing"
    assert boot.numbers(name, "handlers", "count", "error") == [1, 1, error]
    assert facts["return"] == "true", "the handler returns to another instruction"
    if case == "pf":
        assert boot.numbers(name, "cr2") == [0x40000124]


def notes(boot: Boot, name: str, count: int) -> list[int]:
    """The first words that a guest wrote down."""
    return boot.numbers(name, *(f"note-{index}" for index in range(count)))


def test_a_timer_without_a_pause_lets_the_guest_go_on(boot: Boot) -> None:
    """A period of 1 ns: with IF clear, with a handler, and with a vector that is none. Once is
    once, and what runs out while it is masked requests nothing later."""
    assert boot.group("tiny-timer")["periodic-came"] == "true"
    assert boot.numbers("tiny-timer", "once", "masked") == [1, 0]


def test_cr8_is_the_task_priority(boot: Boot) -> None:
    """A HLT behind a lower CR8 is woken by what that lets come; RDMSR shows CR8, and CR8 a
    WRMSR."""
    assert boot.numbers("held", "came") == [1]
    assert notes(boot, "held", 2) == [0x40, 5]


def test_init_clears_the_task_priority(boot: Boot) -> None:
    """A vCPU that is started again has CR8 = 0."""
    assert boot.numbers("init", "first", "second") == [0, 0]


def test_a_blocked_nmi_does_not_wake(boot: Boot) -> None:
    """In the handler of an NMI, HLT waits for the timer; the second NMI comes behind that."""
    (sequence,) = boot.numbers("nmi-halt", "sequence")
    assert sequence.to_bytes(4, "little") == b"\x02\x40\x02\x00"


def test_the_time_stamp_counter_can_be_written(boot: Boot) -> None:
    """RDTSC and RDMSR go on from the value, in order."""
    first, same, low, *differences = notes(boot, "tsc", 5)
    assert 0x1000 <= first <= same <= 0x1010, "the upper half of what was written, or a few seconds more"
    assert low < 0x10
    assert differences == [0, 0], "the counter went back, or jumped"


def test_hypercalls_are_the_kernels(boot: Boot) -> None:
    """RAX = 0 without the signature ends nothing, a number that is none neither, nor one of ring
    3."""
    assert notes(boot, "calls", 3) == [0xFFFFFFFC, 0xFFFFFFFF, 0xFFFFFFFB]


@pytest.mark.parametrize("name", ["ports", "open-ports"])
def test_wide_accesses_meet_as_many_ports(boot: Boot, name: str) -> None:
    """What no device serves of an access is an empty bus; with open ports, all of it may be."""
    known = [0xFFFFFFFF, 0xFF00B060, 0x00FF, 0x5A]
    others = [0xFFFFFFFF, 0xFFFF, 0xE9] if name == "open-ports" else []
    assert notes(boot, name, len(known + others)) == known + others


def test_a_string_goes_on_behind_its_fault(boot: Boot) -> None:
    """REP INS into a read-only page: two of five elements, then the guest's own #PF, CR2 and all;
    then the rest. OUTS from a page that is not there."""
    left, index, cr2, error, _, then, end, first, second, table, cr2_of_outs, error_of_outs = notes(boot, "strings", 12)
    assert (left, index, cr2, error) == (3, 0x401000, 0x401000, 3)
    assert boot.group("strings")["fault-return"] == "true", "RIP is not at the instruction"
    assert (then, end) == (0, 0x401003)
    assert (first, second) == (0xE9E90000, 0xE9E9E9), "the bytes of the two pages"
    assert table & 0xFFF == 0x63, "accessed and dirty"
    assert (cr2_of_outs, error_of_outs) == (0x402004, 0)


def test_a_whole_string_is_one_exit(boot: Boot) -> None:
    """4 KiB to a port that discards."""
    assert boot.numbers("long-string", "port-accesses") == [1]


def test_no_access_after_a_shootdown(boot: Boot) -> None:
    """What unmap and protect took away is not used once more by a vCPU that runs meanwhile."""
    facts = boot.group("shootdown", exited=False)
    assert boot.numbers("shootdown", "rounds", "taken", exited=False) == [20, 40]
    assert (facts["stale-reads"], facts["stale-writes"]) == ("false", "false")
    assert facts["protected-kept"] == "true"
    assert facts["reason"] == "write to a page that the guest may not write"
    assert boot.numbers("shootdown", "ended-by", exited=False) == [1]


def test_a_missing_shootdown_is_seen(boot: Boot) -> None:
    """The same with the shootdown left out: the test before this one can fail."""
    facts = boot.group("no-shootdown")
    assert (facts["stale-reads"], facts["stale-writes"]) == ("true", "true")


def test_address_spaces_stay_apart(boot: Boot) -> None:
    """40 VMs in turn on one CPU, which has fewer ASIDs (AMD) or more VPIDs; and two alternately."""
    names = ("wrong", "zero", "highest", "available")
    wrong, zero, highest, available = boot.numbers("asid", *names, exited=False)
    assert (wrong, zero) == (0, 0)
    if boot.vendor == "amd":
        assert highest == available - 1 < 40, "the ASIDs did not run out: the test tests nothing"
    else:
        assert highest == 40 < available, "a VPID was used again, or left out"
    assert boot.group("asid", exited=False)["two-apart"] == "true"


def check_registers(boot: Boot) -> None:
    """The facts of two vCPUs that alternate on one CPU, and of a third that has touched nothing."""
    facts = boot.group("state", exited=False)
    for key in ("a-holds", "b-holds", "apart", "third-is-fresh", "host-kept"):
        assert facts[key] == "true", key
    assert boot.numbers("state", "changed", exited=False) == [0]


def test_registers_stay_apart(boot: Boot) -> None:
    """FPU, SSE, DR0 to DR3; and AVX, where the machine lets a guest use it."""
    check_registers(boot)
    assert boot.vendor == "amd" or boot.group("state", exited=False)["avx"] == "false"


def test_registers_stay_apart_without_xsave() -> None:
    """The same by FXSAVE."""
    check_registers(boot := run("amd", "only=sharing", "max,-xsave"))
    assert boot.group("state", exited=False)["avx"] == "false"


@pytest.mark.parametrize(
    ("name", "field", "rule"),
    [
        ("svme", "EFER", "SVME"),
        ("nw-without-cd", "CR0", "CR0.NW"),
        ("cr0-upper", "CR0", "bits 63:32"),
        ("cr3-beyond", "CR3", "physical address width"),
        ("cr4-upper", "CR4", "bits 63:32"),
        ("cr4-reserved", "CR4", "reserved"),
        ("dr6-upper", "DR6", "bits 63:32"),
        ("dr7-upper", "DR7", "bits 63:32"),
        ("efer-reserved", "EFER", "reserved"),
        ("long-mode-without-pae", "CR4", "CR4.PAE must be set"),
        ("paging-without-protection", "CR0", "CR0.PE must be set"),
        ("cs-both", "CS attributes", "CS.L and CS.D"),
        ("vmrun-intercept", "intercepts at 0x010", "VMRUN must be intercepted"),
        ("iopm", "IOPM_BASE_PA", "I/O permission map"),
        ("msrpm", "MSRPM_BASE_PA", "MSR permission map"),
        ("event-type", "EVENTINJ", "type"),
        ("event-vector", "EVENTINJ", "below 32"),
        ("event-nmi", "EVENTINJ", "vector 2"),
        ("asid-zero", "ASID", "must not be zero"),
    ],
)
def test_a_refused_entry_is_explained(amd: Boot, name: str, field: str, rule: str) -> None:
    """VMRUN fails, and field and rule are named; the report shows the guest as it was."""
    facts = amd.group(name, exited=False)
    check_refusal(amd, facts, field, rule)


@pytest.mark.parametrize(
    ("name", "field", "rule"),
    [
        ("pin-controls", "pin-based VM-execution controls", "IA32_VMX_PINBASED_CTLS allows"),
        ("entry-controls", "VM-entry controls", "IA32_VMX_ENTRY_CTLS allows"),
        ("secondary-controls", "secondary processor-based VM-execution controls", "needs EPT"),
        ("cr3-targets", "CR3-target count", "at most four"),
        ("io-bitmap", "address of I/O bitmap B", "a page in physical memory"),
        ("msr-bitmaps", "address of MSR bitmaps", "a page in physical memory"),
        ("virtual-apic", "virtual-APIC address", "with the TPR shadow"),
        ("ept-type", "EPT pointer", "write-back"),
        ("ept-levels", "EPT pointer", "bits 5:3 must be 3"),
        ("ept-reserved", "EPT pointer", "bits 11:7"),
        ("event-type", "VM-entry interruption information", "type 1 is reserved"),
        ("event-nmi", "VM-entry interruption information", "vector 2"),
        ("event-vector", "VM-entry interruption information", "below 32"),
        ("event-error-code", "VM-entry interruption information", "with nothing else"),
        ("event-without-if", "guest RFLAGS", "RFLAGS.IF must be set"),
        ("cr0-fixed", "guest CR0", "CR0_FIXED0"),
        ("cr0-upper", "guest CR0", "CR0_FIXED0"),
        ("paging-without-protection", "guest CR0", "CR0.PE must be set"),
        ("cr4-fixed", "guest CR4", "CR4_FIXED0"),
        ("cr3-beyond", "guest CR3", "physical width"),
        ("dr7-upper", "guest DR7", "bits 63:32"),
        ("pat", "guest IA32_PAT", "must be a memory type"),
        ("efer-reserved", "guest IA32_EFER", "reserved"),
        ("efer-lma", "guest IA32_EFER", "EFER.LMA"),
        ("long-mode-without-paging", "guest CR0", "needs CR0.PG"),
        ("tr-unusable", "guest TR access rights", "busy TSS"),
        ("cs-type", "guest CS access rights", "accessed code"),
        ("ss-absent", "guest SS access rights", "S and P must be set"),
        ("ds-granularity", "guest DS limit", "G must be set exactly"),
        ("fs-base", "guest FS base", "canonical"),
        ("gdtr-limit", "guest GDTR limit", "16 bits"),
        ("activity", "guest activity state", "0 (active) to 3"),
        ("interruptibility", "guest interruptibility state", "must not both be set"),
        ("sti-without-if", "guest interruptibility state", "needs RFLAGS.IF"),
        ("link-pointer", "VMCS link pointer", "all ones"),
        ("vpid-zero", "virtual-processor identifier", "must not be zero"),
        ("host-cr0", "host CR0", "CR0_FIXED0"),
        ("host-cr4", "host CR4", "CR4_FIXED0"),
        ("host-cr3", "host CR3", "physical width"),
        ("host-efer", "host IA32_EFER", "host address-space size"),
        ("host-pat", "host IA32_PAT", "must be a memory type"),
        ("host-tr", "host TR selector", "must not be null"),
        ("host-cs", "host CS selector", "must be zero"),
        ("host-gs-base", "host GS base", "canonical"),
        ("host-rip", "host RIP", "canonical"),
        ("host-size", "host IA32_EFER", "host address-space size"),
        ("reported-controls", "CR3-target count", "at most four"),
        ("reported-state", "guest IA32_EFER", "reserved bits"),
    ],
)
def test_a_refused_vmx_entry_is_explained(intel: Boot, name: str, field: str, rule: str) -> None:
    """The same of VMLAUNCH and VMRESUME: controls, guest state, and the host's; reported ends a
    VM."""
    check_refusal(intel, intel.group(name, exited=False), field, rule)


def check_refusal(boot: Boot, facts: dict[str, str], field: str, rule: str) -> None:
    """The facts of one refused entry."""
    assert facts["refused"] == "true", "the CPU takes it: the test tests nothing"
    assert facts["field"] == field
    assert rule in facts["rule"]
    if "end" not in facts:  # tried without the run loop
        return
    assert (facts["end"], facts["guest-kept"]) == ("failed", "true")
    assert facts["reason"] == "the CPU refused to enter the guest"
    assert f"\n  rule        {field} is {facts['value']}: {facts['rule']}\n" in boot.serial


@pytest.mark.parametrize("name", ["after-refusals", "after-kills", "after-hostile"])
def test_the_next_guest_runs(boot: Boot, name: str) -> None:
    """Whatever others have done before."""
    boot.group(name)


@pytest.mark.parametrize(
    ("name", "exit_words", "codes", "reason"),
    [
        ("triple-fault", "shutdown (triple fault)", (0x7F, 2), "a triple fault of the guest"),
        ("out", "OUT", (0x7B, 0x1E), "OUT to a port that no device serves"),
        ("in", "IN", (0x7B, 0x1E), "IN from a port that no device serves"),
        ("ins", "IN", (0x7B, 0x1E), "IN from a port that no device serves"),
        ("outs", "OUT", (0x7B, 0x1E), "memory that is not there"),
        ("nowhere", "nested page fault: fetch", (0x400, 0x30), "memory that is not there"),
        ("hole", "nested page fault: read", (0x400, 0x30), "MMIO hole"),
        ("halt", "HLT", (0x78, 0xC), "halted for ever"),
    ],
)
def test_a_guest_that_goes_wrong_is_reported(
    boot: Boot, name: str, exit_words: str, codes: tuple[int, int], reason: str
) -> None:
    """The exit in words, the registers, the bytes at RIP, the last exits; and the host goes on."""
    code = codes[boot.vendor == "intel"]
    facts = boot.group(name, exited=False)
    report = boot.serial.split(f"\nbegin {name}\n")[1].split(f"\nend {name}\n")[0]
    assert facts["end"] == "failed" and reason in facts["reason"], facts
    assert f"VM {name} ended by the host: {facts['reason']}\n" in report
    assert f"\n  exit        {exit_words} (code {code:#x}" in report
    rip = int(facts["rip"], 16)
    assert f"\n  rip {rip:016x} " in report
    if name == "nowhere":
        assert rip == 0x90000000
        assert "bytes at rip: none" in report
    if "wanted-rip" in facts:
        assert rip == int(facts["wanted-rip"], 16)
        assert f"\n  bytes at rip: {facts['bytes']}" in report
    assert ("\n  access      Load of 4 bytes at 0xc0000000\n" in report) == (name == "hole")
    exits = int(facts["exits"], 16)
    history = report.split(f"\n  virtual CPU 0: {exits} exits")[1].splitlines()[1:]
    listed = [line for line in history if line.startswith("    rip ")]
    assert len(listed) == exits
    assert exit_words in listed[-1]


def test_a_loop_is_stopped(boot: Boot) -> None:
    """By its time limit."""
    assert boot.group("loop", exited=False)["end"] == "stopped"


def test_instructions_that_are_refused(boot: Boot) -> None:
    """SVM's own, VMX's own, RSM, MONITOR, MWAIT, XSETBV: #UD. EFER.SVME, VM_HSAVE_PA, RDPMC,
    IA32_FEATURE_CONTROL, and on Intel EFER.FFXSR and CR4.VMXE: #GP."""
    protection = 4 if boot.vendor == "amd" else 6
    assert boot.numbers("refused", "invalid-opcode", "protection") == [22, protection]


@pytest.mark.parametrize("name", ["step", "prefix-stepping", "prefix-64-stepping"])
def test_a_guest_steps_over_what_the_host_does(boot: Boot, name: str) -> None:
    """The #DB comes right behind each instruction, with DR6.BS, whoever has executed it: CPUID, IN,
    RDMSR, WRMSR, WBINVD, HLT, the hypercall, MOV to CR8 and DR; also with as many prefixes as can
    be."""
    steps, places, right = boot.numbers(name, "steps", "places", "right")
    assert (steps, right) == (places, places)


@pytest.mark.parametrize("name", ["prefix", "prefix-64"])
def test_a_guest_goes_on_behind_a_prefixed_instruction(boot: Boot, name: str) -> None:
    """And not in its middle. MOV to a debug register takes what its REX says."""
    assert boot.numbers(name, "steps") == [0]
    if name == "prefix-64":
        assert boot.numbers(name, "dr1", "dr2", "dr3", "cr8") == [0x1234, 0x1234, 0x808, 1]


def test_cr8_is_written_while_an_interrupt_waits(boot: Boot) -> None:
    """QEMU 7.2 would end itself. 16 is refused, 9 holds the interrupt, 2 lets it come."""
    keys = ("protection", "read-back", "while-held", "interrupts")
    assert boot.numbers("cr8", *keys) == [1, 9, 0, 1]


@pytest.mark.parametrize("name", ["task-register", "task-register-stepping"])
def test_a_null_task_register_is_refused(boot: Boot, name: str) -> None:
    """QEMU would take it, and end itself at the next event that uses the IST. Other LTRs do what
    they do by themselves, and the flags that they push are the guest's."""
    notes = boot.numbers(name, *(f"note-{index}" for index in range(10)))
    assert notes[0] == 0, "TR changed"
    assert notes[1:3] == [0x10, 0x40], "error codes"
    assert notes[3] & 0x100 == 0, "TF, which the guest has not set"
    assert notes[4] == 3, "of the null selectors and that of a data segment"
    if name == "task-register":
        assert notes[5] == 0, "a #DB that nobody has asked for"
    else:
        assert notes[5:7] == [3, 0], "the #DB of LTR comes elsewhere"
    assert notes[7:] == [0x30, 0x8B04, 0x46FD8], "TR, its descriptor, the stack of the IST"


def test_ring_3_before_there_is_a_task(boot: Boot) -> None:
    """QEMU would end itself at TR as a reset leaves it. It is where the CPU looks for the stack."""
    facts = boot.group("ring3", exited=False)
    assert facts["reason"] == "access to guest-physical memory that is not there"


def test_breakpoints_stay_with_their_guest(boot: Boot) -> None:
    """DR0 to DR3, DR6 and DR7 as after a reset, whatever another guest has left: QEMU would take
    that one's watchpoint for a breakpoint, and end itself. DR4 is DR6; DR5 is no more, with
    CR4.DE."""
    boot.group("breakpoints")
    notes = boot.numbers("no-breakpoints", *(f"note-{index}" for index in range(10)))
    assert notes == [0, 0, 0, 0, 0, 0, 0xFFFF0FF0, 0x400, 0x10400, 0xFFFF6FFD]


def test_a_guest_sets_no_breakpoint_in_the_host(boot: Boot) -> None:
    """QEMU would stop the host at the guest's DR0. Bits 63:32 of DR7 are a #GP."""
    assert boot.numbers("breaks-host", "note-0") == [1]


def test_an_instruction_that_cannot_be_read_ends_the_vm(amd: Boot) -> None:
    """The CPU executes it from what it remembers, and does not say how long it is. Nobody
    guesses."""
    facts = amd.group("unmaps-itself", exited=False)
    assert facts["end"] == "failed" and "cannot be read" in facts["reason"], facts
