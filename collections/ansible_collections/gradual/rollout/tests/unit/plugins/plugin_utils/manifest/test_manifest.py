# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The release manifest: each wrong one is named with its path, what was seen, and what to write instead."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest import document as manifest
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.schema import SPEC
from ansible_collections.gradual.rollout.tests.unit.places import PROJECT, needs_checkout
from ansible_collections.gradual.rollout.tests.unit.sample_manifest import DIGEST, GOOD, GROUPS, ORDERS, changed
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "key", [{"app": "social_django"}, {"revision": "social_django.0009_auto"}, {"pattern": "social_*.00[01]?_*"}]
)
def test_phases_of_the_files_of_others_are_kept_as_they_are_written(key: dict[str, str]) -> None:
    phases = [{**key, "phase": "expand", "reason": "only adds columns"}]
    checked, mistakes = manifest.check(changed(migrations__adapter="django", migrations__phases=phases), GROUPS)
    assert (checked["migrations"]["phases"], mistakes) == (phases, [])


@pytest.mark.parametrize("target", ["0003", "shop.0003_note", "V1.2__add notes", "view@v1", "R__views.1f2e3d4c"])
def test_a_target_is_named_as_its_tool_names_it(target: str) -> None:
    assert manifest.check(changed(migrations__target=target), GROUPS)[1] == []


def test_a_good_manifest_gets_its_defaults() -> None:
    checked, mistakes = manifest.check(GOOD, GROUPS)
    assert mistakes == []
    assert checked["backup"] == {"method": "dump", "level": "restored"}
    assert checked["hosts"]["database"] == "database"
    assert checked["migrations"] == {"adapter": "alembic", "path": "migrations", "target": "0003"}
    assert (checked["on_abort"], checked["approval"], checked["gate"]["alpha"]) == ("release", False, 0.05)
    assert checked["smoke"] == [{"name": "page", "path": "/", "method": "GET", "headers": {}, "status": 200}]
    assert checked["features"][1] == {"flag": "cart", "smoke": []}


def test_checking_again_changes_nothing() -> None:
    checked, _mistakes = manifest.check(GOOD)
    assert manifest.check(checked) == (checked, [])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"artifact": ...}, ["artifact: missing, got nothing; write {url: https://"]),
        ({"artifact": ""}, ['artifact: missing, got ""; write {url: https://']),
        (
            {"artifact__sha256": ...},
            ["artifact.sha256: missing, got nothing; write the 64 hex digits of: sha256sum FILE"],
        ),
        (
            {"artifact__sha256": "abc"},
            ['artifact.sha256: not of the right form, got "abc"; write the 64 hex digits of: sha256sum FILE'],
        ),
        (
            {"artifact__sha256": DIGEST + "a"},
            [f'artifact.sha256: not of the right form, got "{DIGEST}a"; write the 64 hex digits of: sha256sum FILE'],
        ),
        (
            {"artifact__url": "file:///etc/passwd"},
            ['artifact.url: not an http or https URL, got "file:///etc/passwd"; write https://host/path.tar.gz'],
        ),
        (
            {"artifact__url": "http://"},
            ['artifact.url: a URL without a host, got "http://"; write https://host/path.tar.gz'],
        ),
        (
            {"artifact__url": "http://h:x/"},
            [
                (
                    "artifact.url: not a URL (Port could not be cast to integer value as 'x'), got \"http://h:x/\";"
                    " write"
                    " https://host/path.tar.gz"
                )
            ],
        ),
        (
            {"artifact__url": "http://u:p@h/"},
            ["artifact.url: a URL with a user or password in it, which would show in records, "],
        ),
        ({"artifact__nix": 1}, ["artifact.nix: no such key, got 1; write one of url, sha256"]),
        ({"featurs": []}, ["featurs: no such key, got []; write features"]),
        ({"bake__loook": 3}, ["bake.loook: no such key, got 3; write look"]),
        ({"features__0__smoke__0__pth": "/"}, ['features[0].smoke[0].pth: no such key, got "/"; write path']),
        (
            {"release": {"waves": [1, "ten"]}},
            ['release.waves[1]: not a number of hosts, got "ten"; write a number such as 5, or a percentage of all'],
        ),
        (
            {"release": {"waves": [1, 0, "0%", "101%", 1.5]}},
            [f"release.waves[{place}]: not a number of hosts" for place in (1, 2, 3, 4)],
        ),
        ({"release": {"waves": "[]"}}, ['release.waves: empty, got []; write [1, "100%"], or leave it out']),
        (
            {"release": {"waves": ["10%"]}},
            ['release.waves[0]: the first wave is the canary, which is one host, got "10%"; write [1, "10%"]'],
        ),
        ({"release": {"wave": [1]}}, ["release.wave: no such key, got [1]; write waves"]),
        ({"stages": [50, 25, 100]}, ["stages: not rising, got [50, 25, 100]; write [25, 50, 100]"]),
        ({"stages": [25, 25, 100]}, ["stages: not rising, got [25, 25, 100]; write [25, 100]"]),
        ({"stages": [25, 50]}, ["stages: the last one is not 100, got [25, 50]; write [25, 50, 100]"]),
        ({"version": []}, ["version: missing, got []; write 2.0.0"]),
        ({"stages": "- 25\n- 50"}, ["stages: the last one is not 100, got [25, 50]; write [25, 50, 100]"]),
        ({"stages": "-5"}, ["stages[0]: not a percentage of users, got -5"]),
        ({"stages": "25 to 100"}, ["stages[0]: not a whole number"]),
        ({"bake": "10 minutes"}, ['bake: not a mapping, got "10 minutes"; write a mapping, as YAML or JSON']),
        ({"bake": "min: 10: 20"}, ['bake: not a mapping, got "min: 10: 20"; write a mapping, as YAML or JSON']),
        ({"features": "flag: search"}, ['features: not a list, got "flag: search"; write a list, as YAML or JSON']),
        ({"features": "- &a [*a]"}, ["features"]),
        ({"stages": [0, 100]}, ["stages[0]: not a percentage of users, got 0; write 1 to 100"]),
        ({"stages": [25, 101]}, ["stages[1]: not a percentage of users, got 101; write 1 to 100"]),
        ({"stages": [12.5, 100]}, ["stages[0]: not a whole number, got 12.5; write a whole number"]),
        ({"stages": "25;100"}, ['stages[0]: not a whole number, got "25;100"; write a whole number']),
        ({"stages": {"a": 1}}, ['stages: not a list, got {"a": 1}; write a list']),
        ({"features__1__flag": "search"}, ['features[1].flag: twice in the list, got "search"; write each flag once']),
        ({"features": ["search"]}, ['features[0]: not a mapping, got "search"; write a mapping, as YAML or JSON']),
        ({"features__0__smoke__0__flag": "onn"}, ['features[0].smoke[0].flag: not known, got "onn"; write on']),
        ({"smoke__0__path": "page"}, ['smoke[0].path: not of the right form, got "page"; write /api/products']),
        ({"smoke__0__status": 99}, ["smoke[0].status: too small, got 99; write 100 or more"]),
        (
            {"smoke__0__headers": {"Authorization": "Bearer x"}},
            ['smoke[0].headers.Authorization: would be kept in the record, got "Authorization"; write '],
        ),
        (
            {"bake__min": 200},
            ["bake.min: longer than bake.max, got 200 and 120; write 120 or less, or a larger bake.max"],
        ),
        (
            {"bake__look": 30, "bake__expiry": 30},
            [
                (
                    "bake.expiry: the stage would expire before the next look, got 30 with looks every 30 s; write"
                    " 90 or more"
                )
            ],
        ),
        (
            {"bake__look": 500, "bake__expiry": 600},
            ["bake.look: longer than bake.max, got 500 and 120; write 120 or less"],
        ),
        ({"bake__min": "soon"}, ['bake.min: not a whole number, got "soon"; write a whole number']),
        ({"gate": {"alpha": 2}}, ["gate.alpha: too large, got 2; write 0.9999 or less"]),
        (
            {"gate": {"margin": 1.2}},
            ["gate.margin: not above gate.tolerated_ratio, got 1.2 and 1.25; write more than 1.25"],
        ),
        ({"gate": {"on_no_data": "pass"}}, ['gate.on_no_data: not known, got "pass"; write rollback or manual']),
        (
            {"gate__holdback": 50},
            ["gate.holdback: would take the features from users of the stage of 50 %, got 50; write 49 or less"],
        ),
        ({"gate__low_traffic": "dare"}, ['gate.low_traffic: not known, got "dare"; write refuse or slo or hold']),
        (
            {"gate__low_traffic": "slo"},
            ['gate.low_traffic: certifies by gate.harmless_share, which is missing, got "slo"; write '],
        ),
        ({"gate__holdback": 60}, ["gate.holdback: too large, got 60; write 50 or less"]),
        ({"bake__aa": -1}, ["bake.aa: too small, got -1; write 0 or more"]),
        (
            {"gate__metrics": [{"name": "orders"}]},
            ["gate.metrics[0].counter: missing, got nothing; write feature_orders_total, or whatever counts orders"],
        ),
        ({"gate__metrics": [{"counter": "a_total"}]}, ["gate.metrics[0].name: missing, got nothing; write orders"]),
        (
            {"gate__metrics": [{**ORDERS, "counter": "a total"}]},
            ['gate.metrics[0].counter: not of the right form, got "a total"; write feature_orders_total'],
        ),
        (
            {"gate__metrics": [ORDERS, ORDERS]},
            ['gate.metrics[1].name: twice in the list, got "orders"; write each name once'],
        ),
        (
            {"gate__metrics": [{**ORDERS, "harm": "less"}]},
            ['gate.metrics[0].harm: not known, got "less"; write more or fewer'],
        ),
        (
            {"gate__metrics": [{**ORDERS, "weight": 0}]},
            ["gate.metrics[0].weight: too small, got 0; write 0.01 or more"],
        ),
        (
            {"gate__metrics": [{**ORDERS, "labels": {"variant": "on"}}]},
            ["gate.metrics[0].labels: Gradual sets this one itself, or it is no label, got "],
        ),
        (
            {"gate__metrics": [{**ORDERS, "labels": {"x y": "on"}}]},
            ["gate.metrics[0].labels: Gradual sets this one itself, or it is no label, got "],
        ),
        (
            {"gate__metrics": [{**ORDERS, "labels": {"step": 3}}]},
            ["gate.metrics[0].labels.step: not text, got 3; write it in quotes"],
        ),
        (
            {"gate__metrics": [{**ORDERS, "labels": {"feature": "x"}}]},
            ['gate.metrics[0].labels.feature: no feature of this release, got "x"; write search '],
        ),
        (
            {"gate__metrics": [{"name": "slow", "counter": "a_total"}]},
            ["gate.metrics[0].counter: slow is always counted from the features' own requests, "],
        ),
        (
            {"gate__metrics": [{"name": "errors", "harm": "fewer"}]},
            ['gate.metrics[0].harm: fewer errors are no harm, got "fewer"; write more'],
        ),
        (
            {"hosts": {"database": "databse"}},
            ['hosts.database: a group that is not in the inventory, got "databse"; write database'],
        ),
        (
            {"hosts": {"database": "spare"}},
            ['hosts.database: a group that has no hosts, got "spare"; write the group of the database hosts'],
        ),
        (
            {"hosts": {"database": "balancer"}},
            ['hosts.database: not the hosts that the playbooks run on, got "balancer"; write database, and make '],
        ),
        ({"canary": "app9"}, ['canary: not one of the application hosts, got "app9"; write app1']),
        ({"canary": "database"}, ['canary: not one of the application hosts, got "database"; write app1']),
        (
            {"version": 2.0},
            ["version: a number and not text (zeros may be lost already), got 2.0; write it in quotes"],
        ),
        ({"version": "../2"}, ['version: not of the right form, got "../2"; write 2.0.0']),
        ({"application": "Store Front"}, ['application: not of the right form, got "Store Front"; write storefront']),
        (
            {"migrations__target": 3},
            ["migrations.target: a number and not text (zeros may be lost already), got 3; write it in quotes"],
        ),
        ({"migrations": {}}, ['migrations.target: missing, got nothing; write "0003"']),
        (
            {"migrations__path": "../../etc"},
            ['migrations.path: not of the right form, got "../../etc"; write migrations'],
        ),
        (
            {"migrations__phases": [{"app": "auth", "phase": "expand", "reason": "only adds columns"}]},
            ['migrations.phases[0].app: alembic has no apps, got "auth"; write revision or pattern'],
        ),
        (
            {"migrations__phases": [{"phase": "expand", "reason": "it adds"}]},
            [
                "migrations.phases[0]: not about one thing, got nothing; write one of revision, pattern",
                'migrations.phases[0].reason: not a sentence, got "it adds"; write why this phase is right',
            ],
        ),
        (
            {
                "migrations": {
                    "adapter": "django",
                    "target": "head",
                    "phases": [{"app": "auth", "pattern": "*", "phase": "expand", "reason": "only adds columns"}],
                }
            },
            ["migrations.phases[0]: not about one thing, got app and pattern; write one of app, revision, pattern"],
        ),
        (
            {"migrations__phases": [{"revision": "0002", "phase": "data", "reason": "moves the old rows"}]},
            ['migrations.phases[0].phase: not known, got "data"; write expand or contract'],
        ),
        (
            {"migrations__by_lint": "perhaps"},
            ['migrations.by_lint: neither true nor false, got "perhaps"; write true or false'],
        ),
        ({"migrations__adapter": "alembik"}, ['migrations.adapter: not known, got "alembik"; write alembic']),
        ({"on_abort": "panic"}, ['on_abort: not known, got "panic"; write flags or release']),
        ({"approval": "maybe"}, ['approval: neither true nor false, got "maybe"; write true or false']),
        ({"backup": {"level": "intct"}}, ['backup.level: not known, got "intct"; write intact']),
        (
            {"smoke__0__body": float("nan")},
            [
                (
                    "manifest: holds a number that is not finite, which has no meaning here; write text, numbers,"
                    " lists and"
                    " mappings"
                )
            ],
        ),
        (
            {"application": None, "version": " ", "stages": [50, 25]},
            ["application: missing", "version: missing", "stages: not rising"],
        ),
    ],
)
def test_every_mistake_is_named(changes: dict[str, Any], wanted: list[str]) -> None:
    _checked, mistakes = manifest.check(changed(**changes), GROUPS)
    assert len(mistakes) == len(wanted), mistakes
    for line, start in zip(mistakes, wanted):
        assert line.startswith(start)


def test_ansibles_tagged_strings_become_plain() -> None:
    class Tagged(str):
        __slots__ = ()

    checked, mistakes = manifest.check({**GOOD, Tagged("version"): Tagged("2.0.0")})
    assert mistakes == []
    assert type(checked["version"]) is str
    assert all(type(key) is str for key in checked)


def test_all_mistakes_come_in_one_message() -> None:
    assert (
        manifest.message(["a: x", "b: y"])
        == "The release manifest has 2 errors; nothing has been changed.\n  a: x\n  b: y"
    )


@needs_checkout
@pytest.mark.parametrize("path", sorted((PROJECT / "releases").glob("*.yml")), ids=lambda path: path.stem)
def test_the_releases_of_this_repository_are_good(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("{{ artifact_host }}", "10.0.0.1")
    _checked, mistakes = manifest.check(yaml.safe_load(text), GROUPS)
    assert mistakes == []


@pytest.mark.parametrize("key", ["set", "where"])
def test_a_backfill_is_one_statement(key: str) -> None:
    one = {"name": "cents", "table": "orders", "set": "cents = total * 100", "where": "cents IS NULL"}
    for text, good in ((one[key], True), ("true; DROP TABLE orders", False), (" ", False)):
        given = {**copy.deepcopy(GOOD), "migrations": {"target": "0003", "backfills": [{**one, key: text}]}}
        assert (manifest.check(given, GROUPS)[1] == []) is good, text


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["on", "100", "[", "{}", "http://[", "0x1", "1e999"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*SPEC, "flag", "url", "sha256", "path", "min", "body", "smoke", "x"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*SPEC, "x"]), HOSTILE), st.booleans())
def test_whatever_is_given_gets_an_answer(values: dict[str, Any], complete: bool) -> None:
    given_values = {**copy.deepcopy(GOOD), **values} if complete else values
    checked, mistakes = manifest.check(given_values, GROUPS)
    assert all(": " in line and "; write" in line for line in mistakes), mistakes
    if not mistakes:
        json.dumps(checked, allow_nan=False)
        assert manifest.check(checked, GROUPS) == (checked, [])


WITHOUT_DATABASE = {**GROUPS, "database": [], "database_primary": []}


def test_a_fleet_without_a_database_needs_no_backup_and_says_so() -> None:
    checked, mistakes = manifest.check(changed(migrations=None, backup={"method": "none"}), WITHOUT_DATABASE)
    assert (checked["backup"]["method"], checked["migrations"], mistakes) == ("none", None, [])


@pytest.mark.parametrize(
    ("changes", "groups", "said"),
    [
        (
            {"migrations": None, "backup": {"method": "none"}},
            GROUPS,
            f'backup.method: the inventory has a database ({", ".join(GROUPS["database"])}), got "none"; write dump',
        ),
        (
            {"migrations": None},
            WITHOUT_DATABASE,
            'backup.method: the inventory has no database, because its group database is empty, got "dump"; write none',
        ),
        ({"backup": {"method": "none"}}, WITHOUT_DATABASE, "backup.method: migrations change a database, and need"),
    ],
)
def test_a_manifest_and_an_inventory_that_disagree_about_the_database(
    changes: dict[str, Any], groups: dict[str, list[str]], said: str
) -> None:
    _checked, mistakes = manifest.check(changed(**changes), groups)
    assert [line[: len(said)] for line in mistakes] == [said]
