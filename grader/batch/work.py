# SPDX-License-Identifier: MIT
"""What is to be judged, as the writer of the database hands it to whoever judges, and how the
result comes back.

A worker may be a process here or a node of a cluster. It gets items, one a line, and leaves for
each one file in RESULTS/inbox, whole, by rename, under the item's own name. So an item that was
judged twice is counted once, and nobody but the writer touches the database.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

INBOX = "inbox"


@dataclass(frozen=True)
class Item:
    """One attempt at files of one content."""

    lab: str
    digest: str
    attempt: int
    seed: int
    machine: str

    @property
    def name(self) -> str:
        return f"{self.digest}-{self.attempt}"

    def line(self) -> str:
        """The item as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, line: str) -> Item:
        return cls(**json.loads(line))


def inbox_file(results: Path, item: Item) -> Path:
    """Where the result of an item is left."""
    return results / INBOX / f"{item.name}.json"


def leave(results: Path, item: Item, found: dict[str, Any]) -> None:
    """Leaves a result for the writer, whole or not at all."""
    target = inbox_file(results, item)
    target.parent.mkdir(parents=True, exist_ok=True)
    making = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}")
    with open(making, "w", encoding="utf-8") as file:
        json.dump({"item": asdict(item), **found}, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    making.replace(target)
