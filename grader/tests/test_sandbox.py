# SPDX-License-Identifier: MIT
"""The sandbox lets honest programs work and dishonest ones do no harm."""

import contextlib
import os
import select
import subprocess
import threading
from pathlib import Path

import pytest

from grader import CannotRun
from grader.confine import bubblewrap, host_program, processes, sandbox
from grader.tests import own_user_here

PYTHON = "/usr/bin/python3"
isolated_only = pytest.mark.skipif(not sandbox.is_isolated(), reason=sandbox.status().detail)


def python(code: str, **options) -> sandbox.Completed:
    options.setdefault("timeout", 20)
    return sandbox.run([PYTHON, "-c", code], **options)


@pytest.fixture(params=["isolated", "own-user", "plain"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All grounds: bubblewrap, the sandbox for places where it cannot work, and their stand-in."""
    if request.param == "plain":
        monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))
    elif request.param == "own-user":
        request.getfixturevalue("own_user")
    elif not sandbox.is_isolated():
        pytest.skip(sandbox.status().detail)
    return request.param


own_user = own_user_here.own_user


def test_output_and_status(mode: str) -> None:
    done = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert not done.ok and not done.killed and done.ended() == "ended with 7"


def test_limits_that_the_kernel_holds(mode: str, tmp_path: Path) -> None:
    done = python("import resource as r; print(r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_FSIZE))\n"
                  f"with open('{tmp_path}/big', 'wb') as big: big.truncate({sandbox.FILE_BYTES} + 1)", writable=[tmp_path])
    most = sandbox.FILE_BYTES
    assert done.stdout == f"(0, 0) ({most}, {most})\n" and "OSError: [Errno 27] File too large" in done.stderr


def test_who_may_write_less_than_the_limit_says_so() -> None:
    """A hard limit below ours, as on a server of many users, is no reason not to start."""
    script = ("from grader.confine.processes import dying_with_parent, limited\n"
              "import subprocess\n"
              "words = ['sh', '-c', 'ulimit -f']\n"
              "print(subprocess.run(dying_with_parent(words, limited(1 << 30)), capture_output=True, text=True))\n")
    low = ["prlimit", "--fsize=1048576:1048576", "--"]
    bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*low, *bare, PYTHON, "-c", script], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).parents[2])
    assert "stdout='2048\\n', stderr=''" in done.stdout, done


@isolated_only
def test_sandbox_that_does_not_start_is_no_fault_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="the sandbox does not start: bwrap: Can't find source path"):
        sandbox.run(["/bin/true"], timeout=20, readable=[tmp_path / "gone"])
    done = python("import sys; print('bwrap: I say so', file=sys.stderr); sys.exit(1)")
    assert done.returncode == 1  # the program's own words are its own


def test_command_that_is_not_there(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "wrap", lambda argv, **rest: ["/nowhere/bwrap", *argv])
    with pytest.raises(CannotRun, match="/nowhere/bwrap does not start: No such file"):
        python("pass")


def test_signal_is_told_from_a_status(mode: str) -> None:
    done = python("import os; os.kill(os.getpid(), 11)")
    assert done.returncode == -11
    assert done.ended() == "died of SIGSEGV"


def test_stdin_and_environment(mode: str) -> None:
    code = "import os, sys; print(sys.stdin.read() + os.environ['GIVEN'], 'SECRET' in os.environ)"
    os.environ["SECRET"] = "x"
    try:
        done = python(code, stdin=b"in ", env={"GIVEN": "given"})
    finally:
        del os.environ["SECRET"]
    assert done.stdout == "in given False\n"


def test_passed_descriptor_keeps_its_number(mode: str) -> None:
    reader, writer = os.pipe()
    try:
        assert python(f"import os; os.write({writer}, b'token')", pass_fds=[writer]).ok
        assert os.read(reader, 16) == b"token"
    finally:
        os.close(reader)
        os.close(writer)


def test_endless_loop_is_ended(mode: str) -> None:
    done = python("while True: pass", timeout=0.5)
    assert done.timed_out and not done.ok


def test_who_sleeps_or_lets_others_work_is_ended(mode: str) -> None:
    assert python("import time; time.sleep(1000)", timeout=0.5).timed_out
    assert sandbox.run(["/bin/sh", "-c", "while :; do /bin/true; done"], timeout=0.5).timed_out


def test_what_other_programs_take_is_no_time_of_its_own(mode: str) -> None:
    alone = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            busy = stack.enter_context(subprocess.Popen([PYTHON, "-c", alone + "while True: pass"], start_new_session=True))
            stack.callback(busy.kill)
        done = python(alone + "import time\nwhile time.process_time() < 0.5: pass", timeout=2)
    assert done.ok, done.ended()


def test_nothing_is_left_running(mode: str, tmp_path: Path) -> None:
    # A grandchild holds the pipe open for as long as it lives.
    reader, writer = os.pipe()
    code = (
        "import subprocess, sys\n"
        f"subprocess.Popen(['/bin/sleep', '1000'], pass_fds=[{writer}])\n"
        "sys.exit(0)"
    )
    try:
        assert python(code, pass_fds=[writer]).ok
    finally:
        os.close(writer)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_memory_is_bounded(mode: str) -> None:
    done = python(
        "import time\nkeep = []\nwhile True: keep.append(b'x' * (8 << 20)); time.sleep(0.005)",
        memory_mib=200,
    )
    assert done.killed == "memory"


def test_processes_are_bounded(mode: str) -> None:
    # Fewer than the kernel lets an own user have, or the program may end by itself before anybody
    # has counted.
    code = (
        "import os, time\nfor _ in range(100):\n if os.fork() == 0: time.sleep(60)\ntime.sleep(60)"
    )
    assert python(code, processes=40).killed == "processes"


def test_output_is_bounded(mode: str) -> None:
    done = python("print('x' * 3000000)", output_bytes=1000)
    assert done.ok and done.truncated and len(done.stdout) == 1000
    assert python("while True: print('x' * 100000)", output_bytes=1000).killed == "output"


def test_file_size_is_bounded(mode: str, tmp_path: Path) -> None:
    target = tmp_path / "big"
    done = python(
        f"f = open({str(target)!r}, 'wb'); f.truncate(1 << 40)", writable=[tmp_path], timeout=10
    )
    assert not done.ok
    assert target.stat().st_size == 0


def test_stop_all_interrupts(mode: str) -> None:
    results: list[sandbox.Completed] = []
    reader, writer = os.pipe()
    code = f"import os\nos.write({writer}, b'up')\nwhile True: pass"
    thread = threading.Thread(target=lambda: results.append(python(code, pass_fds=[writer])))
    thread.start()
    assert os.read(reader, 2) == b"up"
    processes.stop_all()
    thread.join(10)
    os.close(reader)
    os.close(writer)
    assert results and results[0].killed == "interrupted"


def test_writable_folder_is_written(mode: str, tmp_path: Path) -> None:
    done = python("open('made', 'w').write('x')", cwd=tmp_path, writable=[tmp_path])
    assert done.ok and (tmp_path / "made").read_text() == "x"


@isolated_only
def test_readable_folder_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("text")
    assert python("print(open('given').read())", cwd=tmp_path, readable=[tmp_path]).stdout == "text\n"
    done = python("open('given', 'w')", cwd=tmp_path, readable=[tmp_path])
    assert not done.ok and (tmp_path / "given").read_text() == "text"


@isolated_only
def test_inner_writable_folder_in_a_readable_one(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    code = "import sys; open('a/b/made', 'w'); open('made', 'w')"
    done = python(code, cwd=tmp_path, writable=[inner], readable=[tmp_path])
    assert not done.ok and (inner / "made").exists() and not (tmp_path / "made").exists()


@isolated_only
@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/passwd", "/root", str(Path.home()), __file__])
def test_private_files_are_not_there(path: str) -> None:
    assert python(f"import os; print(os.path.exists({path!r}))").stdout == "False\n"


@isolated_only
def test_compiler_cannot_include_a_private_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the_solution")
    source = tmp_path / "work" / "a.cc"
    source.parent.mkdir()
    source.write_text(f'#include "{secret}"\nasm(".incbin \\"{secret}\\"");\n')
    done = sandbox.run(
        ["g++", "-c", "a.cc", "-o", "a.o"], timeout=60, cwd=source.parent, writable=[source.parent]
    )
    assert not done.ok and "the_solution" not in done.stdout + done.stderr


@isolated_only
def test_no_network_and_no_other_process() -> None:
    code = (
        "import os, socket\n"
        "print(sorted(name for _, name in socket.if_nameindex()))\n"
        f"print(os.path.exists('/proc/{os.getpid()}/environ') and {os.getpid()} > 50)\n"
    )
    done = python(code)
    assert done.stdout == "['lo']\nFalse\n", done.stderr


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers_work_inside(mode: str, sanitizer: str, tmp_path: Path) -> None:
    source = tmp_path / "a.cc"
    source.write_text(
        "#include <atomic>\n#include <cstdlib>\n#include <thread>\n"
        "int counter;\n"
        "std::atomic<bool> counted;\n"
        "int main(int count, char**) {\n"
        "  char* text = static_cast<char*>(std::malloc(8));\n"
        # Later in time and not ordered: found each time.
        "  std::thread other{[] { ++counter; counted.store(true, std::memory_order_relaxed); }};\n"
        "  while (!counted.load(std::memory_order_relaxed)) {}\n"
        "  if (count > 1) ++counter;\n"
        "  other.join();\n"
        "  if (count > 1) text[8] = 1;\n"
        "  std::free(text);\n"
        "}\n"
    )
    built = sandbox.run(
        ["g++", f"-fsanitize={sanitizer}", "-fno-pie", "-no-pie", "-g", "a.cc", "-o", "a"],
        timeout=120,
        cwd=tmp_path,
        writable=[tmp_path],
    )
    assert built.ok, built.stderr
    command = [*host_program.without_randomization(), tmp_path / "a"]
    good, bad = (
        host_program.started(lambda: sandbox.run(words, timeout=60, cwd=tmp_path, readable=[tmp_path]))
        for words in (command, [*command, "wrong"])
    )
    assert good.ok, good.stderr
    wanted = "heap-buffer-overflow" if sanitizer.startswith("address") else "data race"
    assert not bad.ok and wanted in bad.stderr


def test_missing_bubblewrap_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda _: None)
    told = sandbox._tried.__wrapped__(bubblewrap.NAME)
    assert not told.isolated and "bubblewrap" in told.detail and "apt-get" in told.mend


@pytest.mark.parametrize(("switch", "user", "apparmor"), [("1", 1000, True), ("0", 1000, False), ("1", 0, False)])
def test_apparmors_switch_has_its_own_mend(
        switch: str, user: int, apparmor: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n")
    bwrap.chmod(0o755)
    (tmp_path / "switch").write_text(f"{switch}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bubblewrap, "APPARMOR_SWITCH", tmp_path / "switch")
    monkeypatch.setattr(bubblewrap.os, "geteuid", lambda: user)
    told = sandbox._tried.__wrapped__(bubblewrap.NAME)
    assert not told.isolated and "setting up uid map" in told.detail
    assert ("apparmor_restrict_unprivileged_userns=0" in told.mend) == apparmor
    assert ("bwrap-userns-restrict" in told.mend) == apparmor


def test_parent_death_ends_the_child(mode: str, tmp_path: Path) -> None:
    """A killed nest leaves nothing behind: the pipe's last holder goes with it."""
    reader, writer = os.pipe()
    code = (
        "from grader.confine import sandbox\n" + own_user_here.SETTINGS[mode] + "sandbox.run(['/usr/bin/python3', '-c', "
        f"'import os, time; os.write({writer}, b\"up\"); time.sleep(1000)'], "
        f"timeout=1000, pass_fds=[{writer}])"
    )
    root = Path(__file__).resolve().parents[2]
    with processes.Child([PYTHON, "-c", code], cwd=root, pass_fds=[writer]) as nest:
        os.close(writer)
        assert os.read(reader, 2) == b"up"
        os.kill(nest.pid, 9)
        assert select.select([reader], [], [], 20)[0], "the child is still there"
        assert os.read(reader, 1) == b""
    os.close(reader)


def test_parent_that_dies_before_the_sandbox_is_bound_to_it(mode: str, tmp_path: Path) -> None:
    """The first program of a sandbox waits, here, until nest is gone: what nest wanted to run must
    not run."""
    reader, writer = os.pipe()
    gate, opened = os.pipe()
    for name in ("bwrap", "setpriv"):
        slow = tmp_path / name
        slow.write_text(f"#!/bin/sh\nprintf up >/dev/fd/{writer}\nread end </dev/fd/{gate}\nexec /usr/bin/{name} \"$@\"\n")
        slow.chmod(0o755)
    code = (
        "from grader.confine import sandbox\n" + own_user_here.SETTINGS[mode] +
        f"sandbox.ENVIRONMENT['PATH'] = {str(tmp_path)!r} + ':/usr/bin:/bin'\n"
        f"sandbox.run(['/bin/sh', '-c', 'printf ran >/dev/fd/{writer}'], timeout=1000, pass_fds=[{writer}, {gate}])"
    )
    env = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    with processes.Child([PYTHON, "-c", code], cwd=Path(__file__).resolve().parents[2], env=env,
                         pass_fds=[writer, gate]) as nest:
        os.close(writer)
        os.close(gate)
        assert os.read(reader, 2) == b"up"
        os.kill(nest.pid, 9)
        os.waitid(os.P_PID, nest.pid, os.WEXITED | os.WNOWAIT)
        os.close(opened)
        assert select.select([reader], [], [], 20)[0] and not os.read(reader, 3), "the sandbox was left behind"
    os.close(reader)


def test_child_starts_nothing_more_while_those_below_it_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    descendants = processes.descendants

    def listed(pid: int) -> list[int]:
        states.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
        return descendants(pid)

    monkeypatch.setattr(processes, "descendants", listed)
    with processes.Child(["/bin/sh", "-c", "while :; do /bin/true; done"]):
        pass
    assert states == ["T"]
