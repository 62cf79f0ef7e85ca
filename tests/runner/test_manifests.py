"""A wrong manifest is one clear error, before anything has changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import fleet, seen
from tests.support.fixtures import Run

ELSEWHERE = "http://mon1:8000/artifacts"
SEARCH = {"flag": "search", "smoke": []}

# name → (what is wrong, texts that the one error must hold: the path, the value seen or what to write)
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown key": ({"stges": [25, 50, 100]}, ["stges", "stages"]),
    "unknown key inside": ({"gate": {"tolerated": 1.5}}, ["gate", "tolerated"]),
    "stages not rising": ({"stages": [25, 25, 100]}, ["stages", "25"]),
    "stages end before all users": ({"stages": [25, 50]}, ["stages", "100"]),
    "bad percentage": ({"stages": [25, 150]}, ["stages", "150"]),
    "percentage of nobody": ({"stages": [0, 100]}, ["stages", "0"]),
    "no digest": ({"artifact": {"url": f"{ELSEWHERE}/storefront-2.0.0.tar.gz"}}, ["artifact.sha256"]),
    "digest that is none": (
        {"artifact": {"url": f"{ELSEWHERE}/storefront-2.0.0.tar.gz", "sha256": "abc"}},
        ["artifact.sha256", "abc"],
    ),
    "unknown canary": ({"canary": "app9"}, ["canary", "app9", "app1"]),
    "canary outside of the application hosts": ({"canary": "database"}, ["canary", "database"]),
    "blank answer of a survey": ({"version": ""}, ["version"]),
    "bake longer than it may": ({"bake": {"min": 90, "max": 60, "look": 10, "expiry": 60}}, ["bake"]),
    "probe without a path": ({"features": [{"flag": "search", "smoke": [{"name": "x"}]}]}, ["features", "path"]),
    "two features of one flag": ({"features": [SEARCH, SEARCH]}, ["features", "search"]),
    "artifact that is not there": (
        {"artifact": {"url": f"{ELSEWHERE}/storefront-9.9.9.tar.gz", "sha256": "0" * 64}},
        ["storefront-9.9.9.tar.gz", "404"],
    ),
    "artifact with another digest": (
        {"artifact": {"url": f"{ELSEWHERE}/storefront-2.0.0.tar.gz", "sha256": "0" * 64}},
        ["storefront-2.0.0.tar.gz", "0" * 64],
    ),
    "address that nobody answers": (
        {"artifact": {"url": "http://mon1:1/storefront-2.0.0.tar.gz", "sha256": "0" * 64}},
        ["http://mon1:1/"],
    ),
}


@pytest.fixture(scope="module")
def before(baseline: None) -> dict[str, Any]:
    return fleet.snapshot()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_manifest_is_one_clear_error_and_changes_nothing(run: Run, before: dict[str, Any], name: str) -> None:
    changes, texts = WRONG[name]
    ran = run("deploy.yml", "-e", "@releases/epic21.yml", "-e", json.dumps(changes))
    assert ran.status != 0
    messages = seen.errors(ran.folder)
    assert len(messages) == 1, f"wanted is one error, got {len(messages)}: {messages}"
    assert all(text in messages[0] for text in texts), f"{texts} not all in: {messages[0]}"
    assert "Traceback" not in ran.screen
    assert seen.changed(ran.folder) == []
    assert seen.warnings(ran.folder) == []


def test_after_all_of_them_nothing_has_changed(before: dict[str, Any]) -> None:
    assert fleet.snapshot() == before


def test_every_mistake_is_named_at_once(run: Run, baseline: None) -> None:
    ran = run(
        "deploy.yml",
        "-e",
        "@releases/epic21.yml",
        "-e",
        json.dumps({"stages": [50, 25], "bake": {"min": -1}, "cannary": "app1"}),
    )
    (message,) = seen.errors(ran.folder)
    for text in ("stages", "bake.min", "cannary"):
        assert text in message, f"{text} is not named in: {message}"
