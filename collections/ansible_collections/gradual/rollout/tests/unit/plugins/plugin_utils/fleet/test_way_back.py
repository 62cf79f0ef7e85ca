# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What hosts go back to when the ledger is lost, by what lies on them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.way_back import NOTHING, NoWayBack, ways_back


def release(version: str) -> dict[str, Any]:
    return {"version": version, "digest": version * 3, "directory": f"/opt/x/releases/{version}"}


def host(current: str | None, previous: str | None) -> dict[str, Any]:
    lying = sorted({version for version in (current, previous, "0.8") if version})
    return {
        "current": release(current) if current else None,
        "previous": release(previous) if previous else None,
        "releases": [release(version) for version in lying],
    }


GONE = {"failed": False, "lost_host": "app9", "msg": "lost"}


@pytest.mark.parametrize(
    ("hosts", "to", "wanted"),
    [
        ([host("2.0", "1.0")] * 3, "", ["1.0"] * 3),
        ([host("2.0", "1.0"), host("1.0", "0.9"), host("1.0", "0.9")], "", ["1.0"] * 3),
        ([host("1.0", "0.9"), host("2.0", "1.0"), host("1.0", None)], "", ["1.0"] * 3),
        (
            [host("2.0", "1.0"), host("1.0", "2.0")],
            "",
            "app1 is switched to 2.0, before that 1.0, app2 is switched to 1.0, before that 2.0",
        ),
        ([host("2.0", "0.9"), host("1.0", "0.9")], "", "rollback_to=VERSION"),
        ([host("2.0", "1.0"), host("1.0", "0.9"), host("1.5", "1.0")], "", "do not agree"),
        ([host("2.0", "1.0"), host("2.0", "0.9")], "", "do not agree on what ran before: app1 1.0, app2 0.9"),
        ([host("2.0", "1.0"), host("2.0", None)], "", "app2: no release is known to have run before"),
        ([host("2.0", None)], "", "app1: no release is known to have run before"),
        ([host("1.0", "0.9"), host("2.0", "1.0")], "0.8", ["0.8", "0.8"]),
        ([host("1.0", "0.9"), host("1.0", "0.9")], "1.0", ["1.0", "1.0"]),
        (
            [host("1.0", "0.9"), host("1.0", None)],
            "0.9",
            "app2: rollback_to: got '0.9', expected a version that is on the host: 0.8, 1.0",
        ),
        ([host("2.0", "1.0"), GONE], "", ["1.0"]),
        ([GONE, GONE], "", "no application host can be reached"),
    ],
)
def test_ways_back(hosts: list[dict[str, Any]], to: str, wanted: list[str] | str) -> None:
    named = {f"app{number}": each for number, each in enumerate(hosts, 1)}
    if isinstance(wanted, str):
        with pytest.raises(NoWayBack, match=wanted):
            ways_back(named, to)
    else:
        assert ways_back(named, to) == {f"app{number}": release(version) for number, version in enumerate(wanted, 1)}


def test_two_builds_of_one_version_are_told_apart() -> None:
    double = host("2.0", "1.0")
    double["releases"].append({**release("1.0"), "digest": "other"})
    with pytest.raises(NoWayBack, match=r"2 releases of version 1\.0 are there"):
        ways_back({"app1": double}, "1.0")


def test_a_host_on_which_users_never_had_a_release_goes_back_to_none() -> None:
    empty, first = host(None, None), host("2.0", None)
    first["current"]["admitted"] = False
    assert ways_back({"app1": first, "app2": empty}) == {"app1": NOTHING, "app2": NOTHING}
    switched = host("2.0", "1.0")
    switched["current"]["admitted"] = True
    assert ways_back({"app1": switched, "app2": first, "app3": empty}) == {
        "app1": release("1.0"),
        "app2": NOTHING,
        "app3": NOTHING,
    }
    first["current"]["admitted"] = True
    with pytest.raises(NoWayBack, match="app1: no release is known to have run before"):
        ways_back({"app1": first, "app2": empty})
