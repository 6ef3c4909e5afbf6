# SPDX-License-Identifier: MIT
"""`nest setup`: by the time this runs, the packages are there; what is left is to build the kit."""

from __future__ import annotations

import click

from grader.build.workshop import Progress, workshop


@click.command(short_help="Install what the command needs and build the kit.")
def command() -> int:
    """Install every package that a verb needs, and build what no answer changes."""
    with workshop(Progress()):
        pass
    print("ready: ./nest grade LAB judges your answers, ./nest run LAB boots them")
    return 0
