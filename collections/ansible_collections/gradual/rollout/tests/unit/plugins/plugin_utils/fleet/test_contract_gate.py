# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Why the schema may not be contracted yet: each reason alone, and none when nothing old is left."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.clients import addresses, plain
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.contract_gate import contract_objections

NEW, OLD = "b" * 64, "a" * 64
SWITCHED = epoch("2026-01-01T10:00:00.000000Z")
NOW = epoch("2026-01-05T12:00:00.000000Z")


def host(digest: str = NEW, release: str = "2.0.0") -> dict[str, Any]:
    return {"running": {"application": "storefront", "release": release, "digest": digest}}


def session(**changes: Any) -> dict[str, Any]:
    return {
        "pid": 7,
        "role": "storefront_app",
        "application_name": "storefront",
        "address": "192.0.2.11",
        "host": "app1",
        "begun": SWITCHED + 60,
        **changes,
    }


def objections(rollout: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    state = {
        "id": "storefront-2.0.0-1",
        "completed": True,
        "outcome": "completed",
        "finished": "2026-01-01T12:00:00.000000Z",
        "manifest": {"version": "2.0.0", "artifact": {"sha256": NEW}, "migrations": {}},
        "hosts": {
            "app1": {"switched": "2026-01-01T10:00:00.000000Z"},
            "app2": {"switched": "2026-01-01T10:10:00.000000Z"},
        },
        **(rollout or {}),
    }
    given = {
        "hosts": {"app1": host(), "app2": host()},
        "sessions": [session()],
        "owed": [{"name": "cents"}],
        "backfills": [{"name": "cents", "table": "orders", "finished": True, "left": {"rows": 0, "how": "counted"}}],
        "now": NOW,
        "soak_hours": 72,
        "confirm": "2.0.0",
        **changes,
    }
    return contract_objections(state, **given)


def test_nothing_old_is_left() -> None:
    assert objections() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"rollout": {"completed": False, "outcome": None}},
            "the newest rollout, storefront-2.0.0-1, is not completed (it is open); finish it with",
        ),
        (
            {"hosts": {"app1": host(), "app2": host(OLD, "1.0.0")}},
            "app2 runs 1.0.0, not 2.0.0 as it was rolled out; deploy that to it",
        ),
        (
            {"hosts": {"app1": host(), "app2": {"unreachable": True, "msg": "No route\nto host."}}},
            "so it counts as old (No route to host)",
        ),
        (
            {"hosts": {"app1": host(), "app2": None}},
            "app2 was left out of this run, so it counts as old; run without --limit",
        ),
        ({"hosts": {"app1": host(), "app2": {"running": None}}}, "app2 does not say what it runs, so it counts as old"),
        ({"hosts": {}}, "the inventory has no application host"),
        (
            {"sessions": [session(), session(pid=8, begun=SWITCHED - 1)]},
            (
                "1 database sessions may be of the old release: pid 8 (storefront_app, storefront, from app1: it began"
                " before app1 was switched to 2.0.0)"
            ),
        ),
        (
            {"sessions": [session(host=None, address="192.0.2.99")]},
            "from 192.0.2.99: that is no application host of the inventory",
        ),
        (
            {"sessions": [session(host=None, address=None)]},
            "from the database host: that is no application host of the inventory",
        ),
        ({"sessions": [session(application_name="storefront/1.0.0")]}, "it says that it is of 1.0.0"),
        (
            {
                "sessions": [session(host=None, address="192.0.2.50", begun=SWITCHED + 599)],
                "known_addresses": ["192.0.2.50"],
            },
            "it began before the last host was switched to 2.0.0",
        ),
        (
            {"rollout": {"hosts": {"app1": {"switched": None}}}},
            "nobody recorded since when app1 runs 2.0.0, and the session does not say its release",
        ),
        (
            {
                "rollout": {
                    "hosts": {"app1": {"switched": None, "before": {"digest": NEW}}},
                    "started": "2026-01-01T11:00:00.000000Z",
                }
            },
            "it began before app1 was switched to 2.0.0",
        ),
        (
            {
                "rollout": {"hosts": {"app2": {"switched": None}}},
                "sessions": [session(host=None, address="192.0.2.50")],
                "known_addresses": ["192.0.2.50"],
            },
            "nobody recorded since when every host runs 2.0.0",
        ),
        ({"sessions": None}, "the sessions of the database could not be read"),
        (
            {
                "backfills": [
                    {"name": "cents", "table": "orders", "finished": False, "left": {"rows": 9, "how": "counted"}}
                ]
            },
            (
                "the backfill cents is not complete (9 rows of orders are left, counted); run ansible-playbook"
                " playbooks/backfill.yml"
            ),
        ),
        ({"backfills": None}, "the backfill cents is not complete (its progress could not be read)"),
        ({"soak_hours": 97}, "all users have had 2.0.0 for 96.0 h, and 97 h are wanted; come back in 1.0 h"),
        ({"confirm": ""}, "nobody has said so; to go on: -e contract_confirm=2.0.0"),
        ({"confirm": "1.0.0"}, "contract_confirm is '1.0.0'; to go on: -e contract_confirm=2.0.0"),
    ],
)
def test_each_reason_is_told_with_what_to_do(changes: dict[str, Any], said: str) -> None:
    found = objections(**changes)
    assert len(found) == 1, found
    assert said in found[0]


def test_poolers_and_sessions_with_the_new_version_are_let_through() -> None:
    assert (
        objections(
            sessions=[session(host=None, address="192.0.2.50", begun=SWITCHED + 601)], known_addresses=["192.0.2.50"]
        )
        == []
    )
    assert objections(sessions=[session(application_name="storefront 2.0.0")]) == []


def test_nothing_is_known_of_an_empty_ledger() -> None:
    empty: dict[str, Any] = {"id": None, "open": False, "outcome": None, "manifest": None, "hosts": {}}
    found = contract_objections(empty, {"app1": host()}, [], [], None, NOW)
    assert [one.partition(",")[0] for one in found] == [
        "the newest rollout",
        "app1 runs 2.0.0",
        "all users have had the release for 0.0 h",
        "past this point rollback.yml cannot put the old code back",
    ]


def test_all_reasons_are_told_at_once() -> None:
    assert (
        len(
            objections(
                {"completed": False},
                hosts={"app1": None, "app2": host(OLD)},
                backfills=None,
                confirm="",
                soak_hours=1000,
            )
        )
        == 6
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("FE80::1%eth0", "fe80::1"), ("192.0.2.7", "192.0.2.7")],
)
def test_an_address_has_one_spelling(address: str, expected: str) -> None:
    assert plain(address) == expected


def test_a_name_is_resolved_and_one_that_nobody_knows_has_no_address() -> None:
    assert "127.0.0.1" in addresses("localhost") | addresses("127.0.0.1")
    assert addresses("nobody.invalid") == set()
