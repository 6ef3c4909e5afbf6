# SPDX-License-Identifier: MIT
"""The command: its verbs, and what every ending means. A verb's module is imported when it is
called."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from grader import CANNOT_RUN, DONE, INTERRUPTED, WRONG_USAGE, NestError

ALL_VERBS = {
    "setup": ("grader.verbs.setup", "Install what the command needs and build the kit."),
    "doctor": ("grader.verbs.doctor", "Say what is installed and what works here, and the mend for the rest."),
    "run": ("grader.verbs.run", "Boot the hypervisor and its guest, with the serial line on this terminal."),
    "grade": ("grader.verbs.grade", "Judge the answers to a lab and show the score."),
    "award": ("grader.verbs.award", "Enter points for answers that a person reads."),
    "debug": ("grader.verbs.debug", "Boot under gdb, with the symbols of host and guest."),
    "test": ("grader.verbs.test", "Run the project's own tests."),
    "verify": ("grader.verbs.verify", "Prove that a lab's tests tell right answers from wrong ones."),
    "handouts": ("grader.verbs.handouts", "Build the pages for students."),
    "bench": ("grader.verbs.bench", "Measure what README promises."),
    "labs": ("grader.verbs.labs", "List the labs and how far you are."),
    "whoami": ("grader.verbs.whoami", "Say who you are, for what you hand in."),
    "pack": ("grader.verbs.pack", "Grade a lab afresh and pack its answers to be handed in."),
    "update": ("grader.verbs.update", "Take over a newer release; your answers stay as they are."),
    "grade-all": ("grader.verbs.grade_all", "Judge a class's submissions to a lab."),
    "replay": ("grader.verbs.replay", "Judge one of a class's submissions once more, and show both results."),
    "compare": ("grader.verbs.compare", "Show which verdicts differ between two gradings of a class."),
    "work": ("grader.verbs.work", "A worker of grade-all. Nobody types it."),
    "export": ("grader.verbs.export", "Put a class's results into other systems' forms."),
    "report": ("grader.verbs.report", "Show a class's results on one page for staff."),
    "release": ("grader.verbs.release", "Make the students' tree, without answers, and prove it."),
}
"""Each verb's module, which has a click command `command`, and its line of help."""
VERBS = {name: verb for name, verb in ALL_VERBS.items()
         if Path(__file__).with_name(verb[0].rpartition(".")[2] + ".py").exists()}
"""The verbs of this tree: a release has no verbs of staff."""

TROUBLE = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE,
           errno.ENOMEM, errno.EAGAIN)


class Verbs(click.Group):
    """The verbs by name, imported only when one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        command: click.Command = module.command
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items() if name != "work"])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS:
            raise click.UsageError(f"there is no verb '{args[0]}'; the verbs are: {', '.join(VERBS)}")
        return super().resolve_command(ctx, args)


def version() -> str:
    """What this tree is."""
    from grader.course import release

    made = release.read()
    return f"release {made.number} of {made.course}, of {made.date}" if made else "staff's tree"


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"nest: {version()}")
        ctx.exit()


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]},
               epilog="Exit status: 0 done, all points; 1 graded, points missing; 2 wrong usage; "
                      "3 cannot run; 130 interrupted.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
              help="Say which release this is.")
def nest() -> None:
    """Nestling: write a hypervisor, and see whether it is right."""


def _terminated(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Runs the command; the exit status."""
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    try:
        words = sys.argv[1:]
        if words[:1] == ["help"]:
            words = [*words[1:2], "--help"]
        status = nest.main(words, prog_name="nest", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except click.ClickException as error:
        words = error.format_message().rstrip(".")
        context = error.ctx if isinstance(error, click.UsageError) else None
        print(f"nest: {words[:1].lower()}{words[1:]}\n  mend: ./{context.command_path if context else 'nest'} --help says "
              "what there is", file=sys.stderr)
        return WRONG_USAGE
    except (KeyboardInterrupt, click.Abort):
        _end_children()
        print("nest: interrupted", file=sys.stderr)
        return INTERRUPTED
    except NestError as error:
        _end_children()
        print(f"nest: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        _end_children()
        # The reader has gone. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT_RUN
    except OSError as error:
        _end_children()
        if error.errno not in TROUBLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"nest: cannot go on: {where}{error.strerror}\n  mend: make room on the disk, or work in a "
              "copy of the tree that can be written", file=sys.stderr)
        return CANNOT_RUN


def _end_children() -> None:
    if "grader.confine.processes" in sys.modules:
        sys.modules["grader.confine.processes"].stop_all()
