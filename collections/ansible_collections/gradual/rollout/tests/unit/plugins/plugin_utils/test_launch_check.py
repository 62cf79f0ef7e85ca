# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What keeps a playbook from beginning, as options and groups; how ansible-playbook says it is in
tests/sandbox/test_opening.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.plugin_utils.launch_check import (
    OLDEST,
    objection,
    too_old,
    without_database,
)

FLEET = {
    "application": ["app1", "app2"], "database": ["db1", "db2"], "balancer": ["lb1"], "monitoring": ["mon1", "mon2"],
    "ledger": ["mon2"], "database_primary": ["db1"], "all": ["app1"],
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "subset": None,
    "tags": ("all",),
    "skip_tags": (),
    "start_at_task": None,
    "step": False,
    "inventory": ("production",),
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"listtags": True, "tags": ("never", "all")},
        {"skip_tags": ("molecule-notest", "notest")},
        {"tags": ()},
        {"check": True, "diff": True},
    ],
)
def test_a_whole_playbook_may_begin(options: dict[str, Any]) -> None:
    assert objection({**WHOLE, **options}, FLEET) is None
    assert objection({**WHOLE, **options}, FLEET, limit_allowed=True) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"subset": "app1"},
            (
                "was given --limit app1. Launch it again without that (in AWX: leave Limit, Job Tags and Skip Tags"
                " empty). To keep a host "
            ),
        ),
        ({"subset": "all"}, "was given --limit all."),
        ({"tags": ("x", "all", "a")}, "was given --tags a,x."),
        ({"listtags": True, "tags": ("x",)}, "was given --tags x."),
        ({"tags": ("never", "all")}, "was given --tags never."),
        ({"skip_tags": ("x", "notest")}, "was given --skip-tags x."),
        ({"start_at_task": "Do it"}, "was given --start-at-task 'Do it'."),
        ({"step": True}, "was given --step."),
        ({"subset": "!app3", "tags": ("x",)}, "was given --limit !app3 --tags x. Launch it again without these "),
    ],
)  # fmt: skip
def test_an_option_that_leaves_something_out_is_named(options: dict[str, Any], said: str) -> None:
    told = objection({**WHOLE, **options}, FLEET)
    assert told is not None
    assert told.startswith("nothing was done: ")
    assert said in told


def test_only_a_limit_is_allowed_where_it_is() -> None:
    assert objection({**WHOLE, "subset": "app1"}, FLEET, limit_allowed=True) is None
    told = objection({**WHOLE, "subset": "app1", "tags": ("x",)}, FLEET, limit_allowed=True)
    assert (
        told
        == "nothing was done: this playbook is played in one piece, and was given --tags x. Launch it again without"
        " that "
        "(in AWX: leave Job Tags and Skip Tags empty)."
    )


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (dict.fromkeys(FLEET), "no host in application, database, balancer, monitoring, ledger, database_primary"),
        ({"balancer": []}, "no host in balancer."),
        ({"ledger": ["mon1", "mon2"]}, "ledger must have exactly one host, and has mon1, mon2"),
        ({"database_primary": ["db1", "db2"]}, "database_primary must have exactly one host"),
        ({"ledger": ["app1"]}, "app1 of the group ledger is not in the group monitoring (mon1, mon2)"),
        ({"database_primary": ["db3"]}, "db3 of the group database_primary is not in the group database (db1, db2)"),
        ({"database": []}, "no host in database; for an application without a database, both"),
        ({"database_primary": []}, "no host in database_primary; for an application without a database, both"),
        ({"database": None, "database_primary": None}, "no host in database, database_primary; for an application"),
    ],
)
@pytest.mark.parametrize("limit_allowed", [False, True])
def test_a_group_that_is_missing_or_wrong_is_named(groups: dict[str, Any], said: str, limit_allowed: bool) -> None:
    told = objection(WHOLE, {**FLEET, **groups}, limit_allowed)
    assert told is not None
    assert said in told
    assert told.startswith("nothing was done: -i production is not the inventory of a whole fleet: ")
    assert "Name the right one with -i; inventories/example shows the groups." in told


WITHOUT_DATABASE: dict[str, Any] = {**FLEET, "database": [], "database_primary": []}


def test_an_inventory_may_say_that_there_is_no_database() -> None:
    assert without_database(WITHOUT_DATABASE)
    assert objection(WHOLE, WITHOUT_DATABASE) is None
    assert not without_database(FLEET)


def test_one_that_lacks_the_groups_says_nothing_about_a_database() -> None:
    assert not without_database({name: hosts for name, hosts in FLEET.items() if "database" not in name})


def test_what_works_on_the_database_needs_one() -> None:
    told = objection(WHOLE, WITHOUT_DATABASE, needs_database=True)
    assert told is not None
    assert "works on the database, and the inventory has none" in told
    assert objection(WHOLE, FLEET, needs_database=True) is None


@pytest.mark.parametrize("core", ["2.19.0", "2.19.0rc1", "2.21.5", "2.22.0.dev0", "3.0.0"])
def test_a_supported_ansible_may_begin(core: str) -> None:
    assert too_old(core) is None


@pytest.mark.parametrize("core", ["2.9.27", "2.18.12", "1.9"])
def test_an_ansible_that_is_too_old_is_named(core: str) -> None:
    told = too_old(core)
    assert told is not None
    assert told.startswith(
        f"nothing was done: this is ansible-core {core}, and Gradual needs 2.19 or newer: pip install"
    )


def test_the_collection_declares_the_same_version() -> None:
    runtime = yaml.safe_load((Path(__file__).parents[4] / "meta/runtime.yml").read_text())
    assert runtime["requires_ansible"] == f">={OLDEST[0]}.{OLDEST[1]}.0"
