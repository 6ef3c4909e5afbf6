# SPDX-License-Identifier: MIT
"""AMD with SVM and nested paging, emulated by QEMU's TCG: no virtualization hardware is needed.

The machine's memory is a memory file of ours that QEMU maps, so that it is there when QEMU has
gone. It has no name, and neither has the monitor's socket: nothing is left behind, however we end.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from grader.confine import sandbox
from grader.evidence.memory import PhysicalMemory
from grader.machines import (
    DIED,
    FLOODED,
    INTERRUPTED,
    KILLED,
    MAX_MEMORY_MIB,
    POWERED_OFF,
    RESET,
    TIMEOUT,
    TRIPLE_FAULT,
    Configuration,
    End,
    Machine,
    MachineError,
    Running,
    exit_in_words,
    killed_from_outside,
)
from grader.confine.processes import Child, Limits
from grader.machines.slots import emulator_slot

PROGRAM = "qemu-system-x86_64"
INSTALL = "apt-get install qemu-system-x86"
REINSTALL = "apt-get install --reinstall qemu-system-x86 qemu-system-data"
FAST_BIOS = Path("/usr/share/qemu/qboot.rom")
"""A firmware that does nothing but enter a kernel: half the time of a boot."""
MONITOR_SECONDS = 5.0
FPU_REGISTERS = ("FCW=", "FPR", "XMM", "YMM", "ZMM", "Opmask", "MXCSR")
"""The kernel has none, and they take a screen."""
STDERR_BYTES = 16384
SERIAL_END_BYTES = 64
TRIPLE_FAULT_LINE = b"Triple fault\n"
"""What QEMU's log of resets ends with, if one was the cause of the last."""


class AmdQemu(Machine):
    """See the module."""

    name = "amd-qemu"
    title = "AMD SVM and NPT in QEMU (TCG)"
    vendor = "amd"
    tried = ("7.2", "10.0")
    max_cpus = 16
    default_memory_mib = 256
    install, reinstall = INSTALL, REINSTALL

    def check(self) -> str:
        return _version()

    def start(
        self, configuration: Configuration, on_serial: Callable[[bytes], None]
    ) -> RunningQemu:
        _version()
        return RunningQemu(configuration, on_serial)


class RunningQemu(Running):
    """One QEMU process."""

    def __init__(self, configuration: Configuration, on_serial: Callable[[bytes], None]) -> None:
        size = configuration.memory_mib << 20
        if not 0 < configuration.memory_mib <= MAX_MEMORY_MIB:
            raise MachineError(
                f"a machine with {configuration.memory_mib} MiB of memory cannot be made",
                f"ask for 1 to {MAX_MEMORY_MIB} MiB",
            )
        self._serial_end = b""
        self._stderr = bytearray()
        self._log_end = b""

        def serial(data: bytes) -> None:
            self._serial_end = (self._serial_end + data)[-SERIAL_END_BYTES:]
            on_serial(data)

        with contextlib.ExitStack() as stack:
            stack.enter_context(emulator_slot())
            memory_fd = os.memfd_create("machine-memory")
            stack.callback(os.close, memory_fd)
            os.ftruncate(memory_fd, size)
            self.memory = PhysicalMemory.from_fd(memory_fd, size)
            self._monitor, theirs = socket.socketpair()
            stack.callback(self._monitor.close)
            stack.callback(theirs.close)
            # Events come only to who has agreed on capabilities. So the machine starts stopped, and
            # goes on only once that is done: a kernel may end sooner than QEMU looks at its
            # monitor.
            self._asked = ["qmp_capabilities"] if configuration.stopped else ["qmp_capabilities", "cont"]
            for command in self._asked:
                self._monitor.sendall(_message(command))
            log_end, log_fd = os.pipe()
            stack.callback(os.close, log_end)
            stack.callback(os.close, log_fd)
            self.command = _command(configuration, memory_fd, theirs.fileno(), log_fd)
            files = [configuration.kernel, configuration.iso, configuration.module]
            folder = [configuration.debugger.parent] if configuration.debugger else []
            try:
                self._child = stack.enter_context(
                    Child(
                        sandbox.wrap(
                            self.command,
                            readable=[file for file in files if file],
                            writable=folder,
                            file_bytes=None,
                        ),
                        env=sandbox.ENVIRONMENT,
                        pass_fds=[memory_fd, theirs.fileno(), log_fd],
                        on_stdout=serial,
                        on_stderr=self._keep_stderr,
                        readers={log_end: self._keep_log},
                        ends_itself=sandbox.ends_itself(),
                    )
                )
            except OSError as problem:
                raise MachineError(f"{PROGRAM} does not start: {problem}", INSTALL) from problem
            self._stack = stack.pop_all()

    @property
    def seconds(self) -> float:
        return self._child.seconds

    def wait(self, seconds: float | None, output_bytes: int | None = None) -> End:
        limits = Limits(seconds=seconds, output_bytes=output_bytes)
        status = self._child.wait(limits, kill_on_timeout=False)
        if status is None:
            return End(TIMEOUT)
        if self._child.killed:
            return End({"output": FLOODED, "interrupted": INTERRUPTED}[self._child.killed])
        words = self.complaints().strip()
        if status == 0:
            return self._ended_by_itself()
        if self._is_power_off(status, words):
            return End(POWERED_OFF, status >> 1)
        if by := killed_from_outside(status):
            return End(KILLED, detail=f"QEMU got {by}")
        if not self._serial_end and words:
            raise MachineError(
                f"{PROGRAM} ended before the kernel ran: {words}",
                "`nest doctor` tries the machine on its own and says what is missing",
            )
        return End(DIED, detail=f"QEMU {exit_in_words(status)}" + (f": {words}" if words else ", and said nothing"))

    def _ended_by_itself(self) -> End:
        """After QEMU's own good end, which is a reset, or a power-off by ACPI."""
        reason = self._shutdown_reason()
        if reason == "guest-reset":
            return End(TRIPLE_FAULT if self._log_end.endswith(TRIPLE_FAULT_LINE) else RESET)
        if reason == "guest-shutdown":
            return End(POWERED_OFF)
        if reason == "host-signal":
            return End(KILLED, detail="QEMU got SIGTERM or SIGHUP")
        return End(DIED, detail=f"QEMU ended with 0, {reason or 'and no word'}")

    def _shutdown_reason(self) -> str:
        """What the monitor said of the end, in QMP's words; empty if it said nothing."""
        said = bytearray()
        self._monitor.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while data := self._monitor.recv(65536):
                said += data
        events = [json.loads(line) for line in said.splitlines() if b'"SHUTDOWN"' in line]
        return str(events[-1]["data"]["reason"]) if events else ""

    def complaints(self) -> str:
        return self._stderr.decode("utf-8", "replace")

    def _is_power_off(self, status: int, words: str) -> bool:
        # The exit port makes the status odd; but QEMU's own complaints end with 1 as well, and the
        # sandbox says 128 + n for signal n.
        if status < 0 or status % 2 == 0 or (words and not self._serial_end):
            return False
        by_signal = sandbox.is_isolated() and 128 < status < 128 + 32
        return not by_signal or f"power off: {status >> 1}".encode() in self._serial_end

    def registers(self) -> str:
        with _Monitor(self._monitor, self._asked) as monitor:
            monitor.execute("stop")
            lines = monitor.human("info registers -a").splitlines(keepends=True)
            return "".join(line for line in lines if not line.startswith(FPU_REGISTERS))

    def stop(self) -> None:
        self._stack.close()

    def _keep_stderr(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-STDERR_BYTES]  # the last words are at the end

    def _keep_log(self, data: bytes) -> None:
        self._log_end = (self._log_end + data)[-len(TRIPLE_FAULT_LINE) :]


class _Monitor:
    """QMP over a connected socket; a guest cannot reach it. ``asked``: commands that were sent
    already."""

    def __init__(self, connection: socket.socket, asked: Sequence[str]) -> None:
        self._connection = connection
        self._asked = asked
        self._file = connection.makefile("rwb", buffering=0)

    def __enter__(self) -> _Monitor:
        self._connection.settimeout(MONITOR_SECONDS)
        self._receive("QMP")
        for _ in self._asked:
            self._receive("return")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def execute(self, command: str, **arguments: object) -> object:
        """Runs a command and gives what it returns."""
        self._connection.sendall(_message(command, **arguments))
        return self._receive("return")

    def human(self, line: str) -> str:
        """What the human monitor prints for ``line``."""
        return str(self.execute("human-monitor-command", **{"command-line": line}))

    def _receive(self, key: str) -> object:
        for _ in range(1000):  # events may come in between
            line = self._file.readline()
            if not line:
                break
            message = json.loads(line)
            if key in message:
                return message[key]
            if "error" in message:
                raise OSError(str(message["error"].get("desc")))
        raise OSError("the monitor does not answer")


def _message(command: str, **arguments: object) -> bytes:
    """A command for the monitor."""
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def _command(configuration: Configuration, memory_fd: int, monitor_fd: int, log_fd: int) -> list[str]:
    size = f"{configuration.memory_mib}M"
    command = [
        PROGRAM,
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        # Without the devices that nobody here uses and that a guest of the machine could try to
        # break.
        *("-machine", "pc,memory-backend=ram,vmport=off,hpet=off,smbus=off,usb=off",
          "-cpu", "max"),
        *(("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off")
          if configuration.counts_instructions else ("-accel", "tcg,thread=multi")),
        *("-m", size, "-smp", str(configuration.cpus)),
        "-object",
        f"memory-backend-file,id=ram,size={size},share=on,mem-path=/proc/self/fd/{memory_fd}",
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none", "-vga", "none", "-nic", "none"),
        *("-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"),
        *("-chardev", f"socket,id=monitor,fd={monitor_fd}"),
        *("-mon", "chardev=monitor,mode=control", "-S"),
        # Nothing else tells a triple fault from a reset by a port. Only resets are logged: it costs
        # nothing.
        *("-d", "cpu_reset", "-D", f"/proc/self/fd/{log_fd}"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
    ]
    if configuration.kernel:
        command += ["-kernel", str(configuration.kernel.absolute())]
        if FAST_BIOS.exists():
            command += ["-bios", str(FAST_BIOS)]
        if configuration.module:
            command += ["-initrd", str(configuration.module.absolute())]
        if configuration.command_line:
            command += ["-append", configuration.command_line]
    if configuration.iso:
        command += ["-cdrom", str(configuration.iso.absolute())]
    if configuration.debugger:
        # QEMU divides this option at commas; a doubled one stands for itself.
        path = str(configuration.debugger.absolute()).replace(",", ",,")
        command += ["-chardev", f"socket,id=gdb,path={path},server=on,wait=off"]
        command += ["-gdb", "chardev:gdb"]
    return command


@functools.lru_cache(maxsize=1)
def _version() -> str:
    if shutil.which(PROGRAM) is None:
        raise MachineError(f"{PROGRAM} is not installed", INSTALL)
    try:
        told = subprocess.run(
            [PROGRAM, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except subprocess.CalledProcessError as problem:
        raise MachineError(
            f"{PROGRAM} does not start: it {exit_in_words(problem.returncode)}: "
            f"{problem.stderr.strip()[-300:]}", REINSTALL
        ) from problem
    except (OSError, subprocess.SubprocessError) as problem:
        raise MachineError(f"{PROGRAM} does not start: {problem}", REINSTALL) from problem
    return told.stdout.splitlines()[0] if told.stdout else PROGRAM


MACHINE = AmdQemu()
