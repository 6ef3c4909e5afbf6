# SPDX-License-Identifier: MIT
"""`nest whoami`: who hands in."""

from __future__ import annotations

import click

from grader import POINTS_MISSING, UsageError
from grader.student import identity


@click.command(short_help="Say who you are, for what you hand in.")
@click.option("--name", metavar="NAME", help="Your name, as people write it.")
@click.option("--id", "number", metavar="ID", help="What the course knows you by, such as your student number.")
@click.option("--group", metavar="GROUP", help="Your group, if you hand in as one; '' for none.")
def command(name: str | None, number: str | None, group: str | None) -> int:
    """Say who you are: NAME and ID are kept in student.json and go into what `nest pack` makes.

    Without options it shows what is kept.
    """
    known = None
    if name is None or number is None:
        known = identity.read()
    if name is None and number is None and group is None:
        if known is None:
            print('nobody yet. Say who you are: nest whoami --name "Your Name" --id s1234567')
            return POINTS_MISSING
    else:
        if known is None and (name is None or number is None):
            raise UsageError("the first time both --name and --id are needed")
        old = known or identity.Identity(number or "", name or "")
        known = identity.Identity(old.id if number is None else number, old.name if name is None else name,
                                  old.group if group is None else group)
        identity.write(known)
    print(f"{known.name} ({known.id})" + (f", group {known.group}" if known.group else ""))
    return 0
