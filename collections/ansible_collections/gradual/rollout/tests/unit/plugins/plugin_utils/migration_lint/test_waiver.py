# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Waivers: how long they hold, and which are mistakes."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest import document as manifest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge, waiver
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import RULES
from ansible_collections.gradual.rollout.tests.unit.sample_revisions import revision

TODAY = datetime.date(2027, 1, 15)
FOUND = [
    {"revision": "1", "rule": "whole-table-delete", "level": "error"},
    {"revision": "1", "rule": "truncate", "level": "error"},
]
GOOD = {"revision": "1", "rule": "whole-table-delete", "reason": "the table is not used yet", "until": "2027-01-15"}


def test_a_waiver_holds_to_the_end_of_its_day(release: Path) -> None:
    revision(release, "1", 'op.execute("DELETE FROM orders")\nop.execute("TRUNCATE other")')
    found = judge.lint("alembic", str(release), "migrations", "head", waivers=[GOOD], today=TODAY)
    assert found["mistakes"] == []
    assert [(one["rule"], one["waived"]) for one in found["findings"]] == [
        ("whole-table-delete", {"reason": GOOD["reason"], "until": GOOD["until"]}),
        ("truncate", None),
    ]
    assert [one["rule"] for one in judge.stops(found["findings"])] == ["truncate"]
    tomorrow = TODAY + datetime.timedelta(days=1)
    assert [waiver.of(one, [GOOD], tomorrow) for one in FOUND] == [None, None]
    (said,) = waiver.expired([GOOD], tomorrow)
    assert said.startswith(
        "migrations.waivers[0].until: the waiver of whole-table-delete for 1 ended on 2027-01-15; review the finding"
        " again"
    )


def test_a_waiver_of_nothing_is_a_mistake() -> None:
    idle = [{**GOOD, "rule": "reindex"}, {**GOOD, "revision": "9"}, GOOD]
    assert list(waiver.unused(idle, FOUND, ["1"], ["1"])) == [
        "migrations.waivers[0]: 1 has no finding reindex; remove the waiver",
        "migrations.waivers[1].revision: got '9', expected a revision of the release, such as 1",
    ]
    # Of what was applied meanwhile, nobody knows any more whether there was something to waive.
    assert list(waiver.unused(idle[:1], [], [], ["1"])) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"rule": "no-such"},
            "migrations.waivers[0].rule: got 'no-such', expected a rule of docs/migration-lint.md",
        ),
        (
            {"reason": "fine"},
            "migrations.waivers[0].reason: got 'fine', expected a sentence that says why it does no harm here",
        ),
        ({"until": "2027-02-30"}, "migrations.waivers[0].until: got '2027-02-30', expected a date like 2027-03-31"),
        ({}, None),
    ],
)
def test_a_waiver_without_reason_or_date_is_a_mistake(change: dict[str, str], said: str | None) -> None:
    given = {"revision": "1", "rule": "truncate", "reason": "nobody uses it yet", "until": "2027-01-15", **change}
    assert list(waiver.mistakes([given], RULES)) == ([said] if said else [])


@pytest.mark.parametrize("until", ["2027-03-31", datetime.date(2027, 3, 31)], ids=["in quotes", "as YAML reads it"])
def test_a_manifest_may_write_the_date_with_or_without_quotes(until: object) -> None:
    waiver = {"revision": "0003", "rule": "truncate", "reason": "nobody uses it yet", "until": until}
    checked, mistakes = manifest.check({"migrations": {"target": "0003", "waivers": [waiver]}})
    assert checked["migrations"]["waivers"] == [{**waiver, "until": "2027-03-31"}]
    assert not [line for line in mistakes if line.startswith("migrations")]
