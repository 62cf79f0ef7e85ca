# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Each server is started once, for all tests of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from integrations.python.tests.server import SERVERS, Server


@pytest.fixture(scope="session", params=list(SERVERS))
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shop under each server, every feature off."""
    started = Server(tmp_path_factory.mktemp("shop"), SERVERS[request.param])
    try:
        yield started
    finally:
        assert started.stop(), started.log.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server of one test: start(command, **options of Server)."""
    running: list[Server] = []

    def started(command: Sequence[str], **options: object) -> Server:
        folder = tmp_path / f"server-{len(running)}"
        folder.mkdir()
        running.append(Server(folder, command, **options))  # type: ignore[arg-type]
        return running[-1]

    yield started
    for each in running:
        each.stop()
