# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Criteria that a site adds to the ten of every report."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.report import criteria, document
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample

OWN = "our shop answers every user"


def report(names: list[str], ledger: sample.Ledger) -> dict[str, Any]:
    """The report of a ledger in which a site has added one criterion."""
    ledger.add("criteria.added", 1, criteria=[{"criterion": OWN, "claims": names}])
    return document.build(ledger.lines)


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["requests-failed"], "shown"),
        (["requests-failed", "features-smoked"], "shown"),
        (["requests-*"], "shown"),
        (["requests-failed", "no-such-claim"], "not measured"),
        (["no-such-*"], "not measured"),
        ([], "not measured"),
    ],
)
def test_a_criterion_of_the_site_is_as_good_as_its_claims(names: list[str], status: str) -> None:
    found = report(names, sample.rehearsed(sample.completed()))

    assert [row["number"] for row in found["criteria"]] == [*criteria.BUILT_IN, 11]
    assert (found["criteria"][-1]["criterion"], found["criteria"][-1]["status"]) == (OWN, status)
    assert found["gate"]["status"] == ("PASS" if status == "shown" else "CONCERNS")


def test_a_criterion_fails_with_its_claim() -> None:
    found = report(["requests-failed"], sample.completed(failed=3))

    assert found["criteria"][-1]["status"] == "failed"


@pytest.mark.parametrize("added", [None, "text", [None], [{"criterion": OWN}], [{"claims": "requests-failed"}]])
def test_what_is_no_list_of_criteria_never_passes(added: Any) -> None:
    ledger = sample.rehearsed(sample.completed())
    ledger.add("criteria.added", 1, criteria=added)

    assert {row["status"] for row in document.build(ledger.lines)["criteria"][10:]} <= {"not measured"}
