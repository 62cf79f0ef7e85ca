"""What the report says of the copy of the database, of the old code on the new schema, and of their order."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample
from ansible_collections.gradual.rollout.tests.unit.claiming import claims


@pytest.mark.parametrize(
    ("smoke", "rehearsal", "status", "said"),
    [
        (None, ["0002"], "not needed", "there was no release before"),
        (
            ["restored", "migrated"],
            ["0002", "0003"],
            "shown",
            "1.0.0 worked on a restored copy of the database, before 0002, 0003 were rehearsed",
        ),
        (["restored"], None, "shown", "no migration was pending"),
        (["restored"], ["0002"], "failed", "1.0.0 worked"),
    ],
)
def test_it_tells_whether_the_old_code_was_tried_on_the_new_schema(
    smoke: list[str] | None, rehearsal: list[str] | None, status: str, said: str
) -> None:
    ledger = sample.opened({"backup": {"method": "dump", "level": "sound"}})
    receipt: dict[str, Any] = {
        **sample.RECEIPT,
        "level": "sound",
        "smoke": [{"when": when, "version": "1.0.0"} for when in smoke or []],
        "rehearsal": [{"revision": one} for one in rehearsal or []],
    }
    ledger.add("backup.proven", receipt=receipt)
    found = claims(ledger)
    assert (found["old-code"]["status"], found["backup"]["status"]) == (status, "shown")
    assert said in found["old-code"]["statement"]


def test_it_tells_what_the_proof_did_not_check() -> None:
    ledger = sample.opened()
    ledger.add("backup.proven", receipt={**sample.RECEIPT, "unchecked": ["the materialized view a.b was not computed"]})
    assert claims(ledger)["backup"]["statement"].endswith("; not checked: the materialized view a.b was not computed")


def test_a_backup_that_was_not_restored_has_no_tables_that_were_compared() -> None:
    ledger = sample.opened({"backup": {"method": "dump", "level": "readable"}})
    ledger.add("backup.proven", receipt={**sample.RECEIPT, "level": "readable", "tables": None})
    found = claims(ledger)["backup"]
    assert (found["status"], found["value"]["tables"], found["value"]["rows"]) == ("shown", None, None)
    assert "was proven: readable" in found["statement"]
    assert "compared" not in found["statement"]


def test_where_nobody_tried_the_old_code_nothing_is_claimed() -> None:
    assert "old-code" not in claims(sample.prepared())


def test_a_migration_before_the_backup_is_a_failure() -> None:
    ledger = sample.opened()
    migrated: dict[str, Any] = {"from": "0001", "to": "0003", "revisions": []}
    ledger.add("migration.applied", **migrated)
    ledger.add("backup.proven", receipt=sample.RECEIPT)
    assert claims(ledger)["backup-first"]["status"] == "failed"


def test_without_a_database_no_backup_is_wanted_and_nothing_is_called_not_measured() -> None:
    found = claims(sample.opened({"backup": {"method": "none", "level": "restored"}, "migrations": None}))
    assert found["backup"]["statement"] == "no backup was wanted, because the inventory has no database"
    assert {found[name]["status"] for name in ("backup", "backup-first", "migrations", "lock-waits")} == {"not needed"}


def test_a_backup_that_was_wanted_and_is_not_there_is_not_measured() -> None:
    found = claims(sample.opened({"backup": {"method": "dump", "level": "restored"}}))
    assert (found["backup"]["status"], found["lock-waits"]["status"]) == ("not measured", "not measured")
