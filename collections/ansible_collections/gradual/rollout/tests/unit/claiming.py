"""The claims of a rollout's report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.report import document
from ansible_collections.gradual.rollout.tests.unit.places import SCHEMA
from ansible_collections.gradual.rollout.tests.unit.sample_ledger import Ledger


def fits(report: dict[str, Any]) -> None:
    """The report as it is written keeps to the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(document.render(report)))


def by_id(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{id: claim}."""
    return {claim["id"]: claim for claim in report["claims"]}


def claims(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """{id: claim} of the ledger's report, which fits the schema."""
    report = document.build(ledger.lines)
    fits(report)
    return by_id(report)
