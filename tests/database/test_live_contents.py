"""The digest of the live database, which is computed after the backup was taken, in the snapshot of the backup."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import live_contents, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.server import Shop, meanwhile, until
from tests.database.test_backup import SCHEMA

METHODS = ("dump", "basebackup")
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gradual-backup'"
)
WAITS = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@dataclass
class Gate:
    """Where the process that digests waits. It writes its pid into `here`, and goes on when `open` exists."""

    folder: Path

    @property
    def here(self) -> Path:
        return self.folder / "here"

    def open(self) -> None:
        (self.folder / "open").touch()

    def pid(self) -> int:
        return int(until(lambda: self.here.exists() and self.here.read_text()))

    def gone(self) -> None:
        """Wait until the process has ended; a zombie has."""
        stat = Path(f"/proc/{self.pid()}/stat")
        until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.fixture
def gate(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    found = Gate(shop.server.folder / f"gate_{shop.name}")
    found.folder.mkdir()
    found.folder.chmod(0o777)
    read = contents.tables

    def waiting(*given: Any, **more: Any) -> Any:
        found.here.write_text(str(os.getpid()))
        until((found.folder / "open").exists, 300)
        return read(*given, **more)

    monkeypatch.setattr(contents, "tables", waiting)
    try:
        yield found
    finally:
        found.open()


@pytest.mark.parametrize("method", METHODS)
def test_a_backup_is_taken_before_the_live_database_is_digested(shop: Shop, gate: Gate, method: str) -> None:
    taken = shop.back_up(method, wait=False)
    path, receipt = taken["path"], taken["receipt"]
    jsonschema.validate(receipt, SCHEMA)
    assert (receipt["level"], receipt["tables"]) == ("taken", None)
    assert [one for one in receipt["lacks"] if "the level restored cannot be reached" in one]
    readable = shop.prove(path, "readable")
    assert (readable["level"], readable["tables"], readable["lacks"]) == ("readable", None, receipt["lacks"])
    with pytest.raises(DatabaseError, match=r"the digest of the live database is not complete after 0 s"):
        live_contents.joined(readable, path, timeout=0)
    # Not in the snapshot, which is held.
    shop.as_owner("DELETE FROM orders WHERE id <= 100")
    with meanwhile(lambda: shop.run("TRUNCATE orders CASCADE")):
        until(lambda: shop.value(WAITS) == "TRUNCATE orders CASCADE")
        with shop.session() as migrator:
            assert not live.try_lock(migrator, shared=False), "a migration may not begin while the snapshot is held"
        gate.open()
    proven = shop.prove(path)
    jsonschema.validate(proven, SCHEMA)
    assert (proven["level"], proven["lacks"]) == ("restored", [])
    assert proven["tables"]["public.orders"]["rows"] == 2000
    assert proven["durations"]["digest"] > 0
    assert shop.value("SELECT count(*) FROM orders") == 0
    gate.gone()
    with shop.session() as migrator:
        assert live.try_lock(migrator, shared=False)


def test_a_backup_whose_digest_was_killed_is_never_restored(shop: Shop, gate: Gate) -> None:
    path = shop.back_up(wait=False)["path"]
    os.kill(gate.pid(), signal.SIGKILL)
    gate.open()
    with pytest.raises(DatabaseError, match=r"is not restored: the digest of the live database was not completed"):
        shop.prove(path)
    kept = receipts.read(path)
    assert (kept["level"], kept["tables"]) == ("readable", None)
    assert kept["problem"].startswith("not restored: the digest of the live database was not completed")


def test_the_snapshot_is_held_for_a_limited_time(shop: Shop, gate: Gate) -> None:
    path = shop.back_up(wait=False, digest_timeout=1)["path"]
    gate.gone()
    until(lambda: shop.value(SESSIONS) == 0)
    gate.open()
    with pytest.raises(DatabaseError, match=r"was not completed: its process ended before .*digest_timeout"):
        shop.prove(path)


def test_why_the_live_database_could_not_be_digested_is_kept(shop: Shop, gate: Gate) -> None:
    path = shop.back_up(wait=False)["path"]
    gate.pid()
    assert shop.value(SESSIONS.replace("count(*)", "bool_and(pg_terminate_backend(pid))"))
    gate.open()
    with pytest.raises(DatabaseError, match=r"could not be digested: .*terminating connection due to administrator"):
        shop.prove(path)


def test_the_digest_of_another_backup_is_refused(shop: Shop) -> None:
    first, second = shop.back_up(), shop.back_up()
    for one in (first, second):
        assert shop.digested(one)["tables"]["public.orders"]["rows"] == 2000
    shutil.copy(Path(first["path"], store.LIVE), Path(second["path"], store.LIVE))
    with pytest.raises(DatabaseError, match=r"live\.json is not of this backup, or was changed"):
        shop.prove(second["path"])
    file = Path(first["path"], store.LIVE)
    told = json.loads(file.read_text())
    told["tables"]["public.orders"]["rows"] = 1999
    file.write_text(json.dumps(told))
    with pytest.raises(DatabaseError, match=r"live\.json is not of this backup, or was changed"):
        shop.prove(first["path"])
    file.unlink()
    with pytest.raises(DatabaseError, match=r"live\.json, the digest of the live database, cannot be read: No such"):
        shop.prove(first["path"])
