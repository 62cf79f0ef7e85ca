# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Workers that die, a stop in the middle of a request, and a start with a bad flag file."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Answer

from integrations.python.tests.server import FEATURES, SERVERS, Server, counters, json_of
from tests.support.waiting import until


@pytest.mark.parametrize("name", ["flask-gunicorn", "django-gunicorn"])
def test_a_killed_worker_takes_its_gauges_with_it_and_nothing_that_was_counted(
    start: Callable[..., Server], name: str
) -> None:
    """With gunicorn's hooks and without them."""
    shop = start(SERVERS[name])
    shop.show(100)
    for _request in range(20):
        assert json_of(shop.get("/api/search", "anna"))["on"]
    until(lambda: shop.evaluating() and shop.get("/healthz"), "a worker tells what it evaluates", 30)
    before, victim = counters(shop.metrics()), min(shop.evaluating())
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in shop.evaluating(), "the gauges of the dead worker are gone", 30)
    until(lambda: len(shop.workers()) == 2, "there is another worker", 30)
    assert json_of(shop.get("/api/search", "anna"))["on"]
    after = counters(shop.metrics())
    assert {name for name, value in before.items() if after.get(name, 0) < value} == set()


@pytest.mark.parametrize("name", ["flask-gunicorn", "fastapi-uvicorn"])
def test_a_stop_lets_the_request_in_progress_end(start: Callable[..., Server], name: str) -> None:
    shop = start(SERVERS[name])
    shop.get("/healthz")
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(shop.get("/slow", "anna")))
    slow.start()
    threading.Event().wait(0.5)
    assert shop.stop(), shop.log.read_text()
    slow.join(20)
    assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("flags", ["{", '{"flags": {"search": 3}}', '{"flags": {"search": {"state": "ENABLED"}}}'])
def test_a_bad_flag_file_at_the_start_is_features_off_and_no_user_sees_it(
    start: Callable[..., Server], flags: str
) -> None:
    shop = start(SERVERS["fastapi-uvicorn"], flags=flags)
    assert json_of(shop.get("/api/features", "anna")) == {"features": dict.fromkeys(FEATURES, False)}
    assert json_of(shop.get("/api/search", "anna"))["on"] is False
    assert shop.value("feature_flag_revision", flag="search") == 0
    shop.show(100)
    assert json_of(shop.get("/api/search", "anna"))["on"] is True


def test_a_feature_on_a_route_that_is_not_there_is_told(start: Callable[..., Server], tmp_path: Path) -> None:
    code = (
        "from flask import Flask\nfrom gradual_contract import Gradual\n"
        "app = Flask('shop')\nGradual(app, features={'search': ['/api/serach']})\n"
    )
    folder = tmp_path / "apps"
    folder.mkdir()
    (folder / "misspelt.py").write_text(code)
    shop = start(("gunicorn", "misspelt:app"), apps=folder)
    assert shop.get("/healthz").status == 200
    until(
        lambda: "features names the route /api/serach, which the application does not have" in shop.log.read_text(),
        "the log names the route",
        30,
    )
