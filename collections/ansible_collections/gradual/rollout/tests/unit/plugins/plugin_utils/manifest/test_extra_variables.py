# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Extra variables that are no keys of a manifest, and those that a site names for other tools."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest import document as manifest


@pytest.mark.parametrize(
    ("extra", "known", "wanted"),
    [
        (["application", "stages"], [], []),
        (["ansible_user", "awx_job_id", "tower_x", "gradual_fleet"], [], []),
        (["min_in_traffic"], [], []),
        (["release_keep"], ["release_keep"], []),
        (
            ["aplication"],
            [],
            ["aplication: no such key in a manifest, and no variable of that name; write application"],
        ),
        (
            ["release_kep"],
            ["release_keep"],
            ["release_kep: no such key in a manifest, and no variable of that name; write release_keep"],
        ),
        (
            ["zzz"],
            [],
            ["zzz: no such key in a manifest, and no variable of that name; leave it out, or write one of application"],
        ),
    ],
)
def test_extra_variables_that_mean_nothing(extra: list[str], known: list[str], wanted: list[str]) -> None:
    found = manifest.unknown(extra, known)
    assert len(found) == len(wanted)
    for line, start in zip(found, wanted):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("extra", "foreign", "wanted"),
    [
        (["ticket", "workflow_a", "workflow_b"], ["ticket", "workflow_*"], []),
        (["tickets", "a_workflow_b"], ["ticket", "workflow_*"], ["tickets", "a_workflow_b"]),
        (["Ticket"], ["ticket"], ["Ticket"]),
        (["artifacts"], ["artifacts"], []),
        ([manifest.FOREIGN], [], []),
    ],
)
def test_the_site_names_variables_that_are_for_others(extra: list[str], foreign: list[str], wanted: list[str]) -> None:
    found = manifest.unknown(extra, [], foreign)
    assert [line.partition(":")[0] for line in found] == wanted
    for name, line in zip(wanted, found):
        assert line.endswith(f"if it is for others, name it in the inventory: manifest_foreign_variables: [{name}]")


@pytest.mark.parametrize(
    ("patterns", "wrong"),
    [
        ([], 0),
        (["ticket", "workflow_*"], 0),
        ("ticket", 1),
        ([1], 1),
        ({"ticket": 1}, 1),
        (["*"], 1),
        (["**", "?", "a*"], 2),
    ],
)
def test_a_list_of_them_that_would_hide_every_mistake_is_refused(patterns: Any, wrong: int) -> None:
    found = manifest.foreign_mistakes(patterns)
    assert len(found) == wrong
    assert all(line.startswith("manifest_foreign_variables: ") for line in found)
