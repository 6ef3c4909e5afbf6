# SPDX-License-Identifier: MIT
"""The parts of pytest that are not promised: what the grader needs of them. If this fails with a
new pytest, mend grader/judge/pytest_private.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grader.judge.pytest_private import run_item

TEST = """
import pytest

@pytest.fixture
def fresh():
    events.append("set up")
    yield
    events.append("torn down")

@pytest.fixture(scope="module")
def shared():
    events.append("module set up")

events = []

def test_it(fresh, shared):
    events.append("called")
    assert len(events) > 4, "the first time"
"""


def test_an_item_runs_twice_with_fixtures_made_anew(tmp_path: Path) -> None:
    """A replay is the same item again: function fixtures are new, and the report hook sees each
    phase."""
    (tmp_path / "test_twice.py").write_text(TEST)
    phases: list[tuple[str, bool]] = []
    events: list[str] = []

    class Plugin:
        """Runs each item twice, as the grader does."""

        def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool:
            run_item(item, nextitem, again=False)
            run_item(item, nextitem, again=True)
            events.extend(item.module.events)
            return True

        def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
            phases.append((call.when, call.excinfo is None))

    status = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)], plugins=[Plugin()])
    assert status == pytest.ExitCode.OK  # nothing was reported, so nothing failed
    assert phases == [("setup", True), ("call", False), ("teardown", True),
                      ("setup", True), ("call", True), ("teardown", True)]
    assert [word for word in events if word != "module set up"] == ["set up", "called", "torn down"] * 2
