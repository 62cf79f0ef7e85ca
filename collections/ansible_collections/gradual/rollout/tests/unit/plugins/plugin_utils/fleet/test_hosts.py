# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What a rollout makes of the hosts it finds: tables of hosts and balancers in, problems and ways back out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import hosts as fleet_hosts

OLD, NEW = "1" * 64, "2" * 64
APPLICATION = ["app1", "app2", "app3"]


def release(version: str, digest: str, **more: Any) -> dict[str, Any]:
    return {"version": version, "digest": digest, "directory": f"/opt/shop/releases/{version}-{digest[:12]}", **more}


def host(**changes: Any) -> dict[str, Any]:
    """A host on which the old release serves users."""
    return {
        "clock_off": 0.0, "free_bytes": {"/opt/shop": 10**10}, "free_inodes": {"/opt/shop": 10**6}, "unwritable": {},
        "root": "/opt/shop",
        "links": {"current": "release", "previous": "missing"}, "current": release("1", OLD, admitted=True),
        "previous": None,
        "releases": [release("1", OLD)], "running": {"release": "1", "digest": OLD}, "flags": None, "unit": "active",
        "unit_load": "loaded", **changes,
    }  # fmt: skip


EMPTY: dict[str, Any] = {
    "links": {"current": "missing", "previous": "missing"},
    "current": None,
    "running": None,
    "releases": [],
    "unit": "inactive",
}
NEVER_ADMITTED = {"current": release("2", NEW, admitted=False), "running": {"release": "2", "digest": NEW}}


def servers(*states: str) -> list[dict[str, str]]:
    return [{"name": name, "state": state} for name, state in zip(APPLICATION, states)]


UP = servers("ready", "ready", "ready")


def problems(
    hosts: dict[str, dict[str, Any]] | None = None, balancers: dict[str, Any] | None = None, **more: Any
) -> list[str]:
    """Of three hosts that serve, with changes by host, and one balancer."""
    found = {name: host(**(hosts or {}).get(name, {})) for name in more.get("application", APPLICATION)}
    return fleet_hosts.fleet_problems(
        found, {"lb1": UP} if balancers is None else balancers, **{"application": APPLICATION, **more}
    )


def test_a_good_fleet_has_no_problems() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"clock_off": 9.0}, "app2: its clock is +9 s off"),
        ({"free_bytes": {"/opt/shop": 10**6}}, "app2: 0 MB are free at /opt/shop, 500 MB are needed"),
        ({"free_inodes": {"/opt/shop": 12}}, "app2: 12 inodes are free at /opt/shop, 10000 are needed"),
        ({"unwritable": {"/opt/shop": "its file system is read-only"}},
         "app2: Gradual must write below /opt/shop, and its file system is read-only"),
        ({"unit_load": "not-found"}, "app2: systemd must be able to start shop.service, and says that it is not-found"),
        ({"unit_load": "masked"}, "says that it is masked"),
        ({"links": {"current": "directory"}, "current": None},
         ("app2: /opt/shop/current is a directory, and must be a link to a release below /opt/shop/releases; move it"
          " away: mv /opt/shop/current /opt/shop/current.old, then: ln -s releases/NAME /opt/shop/current")),
        ({"links": {"current": "file"}, "current": None, "releases": []}, "mv /opt/shop/current /opt/shop/current.old"),
        ({"links": {"current": "release", "previous": "directory"}},
         "app2: /opt/shop/previous is a directory, and must be a link"),
        ({"links": {"current": "foreign"}, "current": None},
         "leads to something that is no release of Gradual (it has no .release.json)"),
        ({"links": {"current": "broken"}, "current": None, "running": None}, "app2: /opt/shop/current leads nowhere"),
    ],
)  # fmt: skip
def test_a_host_is_named_with_what_is_wrong_with_it(changes: dict[str, Any], wanted: str) -> None:
    found = problems({"app2": changes}, unit="shop.service")
    assert len(found) == 1
    assert wanted in found[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"free_inodes": {"/opt/shop": None}},  # btrfs counts none
        {"unit_load": None},  # no systemd
        {"links": {"current": "release", "previous": "broken"}},  # nobody goes there
        EMPTY,
    ],
)
def test_what_is_no_problem(changes: dict[str, Any]) -> None:
    assert problems({"app3": changes}) == []


def test_only_application_hosts_need_the_unit_and_the_links() -> None:
    odd = host(
        unit_load="not-found", links={"current": "directory"}, unwritable={"/opt/shop": "there is no such directory"}
    )
    assert fleet_hosts.fleet_problems({"db1": odd}, {}, []) == []


def asked(**answer: Any) -> dict[str, Any]:
    return {"results": [{"name": "front door", "passed": False, "seen": answer, "wanted": {"status": 200}}]}


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        (asked(status=200), None),
        (asked(status=503), None),  # nothing runs yet, and that is for others to say
        (
            asked(error="Name or service not known"),
            "lb1: probes ask for the front door from there and cannot reach it: Name or service not known",
        ),
        ({"results": [], "msg": "ca_path: /x cannot be read"}, "cannot reach it: ca_path: /x cannot be read"),
        ({"skipped": True}, None),
    ],
)
def test_the_front_door(result: dict[str, Any], wanted: str | None) -> None:
    found = problems(front_door={"lb1": result})
    assert (found == []) if wanted is None else (len(found) == 1 and wanted in found[0])


OUT, DOWN, READY = "maintenance", "down", "ready"


@pytest.mark.parametrize(
    ("states", "least", "wanted"),
    [
        ([READY, READY, READY], None, None),
        ([READY, READY, OUT], None, None),
        (
            [READY, OUT, OUT],
            None,
            (
                "app1 is the only application host that serves users there (app1 ready, app2 maintenance, app3"
                " maintenance)"
            ),
        ),
        ([READY, OUT, OUT], 0, None),
        ([READY, OUT, OUT], "0", None),
        ([READY, OUT, OUT], "", "write min_in_traffic: 0 in the inventory"),
        (
            [READY, OUT, OUT],
            1,
            "zero downtime is not possible. Bring another host into traffic first, or accept the interruption",
        ),
        (
            [READY, READY, READY],
            3,
            (
                "and min_in_traffic is 3, so none can be taken out of traffic; bring one more into traffic, or write"
                " min_in_traffic: 2"
            ),
        ),
        ([READY, READY, READY], 2, None),
        (
            [OUT, OUT, DOWN],
            None,
            (
                "no application host serves users there (app1 maintenance, app2 maintenance, app3 down), though app1,"
                " app2, app3 could"
            ),
        ),
        ([OUT, OUT, DOWN], 0, None),  # the interruption is accepted
    ],
)
def test_enough_servers_stay_in_traffic(states: list[str], least: int | str | None, wanted: str | None) -> None:
    found = problems(balancers={"lb1": servers(*states)}, min_in_traffic=least)
    assert (found == []) if wanted is None else (len(found) == 1 and wanted in found[0]), found
    assert problems(balancers={"lb1": servers(*states)}, min_in_traffic=least, begins=False) == [], (
        "a rollout that goes on has drained them itself"
    )


def test_each_balancer_is_judged_by_itself() -> None:
    """Together they have three in traffic; the second one has one."""
    found = problems(balancers={"lb1": UP, "lb2": servers(OUT, OUT, READY)})
    assert len(found) == 1
    assert found[0].startswith("lb2: app3 is the only application host")


@pytest.mark.parametrize("changes", [EMPTY, NEVER_ADMITTED])
def test_before_a_first_release_nobody_has_to_serve(changes: dict[str, Any]) -> None:
    everywhere = dict.fromkeys(APPLICATION, changes)
    assert problems(everywhere, balancers={"lb1": servers(DOWN, OUT, DOWN)}) == []
    assert len(problems(everywhere, balancers={"lb1": [{"name": "app1", "state": DOWN}]})) == 2, (
        "but each balancer must know the hosts"
    )


def test_a_release_that_was_never_admitted_does_not_serve() -> None:
    found = problems({"app1": NEVER_ADMITTED, "app2": EMPTY}, balancers={"lb1": servers(OUT, DOWN, OUT)})
    assert len(found) == 1
    assert "though app3 could" in found[0]


def test_one_host_alone() -> None:
    alone: dict[str, Any] = {"application": ["app1"], "balancers": {"lb1": servers(READY)}}
    assert "zero downtime is not possible" in problems(**alone)[0]
    assert problems(**alone, min_in_traffic=0) == []
    assert fleet_hosts.restart_is_felt({"app1": host()}, alone["balancers"], ["app1"])
    assert not fleet_hosts.restart_is_felt({"app1": host(**EMPTY)}, {"lb1": servers(DOWN)}, ["app1"]), (
        "nobody is served before the first release"
    )
    assert not fleet_hosts.restart_is_felt({name: host() for name in APPLICATION}, {"lb1": UP}, APPLICATION)


PLAIN = release("1", OLD)


@pytest.mark.parametrize(
    ("changes", "state", "wanted"),
    [
        ({}, READY, PLAIN),
        ({}, OUT, PLAIN),  # admitted once, and out of traffic now
        (EMPTY, DOWN, None),
        (NEVER_ADMITTED, OUT, None),
        (NEVER_ADMITTED, DOWN, None),
        (NEVER_ADMITTED, READY, release("2", NEW)),  # users have it, whatever the host has noted
        ({**NEVER_ADMITTED, "previous": release("1", OLD, admitted=True)}, OUT, PLAIN),
    ],
)
def test_a_release_that_was_never_admitted_is_never_what_was_before(
    changes: dict[str, Any], state: str, wanted: dict[str, Any] | None
) -> None:
    assert fleet_hosts.releases_on_hosts({"app1": host(**changes)}, {"lb1": servers(state)}) == {"app1": wanted}


def test_where_a_host_was_out_of_traffic_is_known_later() -> None:
    recorded = fleet_hosts.servers_on_balancers(
        {"lb1": servers(OUT, DOWN, READY), "lb2": servers(READY, "drained", READY)}
    )
    assert recorded["lb1"] == {"app1": OUT, "app2": DOWN, "app3": READY}
    rollout = {"servers": recorded}
    assert [fleet_hosts.found_out_of_traffic(rollout, name) for name in APPLICATION] == [["lb1"], ["lb2"], []]
    assert fleet_hosts.found_out_of_traffic({"servers": None}, "app1") == [], (
        "a rollout that was begun before this was recorded"
    )


PAGE, NEW_PAGE, ORDER = (
    {"name": "page", "path": "/"},
    {"name": "new", "path": "/new"},
    {"name": "order", "path": "/", "method": "POST"},
)


def probed(**passed: bool) -> dict[str, Any]:
    wanted = {"status": 200}
    return {
        "results": [
            {"name": name, "passed": good, "wanted": wanted, "seen": wanted if good else {"status": 404}}
            for name, good in passed.items()
        ]
    }


def test_what_changes_something_is_not_asked_of_what_runs() -> None:
    assert fleet_hosts.probes_of([PAGE, ORDER, {"name": "head", "path": "/", "method": "head"}]) == [
        PAGE,
        {"name": "head", "path": "/", "method": "head"},
    ]


@pytest.mark.parametrize(
    ("found", "held", "failed"),
    [
        ({}, [], []),
        ({"app1": {"skipped": True}}, [], []),
        ({"app1": probed(page=True, new=False)}, ["page"], ["app1: new: status is 404 and not 200"]),
        (
            {"app1": probed(page=True, new=True), "app2": probed(page=True, new=False)},
            ["page"],
            ["app2: new: status is 404 and not 200"],
        ),
    ],
)
def test_smoke_tests_that_hold_now(found: dict[str, Any], held: list[str], failed: list[str]) -> None:
    assert fleet_hosts.smoke_now(found) == {"held": held, "failed": failed}


@pytest.mark.parametrize(
    ("smoke", "digest", "wanted"),
    [
        ({"held": ["page"]}, NEW, [PAGE, NEW_PAGE, ORDER]),
        ({"held": ["page"]}, OLD, [PAGE]),
        ({"held": []}, OLD, []),
        (None, OLD, [PAGE, NEW_PAGE, ORDER]),  # begun before this was recorded
    ],
)
def test_what_a_release_must_pass(smoke: dict[str, Any] | None, digest: str, wanted: list[dict[str, Any]]) -> None:
    rollout = {"manifest": {"artifact": {"sha256": NEW}, "smoke": [PAGE, NEW_PAGE, ORDER]}, "smoke": smoke}
    assert fleet_hosts.smoke_of(rollout, digest) == wanted


@pytest.mark.parametrize(
    ("users", "key"),
    [({"users": {"key": "header X-User"}}, "header X-User"), ({"users": {"key": "cookie visitor"}}, None), ({}, None)],
)
def test_smoke_tests_are_sent_as_the_manifest_says(users: dict[str, Any], key: str | None) -> None:
    page, mine = {"name": "page", "path": "/"}, {"name": "mine", "path": "/mine", "user": "smoke"}
    feature = {"flag": "search", "smoke": [{**mine, "flag": "on"}]}
    manifest = {"smoke": [page, mine], "features": [feature], "artifact": {"sha256": "d"}, **users}
    asked = [fleet_hosts.smoke_of({"manifest": manifest}, "d"), fleet_hosts.probes(manifest, with_feature=True)]
    for probes in asked:
        assert [probe.get("user_key") for probe in probes] == [None, key, key][: len(probes)]
