# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Values as -e key=value and surveys give them: strings, texts of lists and mappings, blank answers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest import document as manifest
from ansible_collections.gradual.rollout.tests.unit.sample_manifest import DIGEST, GROUPS, METRIC, ORDERS, changed


@pytest.mark.parametrize(
    ("changes", "key", "wanted"),
    [
        ({"stages": "25,50,100"}, "stages", [25, 50, 100]),
        ({"stages": "[25, 50, 100]"}, "stages", [25, 50, 100]),
        ({"stages": ["25", 50, 100.0]}, "stages", [25, 50, 100]),
        ({"release": None}, "release", {"waves": [1, "100%"]}),
        ({"release": {"waves": "1, 10%, 50%"}}, "release", {"waves": [1, "10%", "50%"]}),
        ({"release": {"waves": "1"}}, "release", {"waves": [1]}),
        ({"stages": 100}, "stages", [100]),
        ({"stages": ""}, "stages", [25, 50, 100]),
        ({"stages": None}, "stages", [25, 50, 100]),
        ({"stages": []}, "stages", [25, 50, 100]),
        ({"stages": "- 25\n- 50\n- 100\n"}, "stages", [25, 50, 100]),
        ({"stages": "25\n50\n100\n"}, "stages", [25, 50, 100]),
        ({"migrations": []}, "migrations", None),
        ({"canary": []}, "canary", None),
        ({"approval": []}, "approval", False),
        ({"gate": []}, "gate", {"alpha": 0.05}),
        ({"bake": "min: 10\nmax: 20\nlook: 5\nexpiry: 30\n"}, "bake", {"min": 10, "max": 20, "look": 5, "expiry": 30}),
        (
            {"features": "- flag: cart\n- {flag: search, smoke: []}"},
            "features",
            [{"flag": "cart", "smoke": []}, {"flag": "search", "smoke": []}],
        ),
        (
            {"bake": '{"min": "10", "max": 20, "look": 5, "expiry": "30"}'},
            "bake",
            {"min": 10, "max": 20, "look": 5, "expiry": 30},
        ),
        ({"approval": "yes"}, "approval", True),
        ({"approval": ""}, "approval", False),
        ({"migrations": ""}, "migrations", None),
        ({"migrations": None}, "migrations", None),
        ({"features": ""}, "features", []),
        ({"version": " 2.0.0 "}, "version", "2.0.0"),
        ({"gate": {"alpha": "0.01"}}, "gate", {"alpha": 0.01}),
        ({"artifact__sha256": DIGEST.upper()}, "artifact", {"sha256": DIGEST}),
        ({}, "bake", {"aa": 300}),
        ({"bake__aa": "0"}, "bake", {"aa": 0}),
        ({"stages": "100", "gate": {"holdback": "50"}}, "gate", {"holdback": 50, "metrics": []}),
        ({"gate": {"holdback": 49}}, "gate", {"holdback": 49}),
        (
            {"gate": '{"metrics": [{"name": "errors", "weight": "3"}]}'},
            "gate",
            {"metrics": [{**METRIC, "name": "errors", "weight": 3.0}]},
        ),
        (
            {"gate__metrics": [{**ORDERS, "labels": {"feature": "cart", "kind": "gift"}, "harm": "fewer"}]},
            "gate",
            {"metrics": [{**METRIC, **ORDERS, "labels": {"feature": "cart", "kind": "gift"}, "harm": "fewer"}]},
        ),
        ({"features__0__smoke__0__flag": False}, "features", None),
        ({"on_abort": ""}, "on_abort", "release"),
        ({"hosts": {"database": "postgres"}}, "hosts", {"database": "postgres"}),
        ({"canary": "app1"}, "canary", "app1"),
        ({"canary": ""}, "canary", None),
    ],
)
def test_strings_and_blank_answers_are_read_as_what_they_mean(changes: dict[str, Any], key: str, wanted: Any) -> None:
    checked, mistakes = manifest.check(changed(**changes), GROUPS)
    assert mistakes == []
    if isinstance(wanted, dict):
        assert {name: checked[key][name] for name in wanted} == wanted
    elif key == "features" and wanted is None:
        assert checked["features"][0]["smoke"][0]["flag"] == "off"
    else:
        assert checked[key] == wanted
