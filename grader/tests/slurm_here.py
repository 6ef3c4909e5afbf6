# SPDX-License-Identifier: MIT
"""A cluster of one node on this machine: real munged, slurmctld and slurmd, which listen on
127.0.0.1 alone.

``python3 -m grader.tests.slurm_here COMMAND...`` runs a command beside one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from grader.build.schedule import cores
from grader.confine.processes import dying_with_parent

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
SECONDS = 60.0
_CONFIGURATION = """\
ClusterName=nestling
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class DoesNotStart(Exception):
    """With the daemons' last words."""


def missing() -> str:
    """Why no cluster can be started here; empty if it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons want root"
    lacking = [name for name in DAEMONS if not _path(name)]
    return f"{', '.join(lacking)} not installed: apt-get install slurm-wlm munge" if lacking else ""


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Mapping[str, str]]:
    """Starts one whose files are in `folder`; the environment that Slurm's commands find it by.
    Raises DoesNotStart."""
    host = socket.gethostname()
    ports = _free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    configuration = folder / "slurm.conf"
    configuration.write_text(_CONFIGURATION.format(
        host=host, folder=folder, controller=ports[0], node=ports[1], cpus=cores(),
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20))
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    commands = (
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}",
         f"--log-file={folder}/munged.log", f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munged.seed"],
        ["slurmctld", "-D", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration)])
    with contextlib.ExitStack() as stack:
        for command in commands:
            daemon = subprocess.Popen(
                dying_with_parent([_path(command[0]) or command[0], *command[1:]]), env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            stack.callback(_end, daemon)
        until = time.monotonic() + SECONDS
        while "idle" not in (said := _states(environment)):
            if time.monotonic() > until:
                logs = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-500:]}" for path in folder.glob("*.log"))
                raise DoesNotStart(f"the node is not idle after {SECONDS:.0f} s, but: {said}\n{logs}")
            time.sleep(0.2)
        try:
            yield environment
        finally:
            _end_jobs(environment)


def _end_jobs(environment: Mapping[str, str]) -> None:
    """While the daemons are there: a job outlives them."""
    subprocess.run(["scancel", f"--user={os.getuid()}"], env=environment, capture_output=True, check=False)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and subprocess.run(
            ["squeue", "--noheader"], env=environment, capture_output=True, check=False).stdout:
        time.sleep(0.2)


def _states(environment: Mapping[str, str]) -> str:
    done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _path(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


if __name__ == "__main__":
    if why := missing():
        sys.exit(why)
    with tempfile.TemporaryDirectory(prefix="nest-slurm-") as place, cluster(Path(place)) as found:
        sys.exit(subprocess.run(sys.argv[1:], env=found, check=False).returncode)
