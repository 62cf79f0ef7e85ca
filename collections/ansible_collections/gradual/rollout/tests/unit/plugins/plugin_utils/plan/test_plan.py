"""The plan: a table of manifests, hosts, durations and states in, rows and text out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import steps as plan_steps
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import text as plan_text

MANIFEST: dict[str, Any] = {
    "application": "storefront",
    "version": "2.0.0",
    "features": [{"flag": "search"}, {"flag": "recommendations"}],
    "stages": [25, 50, 100],
    "bake": {"min": 60, "max": 300, "look": 10, "expiry": 90},
    "migrations": {"adapter": "alembic", "target": "0003"},
    "backup": {"method": "dump", "level": "restored"},
    "on_abort": "flags",
}
HOSTS = ["app1", "app2", "app3"]


def steps(rows: list[dict[str, Any]]) -> list[str]:
    return [plan_text.name_of(row) for row in rows]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (
            {},
            ["preflight", "backup", "migrate", "release", "ramp 25 %", "ramp 50 %", "ramp 100 %", "verify", "report"]
            + ["retire", "contract"],
        ),
        (
            {"migrations": None, "stages": [100]},
            ["preflight", "backup", "release", "ramp 100 %", "verify", "report", "retire"],
        ),
        ({"features": []}, ["preflight", "backup", "migrate", "release", "verify", "report", "contract"]),
        (
            {"migrations": None, "bake": {"aa": 300}},
            [
                "preflight",
                "backup",
                "release",
                "ramp A/A",
                "ramp 25 %",
                "ramp 50 %",
                "ramp 100 %",
                "verify",
                "report",
                "retire",
            ],
        ),
        # Nobody to compare with, so nothing to learn beforehand; unless some are held back.
        (
            {"migrations": None, "stages": [100], "bake": {"aa": 300}},
            ["preflight", "backup", "release", "ramp 100 %", "verify", "report", "retire"],
        ),
        (
            {"migrations": None, "stages": [100], "bake": {"aa": 300}, "gate": {"holdback": 5}},
            ["preflight", "backup", "release", "ramp A/A", "ramp 100 %", "verify", "report", "retire"],
        ),
    ],
)
def test_steps_follow_the_manifest(changes: dict[str, Any], wanted: list[str]) -> None:
    assert steps(plan_steps.make({**MANIFEST, **changes}, HOSTS)) == wanted


def test_every_step_says_what_it_changes_what_undoes_it_and_what_could_go_wrong() -> None:
    for row in plan_steps.make(MANIFEST, HOSTS):
        for key in ("what", "changes", "undo", "risk", "seen_by", "then"):
            assert row[key], (row["step"], key)


def test_only_contract_is_the_point_of_no_return() -> None:
    rows = plan_steps.make(MANIFEST, HOSTS)
    assert [row["step"] for row in rows if row["point_of_no_return"]] == ["contract"]
    assert [row["step"] for row in rows if row["later"]] == ["retire", "contract"]


@pytest.mark.parametrize(
    ("step", "stage", "durations", "seconds", "source"),
    [
        ("backup", None, {}, 30, "estimate"),
        ("backup", None, {"backup": 41.6}, 42, "earlier runs"),
        ("release", None, {}, 60, "estimate"),
        ("release", None, {"release": 33}, 33, "earlier runs"),
        ("ramp", 50, {}, 75, "manifest"),
        ("ramp", 50, {"ramp": 300}, 100, "earlier runs"),
        ("contract", None, {"contract": 9}, None, None),
    ],
)
def test_expected_seconds(
    step: str, stage: int | None, durations: dict[str, float], seconds: int | None, source: str | None
) -> None:
    rows = plan_steps.make(MANIFEST, HOSTS, durations)
    row = next(row for row in rows if row["step"] == step and row["stage"] == stage)
    assert (row["expected_seconds"], row["source"]) == (seconds, source)


WATCHED: dict[str, Any] = {**MANIFEST, "bake": {**MANIFEST["bake"], "aa": 300}, "gate": {"holdback": 5}}


@pytest.mark.parametrize(
    ("stage", "durations", "seconds", "source"),
    [
        (0, {}, 315, "manifest"),
        (0, {"ramp": 630}, 315, "manifest"),
        (50, {"ramp": 630}, 105, "earlier runs"),
        (50, {"ramp": 20}, 75, "manifest"),
    ],
)
def test_expected_seconds_with_an_aa_stage(stage: int, durations: dict[str, float], seconds: int, source: str) -> None:
    row = next(row for row in plan_steps.make(WATCHED, HOSTS, durations) if row["stage"] == stage)
    assert (row["expected_seconds"], row["source"]) == (seconds, source)


@pytest.mark.parametrize(
    ("canary", "hosts", "durations", "seconds", "what"),
    [
        (
            120,
            HOSTS,
            {},
            180,
            "app1 first as the canary, watched for 2 min against hosts on the old code, then app2, app3;",
        ),
        (120, HOSTS, {"release": 190}, 190, "watched for 2 min"),
        (120, HOSTS, {"release": 60}, 180, "watched for 2 min"),  # those that ran before were not watched so long
        (120, ["app1"], {}, 20, "app1 first as the canary;"),
        (0, HOSTS, {}, 60, "app1 first as the canary, then app2, app3;"),
        (
            120,
            None,
            {},
            140,
            "one host first as the canary, watched for 2 min against hosts on the old code, then the others;",
        ),
    ],
)
def test_the_canary_is_watched_where_others_run_the_old_code(
    canary: int, hosts: Any, durations: dict[str, float], seconds: int, what: str
) -> None:
    rows = plan_steps.make({**MANIFEST, "bake": {**MANIFEST["bake"], "canary": canary}}, hosts, durations)
    row = next(row for row in rows if row["step"] == "release")
    assert row["expected_seconds"] == seconds
    assert what in row["what"]
    assert ("compared at each look" in row["seen_by"]) == ("watched" in what)


SIX, THIRTY = ([f"app{number}" for number in range(1, count + 1)] for count in (6, 30))


@pytest.mark.parametrize(
    ("hosts", "waves", "what", "seconds"),
    [
        (HOSTS, [1, 2], "in waves: app1 first as the canary, then app2 and app3 at once;", 40),
        (HOSTS, [3], "in waves: app1, app2 and app3 at once;", 20),
        (SIX, [1, 2], "then app2 and app3 at once, then app4 and app5 at once, then app6;", 80),
        (THIRTY, [1, 10], "canary, then 10 at once, then 10 at once, then 9 at once;", 80),
        (THIRTY, [1], "one by one: the first host first as the canary, then 29 others one by one;", 600),
    ],
)
def test_the_waves_are_told(hosts: list[str], waves: list[int], what: str, seconds: int) -> None:
    manifest = {**MANIFEST, "bake": {**MANIFEST["bake"], "canary": 0}}
    row = next(row for row in plan_steps.make(manifest, hosts, waves=waves) if row["step"] == "release")
    assert what in row["what"]
    assert row["expected_seconds"] == seconds


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ({}, "to do"),
        ({"open": True, "certified": 0, "aa": None, "steps": {}}, "to do"),
        ({"open": True, "certified": 0, "aa": None, "steps": {"ramp": {"state": "started"}}}, "started"),
        (
            {"open": True, "certified": 0, "aa": {"since": 1, "until": 2}, "steps": {"ramp": {"state": "started"}}},
            "finished",
        ),
    ],
)
def test_state_of_the_aa_stage(state: dict[str, Any], wanted: str) -> None:
    assert next(row for row in plan_steps.make(WATCHED, HOSTS, state=state) if row["stage"] == 0)["state"] == wanted


def test_who_is_watched_and_who_is_held_back_is_said() -> None:
    rows = {row["stage"]: row for row in plan_steps.make(WATCHED, HOSTS)}
    assert "for 5 min (A/A)" in rows[0]["what"]
    assert "the users of 25 %, 50 %, 95 %" in rows[0]["changes"]
    assert "5 % are held back as the control" in rows[100]["what"]
    assert "50 % becomes 95 %, then 100 %" in rows[100]["changes"]
    assert "held back" not in rows[50]["what"]


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ({}, {"preflight": "to do", "ramp 25 %": "to do"}),
        ({"open": False, "steps": {"backup": {"state": "finished"}}}, {"backup": "to do"}),
        (
            {"open": True, "certified": 25, "steps": {"backup": {"state": "finished"}, "ramp": {"state": "started"}}},
            {"backup": "finished", "migrate": "to do", "ramp 25 %": "finished", "ramp 50 %": "started"},
        ),
        ({"open": True, "steps": {"release": {"state": "failed"}}}, {"release": "failed"}),
    ],
)
def test_state_of_a_resumed_rollout(state: dict[str, Any], wanted: dict[str, str]) -> None:
    seen = {plan_text.name_of(row): row["state"] for row in plan_steps.make(MANIFEST, HOSTS, state=state)}
    assert {name: seen[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("hosts", "names"),
    [(None, []), (["a", "b"], ["a", "b"]), ({"application": ["a"]}, ["a"]), ({"a": {}, "b": {}}, ["a", "b"]), ((), [])],
)
def test_hosts_may_come_in_several_forms(hosts: Any, names: list[str]) -> None:
    assert plan_steps.names_of(hosts) == names


@pytest.mark.parametrize("wrong", ["app1", 3])
def test_wrong_hosts_are_named(wrong: Any) -> None:
    with pytest.raises(plan_steps.PlanError, match="write groups"):
        plan_steps.make(MANIFEST, wrong)


@pytest.mark.parametrize("wrong", [None, "x", {}, []])
def test_wrong_manifests_are_named(wrong: Any) -> None:
    with pytest.raises(plan_steps.PlanError, match="expected the manifest"):
        plan_steps.make(wrong)


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [(None, "?"), (0, "0 s"), (59.6, "1 min"), (90, "1 min 30 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_span(seconds: float | None, wanted: str) -> None:
    assert span(seconds) == wanted


def test_text_holds_each_step_its_way_back_and_the_point_of_no_return() -> None:
    rows = plan_steps.make(MANIFEST, HOSTS)
    text = plan_text.render(rows, MANIFEST)
    assert "app1 first as the canary, then app2, app3" in text
    assert "*** THE POINT OF NO RETURN ***" in text
    assert max(len(line) for line in text.splitlines()) <= plan_text.WIDTH
    words = " ".join(text.split())
    for row in rows:
        assert row["undo"] in words
        assert plan_text.name_of(row).upper() in text


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [(0, 0, "#"), (0, 100, "#" * 28), (50, 100, "." * 14 + "#" * 14), (100, 100, "." * 27 + "#")],
)
def test_bar(start: float, end: float, wanted: str) -> None:
    assert plan_text.time_bar(start, end, 100) == wanted.ljust(28, ".")


@pytest.mark.parametrize("wrong", ["x", [1], {"step": "x"}])
def test_text_of_something_else_is_an_error(wrong: Any) -> None:
    with pytest.raises(plan_steps.PlanError, match="expected the list"):
        plan_text.render(wrong)


def test_the_plan_says_which_phases_are_not_in_the_files_and_why() -> None:
    choice = {"revision": "auth.0002_more", "phase": "expand", "reason": "only adds columns"}
    rows = plan_steps.make(MANIFEST, HOSTS, phases=[choice])
    assert [row["phases"] for row in rows if row["step"] == "migrate"] == [[choice]]
    assert "  phase    auth.0002_more counts as expand: only adds columns" in plan_text.render(rows, MANIFEST)
    assert "counts as" not in plan_text.render(plan_steps.make(MANIFEST, HOSTS), MANIFEST)


def test_the_plan_says_that_a_restart_is_felt() -> None:
    said = {
        felt: next(row["what"] for row in plan_steps.make(MANIFEST, ["app1"], felt=felt) if row["step"] == "release")
        for felt in (True, False)
    }
    assert "USERS WILL NOTICE IT" in said[True]
    assert "FEEL" not in said[False]


def test_the_plan_says_that_there_is_no_backup_without_a_database() -> None:
    rows = plan_steps.make({**MANIFEST, "migrations": None, "backup": {"method": "none"}}, HOSTS)
    assert steps(rows)[:3] == ["preflight", "backup", "release"]
    text = " ".join(plan_text.render(rows).split())
    assert "no backup, because the inventory has no database (backup.method: none)" in text
    assert "a rollback brings the code and the features back, and no data" in text
    assert "take a backup" not in text
