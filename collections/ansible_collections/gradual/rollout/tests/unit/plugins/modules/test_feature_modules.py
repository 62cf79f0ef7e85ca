"""The modules of flags, shares and gates, run as Ansible runs them: check mode, diff, a second run, and mistakes in one
sentence."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.modules import gate_look
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTIONS

MODULES = "ansible_collections.gradual.rollout.plugins.modules"
Json = dict[str, t.Any]


def run(module: str, check: bool = False, **options: t.Any) -> Json:
    """The result of a module in a process of its own."""
    arguments = {"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check, "_ansible_diff": True}}
    paths = os.pathsep.join([str(COLLECTIONS), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", f"{MODULES}.{module}"],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.stdout.strip(), done.stderr
    result: Json = json.loads(done.stdout.strip().splitlines()[-1])
    assert (done.returncode != 0) == bool(result.get("failed"))
    return result


def test_flags_in_check_mode_then_for_real_then_again(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "gradual" / "flags.json"
    options: Json = {
        "path": str(path),
        "application": "storefront",
        "revision": 7,
        "flags": [{"flag": "search", "certified": 25}],
    }
    foretold = run("feature_flags", check=True, **options)
    assert (foretold["changed"], path.exists(), foretold["verified"]) == (True, False, False)
    done = run("feature_flags", **options)
    assert path.read_text() == done["diff"]["after"] == foretold["diff"]["after"]
    assert (done["changed"], done["revision"], done["differing"]) == (True, 7, ["search"])
    time.sleep(0.02)
    written = path.stat().st_mtime_ns
    again = run("feature_flags", **{**options, "revision": 8})
    assert (again["changed"], again["revision"], path.stat().st_mtime_ns) == (False, 7, written)
    assert again["diff"]["before"] == again["diff"]["after"]
    gone = run("feature_flags", **{**options, "revision": 9, "state": "absent"})
    assert (gone["changed"], json.loads(path.read_text())["flags"]) == (True, {})
    assert not run("feature_flags", **{**options, "revision": 9, "state": "absent"})["changed"]


def test_a_stage_is_extended_only_while_the_file_shows_it(tmp_path: pathlib.Path) -> None:
    path, later = tmp_path / "flags.json", int(time.time()) + 600
    stage: Json = {"flag": "search", "certified": 25, "baking": 50, "expiry": later}
    options: Json = {"path": str(path), "revision": 7, "flags": [stage]}
    assert not run("feature_flags", **options).get("failed")
    longer: Json = {**options, "revision": 8, "extends": True, "flags": [{**stage, "expiry": later + 60}]}
    assert run("feature_flags", **longer)["changed"]
    run("feature_flags", **{**options, "revision": 9, "flags": [{"flag": "search"}]})
    off = path.read_text()
    refused = run("feature_flags", **longer)
    assert (refused["failed"], refused["written"], path.read_text()) == (True, False, off)
    assert refused["msg"].startswith("the stage is not shown any more: search; it has ended, or another run")


def test_a_killed_flag_is_not_extended_by_the_rollout_that_shows_it(tmp_path: pathlib.Path) -> None:
    path, later = tmp_path / "flags.json", int(time.time()) + 600
    stage: Json = {"flag": "search", "certified": 25, "baking": 50, "expiry": later}
    run("feature_flags", path=str(path), revision=7, flags=[stage])
    options: Json = {"path": str(path), "revision": 8, "flags": [{"flag": "search"}], "by": "mia", "reason": "wrong"}
    foretold = run("feature_flags", check=True, state="killed", **options)
    assert (foretold["changed"], "killed_at" in path.read_text()) == (True, False)
    done = run("feature_flags", state="killed", **options)
    mark = done["killed"]["search"]
    assert (mark["by"], mark["reason"], mark["showed"][:22]) == ("mia", "wrong", "50 % of users until 20")
    off = path.read_text()
    longer: Json = {"path": str(path), "revision": 9, "extends": True, "flags": [{**stage, "expiry": later + 60}]}
    refused = run("feature_flags", **longer)
    assert refused["msg"].startswith("the flag search was killed at 20")
    assert path.read_text() == off
    assert not run("feature_flags", state="killed", **options)["changed"]
    assert run("feature_flags", state="all_off", path=str(path), revision=9)["changed"] is False
    assert run("feature_flags", state="allowed", **options)["changed"]
    assert not run("feature_flags", path=str(path), revision=9, flags=[stage]).get("failed")


def test_a_kill_of_what_the_file_does_not_have_writes_nothing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flags.json"
    run("feature_flags", path=str(path), revision=7, flags=[{"flag": "search", "certified": 100}])
    before = path.read_text()
    options: Json = {"path": str(path), "revision": 8, "state": "killed", "by": "mia", "reason": ""}
    done = run("feature_flags", flags=[{"flag": "serach"}], **options)
    assert (done["unknown"], done["changed"], path.read_text()) == (["serach"], False, before)
    both = run("feature_flags", flags=[{"flag": "search"}, {"flag": "cart"}], **options)
    assert both["msg"] == "flags: state killed takes one flag, got 2; run it once for each flag"


def test_a_broken_file_is_replaced_and_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text('{"flags": {"sea')
    done = run("feature_flags", path=str(path), revision=7, flags=[{"flag": "search", "certified": 0}])
    assert done["changed"]
    assert "is not JSON" in str(done["warnings"])
    assert json.loads(path.read_text())["flags"]["search"]["defaultVariant"] == "off"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flags": [{"flag": "search", "certified": 125}]}, "certified is 125; write a whole number from 0 to 100"),
        (
            {"flags": [{"flag": "search", "certified": 25, "baking": 50, "expiry": 1_500_000_000}]},
            "in the past on this host; compare its clock",
        ),
        ({"flags": [{"flag": "search", "certified": 25, "baking": 50}]}, "needs an expiry"),
        (
            {"verify_url": "http://127.0.0.1:9/metrics", "timeout": 0.2},
            "the flag file is written, but after 0.2 s http://127.0.0.1:9/metrics does not answer",
        ),
    ],
)
def test_flags_that_cannot_be_set(tmp_path: pathlib.Path, changes: Json, message: str) -> None:
    options: Json = {
        "path": str(tmp_path / "flags.json"),
        "revision": 7,
        "flags": [{"flag": "search", "certified": 25}],
    }
    result = run("feature_flags", **{**options, **changes})
    assert message in result["msg"]


def test_what_was_written_and_could_not_be_seen_is_told_apart_from_what_was_not_written(tmp_path: pathlib.Path) -> None:
    options: Json = {
        "revision": 7,
        "flags": [{"flag": "search", "certified": 0}],
        "verify_url": "http://127.0.0.1:9/metrics",
        "timeout": 0.1,
    }
    unseen = run("feature_flags", path=str(tmp_path / "flags.json"), **options)
    assert (unseen["failed"], unseen["changed"], unseen["written"], unseen["verified"]) == (True, True, True, False)
    again = run("feature_flags", path=str(tmp_path / "flags.json"), **options)
    assert (again["failed"], again["changed"], again["written"]) == (True, False, True)
    (tmp_path / "file").write_text("in the way")
    unwritten = run("feature_flags", path=str(tmp_path / "file" / "flags.json"), **options)
    assert (unwritten["failed"], unwritten["changed"], unwritten["written"]) == (True, False, False)


@pytest.mark.parametrize(
    ("content", "flags", "wrong"),
    [
        (None, None, None),
        (" \n", None, None),
        ("{}", {"flags": {}}, None),
        ('{"flags": {"theirs": {"state": "DISABLED"}}}', {"flags": {"theirs": {"state": "DISABLED"}}}, None),
        ('{"flags": {"sea', None, "flags.json: the flag file is not JSON: "),
        ('{"flags": []}', None, 'flags.json: the flag file has no object "flags" at its top'),
    ],
)
def test_what_a_host_says_of_its_flag_file(
    tmp_path: pathlib.Path, content: str | None, flags: Json | None, wrong: str | None
) -> None:
    path = tmp_path / "flags.json"
    if content is not None:
        path.write_text(content)
    seen = run("host_info", application="shop", root=str(tmp_path), flags=str(path))
    assert seen["flags"] == flags
    assert wrong in seen["flags_error"] if wrong else seen["flags_error"] is None


def test_a_share_nobody_answers_for_is_no_share(tmp_path: pathlib.Path) -> None:
    result = run(
        "feature_share", base_url="http://127.0.0.1:9", flags=["search"], users=30, record=str(tmp_path / "record.json")
    )
    assert "got no usable answer from http://127.0.0.1:9: share-" in result["msg"]
    assert not (tmp_path / "record.json").exists()
    assert (
        "users is 0; write a number above 0"
        in run("feature_share", base_url="http://127.0.0.1:9", flags=["search"], users=0)["msg"]
    )


def test_a_look_without_prometheus_holds() -> None:
    result = run(
        "gate_look",
        prometheus="http://127.0.0.1:9",
        features=["search"],
        percent=25,
        since=time.time() - 60,
        bake={"min": 5, "max": 20},
    )
    assert (result["verdict"], result["deadline_passed"], result["on_no_data"], result["changed"]) == (
        "hold",
        True,
        "rollback",
        False,
    )
    assert result["look"]["counts"]["problems"] == [result["reason"].partition("; search")[0]]


def test_a_look_at_hosts_and_at_orders_holds_without_prometheus() -> None:
    now = time.time()
    options: Json = {
        "prometheus": "http://127.0.0.1:9",
        "percent": 33,
        "since": now - 60,
        "aa": {"since": now - 200, "until": now - 100},
    }
    counts = run("gate_look", cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app2"], **options)["look"][
        "counts"
    ]
    assert (counts["cohorts"], [metric["feature"] for metric in counts["metrics"]]) == ("hosts", ["release", "release"])
    orders = {"name": "orders", "counter": "feature_orders_total", "harm": "fewer"}
    result = run("gate_look", features=["search"], metrics=[orders], holdback=10, **options)
    assert (result["verdict"], [metric["metric"] for metric in result["look"]["counts"]["metrics"]]) == (
        "hold",
        ["errors", "slow", "orders"],
    )


def test_a_look_waits_for_its_time() -> None:
    start = time.time()
    run(
        "gate_look",
        prometheus="http://127.0.0.1:9",
        features=["search"],
        percent=25,
        since=start,
        not_before=start + 1.5,
    )
    assert time.time() - start >= 1.5


def test_a_look_with_an_early_verdict_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter(["continue", "hold", "abort", "continue"])
    monkeypatch.setattr(gate_look, "look", lambda _options, _now: ({"verdict": next(verdicts)}, None))
    monkeypatch.setattr(gate_look, "PAUSE", 0.1)
    start = time.time()
    assert gate_look.watch({"early": ["abort", "promote"], "not_before": start + 60}) == ({"verdict": "abort"}, None)
    assert time.time() - start < 30
    assert gate_look.watch({"early": ["abort"], "not_before": None}) == ({"verdict": "continue"}, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate": {"alpha": 5}}, "gate: alpha is 5; write a number between 0 and 1"),
        ({"since": 9e9}, "in the future of this host"),
        ({"prometheus": "mon1:9090"}, "write an address like http://127.0.0.1:9090"),
        ({"aa": {"since": 5, "until": 3}}, "aa is from 5.0 to 3.0; write a time before since, which is 1.0"),
        ({"aa": {"since": 0.2, "until": 3}}, "write a time before since"),
        (
            {"cohorts": "hosts", "treatment_hosts": ["app1"]},
            "treatment_hosts is ['app1'] and control_hosts []; name each host once, some in each",
        ),
        ({"cohorts": "hosts", "treatment_hosts": ["app1"], "control_hosts": ["app1"]}, "name each host once"),
        ({"holdback": 100}, "holdback is 100; write a percentage from 0 to 50"),
        ({"metrics": [{"name": "orders"}]}, "metrics[0]: orders has no counter"),
    ],
)
def test_looks_that_cannot_be_taken(changes: Json, message: str) -> None:
    assert message in run("gate_look", **{"features": ["search"], "percent": 25, "since": 1.0, **changes})["msg"]


def test_no_prometheus_is_an_error_where_an_answer_is_needed() -> None:
    assert "does not answer" in run("evaluations_info", prometheus="http://127.0.0.1:9", flags=["search"])["msg"]


def test_no_prometheus_is_traffic_that_was_not_measured() -> None:
    """The report of a rollout that went back because Prometheus was away is written all the same."""
    seen = run("traffic_info", prometheus="http://127.0.0.1:9", since=time.time() - 60)["traffic"]
    assert "does not answer" in seen["not_measured"][0]
    assert seen["requests"] is None
