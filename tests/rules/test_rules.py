"""Each alert: named and described as the house wants, proven both ways by promtool, and with a runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

HOME = Path(__file__).resolve().parents[2]
RULES = sorted((HOME / "roles/monitoring/files/rules").glob("*.yml"))
PROOFS = sorted(path for path in Path(__file__).parent.glob("*.yml") if "rule_files:" in path.read_text())
RUNBOOKS = HOME / "docs/runbooks"
ALWAYS = {"Watchdog"}


def rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def proofs(*, firing: bool) -> set[str]:
    """Alerts that some test wants to fire, or to be silent."""
    return {
        case["alertname"]
        for path in PROOFS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if bool(case["exp_alerts"]) is firing
    }


@pytest.mark.parametrize("path", PROOFS, ids=lambda path: path.stem)
def test_rules_fire_and_keep_silent_as_written(path: Path) -> None:
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    """Negative control: a test that wants the opposite fails."""
    text = (Path(__file__).parent / "fleet.yml").read_text().replace("../../roles", str(HOME / "roles"))
    (tmp_path / "wrong.yml").write_text(text.replace("pg_up{", "pg_down{"))
    assert (
        subprocess.run(
            ["promtool", "test", "rules", str(tmp_path / "wrong.yml")], capture_output=True, check=False
        ).returncode
        != 0
    )


def test_every_alert_is_proven_both_ways() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert proofs(firing=True) == names
    assert proofs(firing=False) == names - ALWAYS


def test_names_are_unique() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_an_operator_needs(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert re.fullmatch(r"([A-Z][a-z0-9]*)+", name)
    assert "for" in alert
    assert alert["labels"]["severity"] in ({"none"} if name in ALWAYS else {"critical", "warning", "info"})
    assert not any("$value" in str(value) for value in alert["labels"].values()), (
        "a label with a value makes a new alert each time"
    )
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"].rsplit("/", 1)[-1] == f"{name}.md"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_has_a_runbook(alert: dict[str, Any]) -> None:
    page = (RUNBOOKS / f"{alert['alert']}.md").read_text()
    assert page.startswith(f"# {alert['alert']}\n")
    assert "\n## See\n" in page
    assert re.search(r"\n## Do\b", page)
    for other in re.findall(r"\]\((\w+)\.md\)", page):
        assert (RUNBOOKS / f"{other}.md").exists(), f"{alert['alert']} links to {other}"


def test_no_runbook_is_left_over() -> None:
    named = {
        path.stem for path in RUNBOOKS.glob("*.md") if path.stem[0].isupper()
    }  # a page of no alert has a name in small letters
    assert named - {"README"} == {alert["alert"] for alert in alerts()}
