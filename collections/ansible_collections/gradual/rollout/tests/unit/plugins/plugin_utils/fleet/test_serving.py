# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Who gets users from which balancer, by the ledger and by the balancers' own words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import serving
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.hosts import servers_on_balancers

HOSTS = ["app1", "app2", "app3"]


def servers(**words: str) -> list[dict[str, Any]]:
    """Servers as haproxy_server_info returns them, by HAProxy's word; app1 to app3 are UP unless something else is
    said."""
    states = {"UP": "ready", "UP 1/2": "ready", "DOWN": "down", "MAINT": "maintenance", "DRAIN": "drained"}
    known = {**dict.fromkeys(HOSTS, "UP"), **words}
    return [{"name": name, "state": states[word], "status": word, "check": "L7STS/503" if word == "DOWN" else "L7OK",
             "up": word == "UP"}
            for name, word in known.items() if word]  # fmt: skip


def rollout(before: Any = None, **hosts: Any) -> dict[str, Any]:
    known = {name: {"now": "untouched", "drained": False, **hosts.get(name, {})} for name in HOSTS}
    return {"hosts": known, "servers": servers_on_balancers(before) if before else None}


def test_what_was_up_at_the_beginning_is_kept_for_each_balancer() -> None:
    known = rollout({"lb1": servers(app3="MAINT"), "lb2": servers(app1="DOWN", app2="DRAIN")})
    assert serving.up_before(known, "lb1") == ["app1", "app2"]
    assert serving.up_before(known, "lb2") == ["app3"]
    assert serving.up_before(known, "lb3") is None
    assert serving.up_before(rollout(), "lb1") is None
    assert serving.up_before({}, "lb1") is None


@pytest.mark.parametrize(
    ("hosts", "switched"),
    [
        ({}, []),
        ({"app2": {"now": "released"}, "app1": {"now": "released"}}, ["app1", "app2"]),
        ({"app1": {"now": "released", "drained": True}, "app2": {"now": "returned"}, "app3": {"now": "lost"}}, []),
    ],
)
def test_hosts_that_users_have_the_release_on(hosts: dict[str, Any], switched: list[str]) -> None:
    assert serving.switched_hosts(rollout(**hosts)) == switched


BEFORE = {"lb1": servers(), "lb2": servers(app3="MAINT")}


@pytest.mark.parametrize(
    ("now", "wrong", "away"),
    [
        ({"lb1": servers(), "lb2": servers()}, [], []),
        (
            {"lb1": servers(), "lb2": servers(app3="MAINT")},
            [],
            ["lb2 sends no users to app3 (MAINT, its check says L7OK)"],
        ),
        (
            {"lb1": servers(app2="DOWN"), "lb2": servers()},
            ["lb1 sends no users to app2 (DOWN, its check says L7STS/503)"],
            [],
        ),
        (
            {"lb1": servers(), "lb2": servers(app2="UP 1/2")},
            ["lb2 sends no users to app2 (UP 1/2, its check says L7OK)"],
            [],
        ),
        ({"lb1": servers(), "lb2": servers(app1="")}, ["lb2 sends no users to app1 (not in the backend)"], []),
    ],
)
def test_every_balancer_sends_users_where_it_sent_them_before(now: Any, wrong: list[str], away: list[str]) -> None:
    assert serving.out_of_traffic(rollout(BEFORE), now, HOSTS) == {"wrong": wrong, "away": away}


def test_a_host_that_was_switched_must_be_in_traffic_wherever_it_was_before() -> None:
    down = {"lb1": servers(app3="DOWN")}
    assert serving.out_of_traffic(rollout(), down, HOSTS)["wrong"] == []
    assert serving.out_of_traffic(rollout(app3={"now": "released"}), down, HOSTS)["wrong"] == [
        "lb1 sends no users to app3 (DOWN, its check says L7STS/503)"
    ]


def test_a_server_with_users_that_the_inventory_does_not_know_is_named() -> None:
    servers = [
        {"name": name, "state": state}
        for name, state in (("app1", "ready"), ("app2", "ready"), ("app3", "maintenance"), ("app4", "down"))
    ]
    (told,) = serving.strangers({"lb1": servers}, ["app1"])
    assert told.startswith("lb1: it sends users to app2, which is not in the inventory's group application")
    assert serving.strangers({"lb1": servers, "lb2": []}, ["app1", "app2"]) == []
