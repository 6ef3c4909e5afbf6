# SPDX-License-Identifier: MIT
"""The sandbox own-user for tests, whatever this machine could have in its place."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.confine import own_user as kind
from grader.confine import sandbox

SETTINGS = {
    "isolated": "status = sandbox.Status(True, '', '', 'bubblewrap')\nsandbox.status = lambda: status\n",
    "own-user": "status = sandbox.Status(True, '', '', 'own-user')\nsandbox.status = lambda: status\n",
    "plain": "status = sandbox.Status(False, '')\nsandbox.status = lambda: status\n",
}
"""Lines of Python that settle which sandbox another process has."""


@pytest.fixture
def own_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """From here on programs run under own-user; a tree whose references and whose build folder it
    keeps closed."""
    if os.geteuid() != 0:
        pytest.skip("own-user wants root")
    before = os.umask(0o022)
    root = tmp_path_factory.mktemp("tree")
    (root / "solutions-private").mkdir(mode=0o700)
    monkeypatch.setattr(kind, "ROOT", root)
    monkeypatch.setenv(sandbox.CHOICE, kind.NAME)
    sandbox._tried.cache_clear()
    try:
        found = sandbox.status()
        assert found.isolated, found.detail
        yield root
    finally:
        sandbox._tried.cache_clear()
        os.umask(before)
