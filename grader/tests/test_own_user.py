# SPDX-License-Identifier: MIT
"""The sandbox for places without namespaces, against answers that want more: with Landlock, and by
the permissions of files alone. What it prevents is first seen to work without it.

They run as root, and must do no harm even where the sandbox does not hold: signals go to a child of
the test's own, and processes are as many as are written here.
"""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grader import CannotRun, UsageError
from grader.confine import landlock, own_user as kind, sandbox, users
from grader.confine.processes import Child, Limits
from grader.tests import own_user_here, toy_tree
from grader.tests.test_intake import put

PYTHON = "/usr/bin/python3"
ROOT = Path(__file__).resolve().parents[2]
own_user = own_user_here.own_user


@pytest.fixture(params=["landlock", "permissions"])
def tree(request: pytest.FixtureRequest, own_user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a reference, and with programs beside each other in the build folder."""
    if request.param == "permissions":
        monkeypatch.setattr(kind, "START", [*kind.START, "--without-landlock"])
    elif not landlock.version():
        pytest.skip("this kernel has no Landlock")
    reference = own_user / "solutions-private" / "vmm" / "load_page.cc"
    reference.parent.mkdir()
    reference.write_text("the_solution\n")
    for name in ("given", "other"):
        path = own_user / "build" / "cache" / "ab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}\n")
    return own_user


def python(code: str, **options) -> sandbox.Completed:
    options.setdefault("timeout", 30)
    return sandbox.run([PYTHON, "-c", code], **options)


def without_sandbox(code: str) -> str:
    """What the same program prints when nothing confines it."""
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout


def of_lent_users(mark: str) -> list[str]:
    """The living processes of users that are lent to programs, those whose command has the mark:
    others may grade here at the same time."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if users.FIRST <= path.stat().st_uid < users.FIRST + 2 * users.COUNT:
                found.append((path / "cmdline").read_bytes().decode("utf-8", "replace"))
        except OSError:
            pass
    return [words for words in found if mark in words]  # who is dead has no command line


def test_reads_what_it_was_given_and_nothing_beside_it(tree: Path) -> None:
    given = tree / "build/cache/ab/given"
    code = ("for name in ('build/cache/ab/given', 'build/cache/ab/other', 'solutions-private/vmm/load_page.cc'):\n"
            f" try: print(open({str(tree)!r} + '/' + name).read(), end='')\n"
            " except OSError: print('closed')\n")
    assert without_sandbox(code) == "content of given\ncontent of other\nthe_solution\n"
    assert python(code, readable=[given]).stdout == "content of given\nclosed\nclosed\n"
    assert python(code).stdout == "closed\n" * 3  # what was given has been taken back
    assert all(not os.stat(path).st_mode & 0o007 and b"posix_acl" not in b"".join(map(os.fsencode, os.listxattr(path)))
               for path in (given, given.parent, tree / "build"))


@pytest.mark.parametrize("text", ['#include "{}"', 'asm(".incbin \\"{}\\"");'])
def test_compiler_reads_no_reference(text: str, tree: Path) -> None:
    source = tree / "build" / "place" / "a.cc"
    source.parent.mkdir()
    source.write_text(text.format(tree / "solutions-private/vmm/load_page.cc") + "\n")
    command = ["g++", "-c", "a.cc", "-o", "a.o"]
    told = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=False).stderr
    made = source.with_name("a.o")
    assert "the_solution" in told or b"the_solution" in made.read_bytes()
    made.unlink(missing_ok=True)
    done = sandbox.run(command, timeout=60, cwd=source.parent, writable=[source.parent])
    assert not done.ok and "the_solution" not in done.stdout + done.stderr and not made.exists()


def test_what_it_wrote_belongs_to_the_grader(tree: Path) -> None:
    place = tree / "build" / "place"
    place.mkdir()
    (place / "sent").write_text("x")
    code = ("import os\nopen('made', 'w').write('x')\nos.mkdir('d', 0o700)\nopen('d/e', 'w')\nos.symlink('/etc/passwd', 'l')\n"
            "try: os.link('sent', 'again')\nexcept OSError as e: print(e.errno)")
    assert python(code, cwd=place, writable=[place]).stdout == "1\n"
    for name in ("", "sent", "made", "d", "d/e", "l"):
        assert os.lstat(place / name).st_uid == 0, name
    assert os.stat("/etc/passwd").st_uid == 0
    assert not python("open('made', 'w')", cwd=place, readable=[place]).ok  # it is the grader's now


def test_writes_nothing_elsewhere(tree: Path) -> None:
    given = tree / "build/cache/ab/given"
    places = [given, tree / "made", tree / "build/made", Path("/etc/made"), Path("/run/nestling/made"), users.FOLDER / "60800"]
    places += [Path("/tmp/made-by-an-answer"), Path("/dev/shm/made-by-an-answer")] if "--without-landlock" not in kind.START else []
    code = f"for name in {list(map(str, places))!r}:\n try: open(name, 'a'); print('written', name)\n except OSError: pass\n"
    assert python(code, readable=[given]).stdout == ""
    here = tree / "build/made"
    assert without_sandbox(f"open({str(here)!r}, 'w'); print('written')") == "written\n"


def test_no_network(tree: Path) -> None:
    code = ("import socket\nfor kind in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):\n"
            " try: socket.socket(kind, socket.SOCK_RAW if kind == socket.AF_NETLINK else socket.SOCK_STREAM); print('open')\n"
            " except OSError as e: print(e.errno)\n")
    assert "open" in without_sandbox(code)
    assert python(code).stdout == "1\n" * 4


def test_reaches_no_other_process(tree: Path) -> None:
    with Child(["/bin/sleep", "1000"]) as other:
        code = (f"import os\nfor what in (lambda: open('/proc/{other.pid}/environ').read(),\n"
                f"  lambda: open('/proc/{other.pid}/mem', 'rb'), lambda: os.kill({other.pid}, 9)):\n"
                " try: what(); print('done')\n except OSError: print('refused')\n")
        assert python(code).stdout == "refused\n" * 3
        assert other.wait(Limits(0.01), kill_on_timeout=False) is None
        assert without_sandbox(code) == "done\n" * 3


def ended(reader: int) -> bool:
    """Whether a pipe's last writer goes, in time."""
    return bool(select.select([reader], [], [], 20)[0]) and os.read(reader, 1) == b""


LEFT = ("import os, time\n"
        "for _ in range({count}):\n"
        " if os.fork() == 0:\n"
        "  os.setsid()\n"
        "  if os.fork() == 0: time.sleep(1000)\n"
        "  os._exit(0)\n")


BUSY = ("\nfor _ in range(4): os.fork()\n"
        "while True:\n child = os.fork()\n if child == 0: os._exit(0)\n os.waitpid(child, 0)")
"""Sixteen processes that start others all the time."""


@pytest.mark.parametrize("ending", ["", "time.sleep(1000)", BUSY], ids=["ends", "sleeps", "forks"])
def test_leaves_no_process_behind(ending: str, tree: Path) -> None:
    reader, writer = os.pipe()
    try:
        code = f"# {tree}\n{LEFT.format(count=5)}{ending}"
        done = python(code, pass_fds=[writer], timeout=20 if not ending else 1.0, processes=None)
        assert done.ok != bool(ending), done
    finally:
        os.close(writer)
    assert ended(reader), "somebody can still write"
    os.close(reader)
    assert of_lent_users(str(tree)) == []


def test_killed_grader_leaves_no_process_behind(own_user: Path) -> None:
    reader, writer = os.pipe()
    program = LEFT.format(count=1) + f"os.write({writer}, b'up')\ntime.sleep(1000)"
    code = ("from grader.confine import sandbox\n" + own_user_here.SETTINGS["own-user"]
            + f"sandbox.run([{PYTHON!r}, '-c', {program!r}], timeout=1000, pass_fds=[{writer}])")
    with Child([PYTHON, "-c", code], cwd=ROOT, pass_fds=[writer]) as nest:
        os.close(writer)
        assert os.read(reader, 2) == b"up"
        os.kill(nest.pid, signal.SIGKILL)
        assert ended(reader), "somebody can still write"
    os.close(reader)


def test_next_holder_takes_back_what_a_killed_starter_gave(own_user: Path) -> None:
    given = own_user / "build" / "given"
    given.write_text("x")
    code = ("import os, signal, sys\nfrom pathlib import Path\nfrom grader.confine import users\n"
            f"users.borrow().give([Path({str(given)!r})], [])\nos.kill(os.getpid(), signal.SIGKILL)")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert os.listxattr(given) == ["system.posix_acl_access"]
    kind.end_leftovers()
    assert os.listxattr(given) == [] and given.stat().st_mode & 0o777 == 0o600


def test_names_no_user_of_the_system(own_user: Path) -> None:
    done = python("import os; print(os.getuid(), os.getgid(), os.getgroups(), open('/proc/self/status').read())")
    first, _, status = done.stdout.partition("\n")
    user, group, groups = first.split()[:3]
    assert users.FIRST <= int(user) < users.FIRST + users.COUNT and user == group and groups in ("[]", f"[{group}]")
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status


def test_open_references_are_refused_with_the_mend(own_user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_user / "solutions-private").chmod(0o755)
    sandbox._tried.cache_clear()
    with pytest.raises(CannotRun, match=f"chmod -R o-rwx {own_user}/solutions-private"):
        sandbox.required()
    (own_user / "solutions-private").chmod(0o750)
    sandbox._tried.cache_clear()
    submissions = own_user / "submissions"
    submissions.mkdir()
    assert sandbox.required(own_user / "gone").kind == kind.NAME
    submissions.chmod(0o755)
    monkeypatch.setattr(landlock, "version", lambda: 0)
    with pytest.raises(CannotRun, match=f"other users can read {submissions}"):
        sandbox.required(submissions)


def test_build_folder_is_closed_before_anything_runs(own_user: Path) -> None:
    other = own_user / "build" / "cmake" / "libtasks.a"
    other.parent.mkdir(mode=0o755)
    other.touch(0o644)
    sandbox._tried.cache_clear()
    assert sandbox.required().kind == kind.NAME
    assert not (other.stat().st_mode | other.parent.stat().st_mode) & 0o007


def test_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sandbox.CHOICE, "none")
    with pytest.raises(UsageError, match="no sandbox 'none'; there are: bubblewrap, own-user"):
        sandbox.status()


def test_without_namespaces_staff_may_choose_it(own_user: Path) -> None:
    """A whole process under Docker's rules, where bubblewrap cannot work."""
    code = ("from pathlib import Path\nfrom grader import CannotRun\nfrom grader.confine import own_user, sandbox\n"
            f"own_user.ROOT = Path({str(own_user)!r})\n"
            "try: sandbox.required(); print('no need of it')\nexcept CannotRun as e: print(e)\n"
            "sandbox.choose('own-user')\nprint(sandbox.required().kind)\n"
            f"print(sandbox.run(['/bin/ls', {str(own_user / 'solutions-private')!r}], timeout=20).returncode)\n")
    env = {name: value for name, value in os.environ.items() if name != sandbox.CHOICE}
    done = subprocess.run([PYTHON, "-m", "grader.tests.docker_rules", PYTHON, "-c", code], cwd=ROOT, env=env,
                          capture_output=True, text=True, check=False)
    told = done.stdout.splitlines()
    assert "programs of others cannot be kept from harm here: bubblewrap does not work here" in told[0], done
    assert "--sandbox own-user" in told[1] and told[2:] == ["own-user", "2"]


def test_a_class_is_graded_where_there_are_no_namespaces_once_staff_have_chosen(tmp_path: Path) -> None:
    """From the refusal, mend by mend, to all points."""
    if os.geteuid() != 0:
        pytest.skip("own-user wants root")
    toy = toy_tree.make(tmp_path / "tree")
    (toy.root / "solutions-private").chmod(0o755)
    put(tmp_path / "up" / "ann", {"vmm/twice.cc": toy_tree.TWICE.encode(), "vmm/half.cc": toy_tree.HALF.encode()})
    command = [PYTHON, "-m", "grader.tests.docker_rules", str(toy.root / "nest"), "grade-all", str(tmp_path / "up"), "--lab", "lab1",
               "--out", str(tmp_path / "results")]

    def run(*words: str) -> tuple[int, str]:
        env = {name: value for name, value in os.environ.items() if name != sandbox.CHOICE}
        done = subprocess.run([*command, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    status, said = run()
    assert status == 3 and "programs of others cannot be kept from harm here" in said and "--sandbox own-user" in said, said
    status, said = run("--sandbox", "own-user")
    assert status == 3 and f"chmod -R o-rwx {toy.root}/solutions-private" in said, said
    subprocess.run(["chmod", "-R", "o-rwx", toy.root / "solutions-private"], check=True)
    status, said = run("--sandbox", "own-user")
    assert status == 0 and "30 of 30" in said, said
