# SPDX-License-Identifier: MIT
"""`nest handouts`: builds the pages and the reference."""

from __future__ import annotations

import click

from grader.course.handouts import build


@click.command(short_help="Build the pages for students.")
def command() -> None:
    """Build the handouts and the reference as HTML, and print where they begin."""
    click.echo("handouts: reading lab.json and headers, running doxygen")
    click.echo(f"handouts: {build()}")
