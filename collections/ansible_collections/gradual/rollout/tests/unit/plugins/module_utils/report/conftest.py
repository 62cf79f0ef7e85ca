# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""A ledger of each kind, and its report."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.report import document
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample


@pytest.fixture(scope="module")
def ledgers() -> dict[str, sample.Ledger]:
    return {name: make() for name, make in sample.ALL.items()}


@pytest.fixture(scope="module")
def reports(ledgers: dict[str, sample.Ledger]) -> dict[str, dict[str, Any]]:
    return {name: document.build(ledger.lines) for name, ledger in ledgers.items()}
