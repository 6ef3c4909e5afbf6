# SPDX-License-Identifier: MIT
"""Options that several verbs have."""

from __future__ import annotations

import click

from grader.confine import sandbox


def _choose(ctx: click.Context, option: click.Parameter, name: str | None) -> None:
    if name is not None:
        sandbox.choose(name)


sandbox_option = click.option(
    "--sandbox", type=click.Choice(sandbox.NAMES), expose_value=False, callback=_choose,
    help="What keeps programs of answers from harm: bubblewrap, or, for root in a container that has no namespaces, "
    f"own-user. Else the variable {sandbox.CHOICE} says it.")
