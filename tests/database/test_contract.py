"""contract.yml and backfill.yml as they stand, on hosts that are all this one: what speaks against contracting, and the
point of no return."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import file as ledger_file
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import rollout_state
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.tests.unit.sample_ledger import Ledger

from .server import PASSWORD, RUN_AS, Shop, revision

ROOT = Path(__file__).parents[2]
NEW, OLD = "b" * 64, "a" * 64
FILL = {
    "name": "total-in-cents",
    "table": "orders",
    "set": "cents = total * 100",
    "where": "cents IS NULL AND extra IS NOT NULL",
    "batch": 200,
    "pause_ms": 1,
}


@contextlib.contextmanager
def running(digest: str) -> Iterator[str]:
    """An application that says which release it is; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                json.dumps(
                    {"application": "shop", "release": "2.0.0" if digest == NEW else "1.0.0", "digest": digest}
                ).encode()
            )

        def log_message(self, *_arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


class Fleet:
    """Two application hosts, a database host and a host with the ledger."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop, self.folder = shop, folder
        release = shop.release(revision(1), revision(2, "ALTER TABLE orders DROP COLUMN extra", phase="contract"))
        environment = folder / "environment"
        environment.touch(0o600)
        environment.write_text(f"DATABASE_URL={shop.url}\n")
        self.variables = {
            "application": "shop",
            "application_port": 1,
            "rollout_ledger_path": str(folder / "ledger"),
            "contract_release": str(release),
            "rollout_owner_environment": str(environment),
            "contract_database": shop.name,
            "contract_roles": ["shop_app"],
            "backup_database": shop.name,
            "backup_destination": shop.backups,
            "backup_run_as": RUN_AS,
            "rollout_flags_file": str(folder / "flags.json"),
            "front_door": {"url": "https://127.0.0.1:1", "ca_path": "/nonexistent"},
            "rollout_prometheus": "http://127.0.0.1:1",
            "report_copy_to": str(folder / "reports"),
        }

    def finished(self, hours_ago: float) -> None:
        """The ledger of two rollouts: 1.0.0 expanded the schema and left rows to fill in; 2.0.0, which has nothing but
        code, ended so long ago."""
        book = Ledger()
        book.now = time.time() - hours_ago * 3600 - 60
        for version, digest, backfills in (("1.0.0", OLD, [FILL]), ("2.0.0", NEW, [])):
            book.rollout = f"shop-{version}"
            manifest = {
                "application": "shop",
                "version": version,
                "artifact": {"url": "https://x/y.tar.gz", "sha256": digest},
                "features": [],
                "migrations": {"adapter": "alembic", "path": "migrations", "target": "0001", "backfills": backfills},
                "backup": {"method": "dump", "level": "restored"},
                "on_abort": "release",
            }
            before = {"version": "1.0.0", "digest": OLD}
            released: dict[str, Any] = {"from": before, "to": {"version": version, "digest": digest}}
            migrated: dict[str, Any] = {"from": "0001", "to": "0001"}
            book.add(
                "rollout.started", manifest=manifest, digest="0" * 64, plan=[], hosts={"app1": before, "app2": before}
            )
            book.add("migration.applied", **migrated)
            for host in ("app1", "app2"):
                book.add("host.drained", host=host)
                book.add("host.released", host=host, **released)
                book.add("host.admitted", host=host)
            book.add("rollout.finished", outcome="completed")
        self.write(book.content)
        self.book = book

    @property
    def record(self) -> Path:
        return self.folder / "ledger" / "ledger.jsonl"

    def write(self, content: bytes) -> None:
        self.record.parent.mkdir(exist_ok=True)
        self.record.write_bytes(content)

    def state(self) -> dict[str, Any]:
        found = rollout_state(ledger_file.read(str(self.folder / "ledger")).lines, now=time.time())
        assert found is not None
        return found

    def play(
        self, playbook: str, *words: str, between: Sequence[dict[str, Any]] = (), **variables: Any
    ) -> tuple[int, str]:
        """The playbook itself, with the throwaway server's address as its modules' defaults. between: tasks after the
        first one of its last play."""
        plays = yaml.safe_load((ROOT / "playbooks" / playbook).read_text())
        server = {"socket_directory": str(self.shop.server.folder), "port": self.shop.server.port, "run_as": RUN_AS}
        for one in plays:
            one["module_defaults"] = {
                "gradual.rollout.backup": {**server, "reserve_mib": 10},
                "gradual.rollout.migration": server,
                "gradual.rollout.backfill": server,
                "gradual.rollout.backup_verify": {
                    "run_as": RUN_AS,
                    "scratch": str(self.shop.server.folder),
                    "reserve_mib": 10,
                },
                "gradual.rollout.database_sessions_info": server,
            }
        plays[-1]["tasks"][1:1] = between
        (self.folder / playbook).write_text(yaml.safe_dump(plays))
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(self.folder / "hosts.yml"),
                "-e",
                json.dumps({**self.variables, **variables}),
                *words,
                str(self.folder / playbook),
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def inventory(self, **urls: str) -> None:
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        hosts = {
            name: {**here, "host_address": address, "rollout_application_url": urls[name]}
            for name, address in (("app1", "127.0.0.1"), ("app2", "127.0.0.2"))
        }
        groups = {
            "application": {"hosts": hosts},
            "database": {"hosts": {"db1": here}},
            "monitoring": {"hosts": {"mon1": here}},
            "balancer": {"hosts": {"lb1": here}},
            "database_primary": {"hosts": {"db1": None}},
            "ledger": {"hosts": {"mon1": None}},
        }
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(groups))


@pytest.fixture
def fleet(shop: Shop, tmp_path: Path) -> Fleet:
    shop.as_owner("ALTER TABLE orders ADD COLUMN cents bigint")
    shop.run(f"ALTER ROLE shop_app PASSWORD '{PASSWORD}'")
    return Fleet(shop, tmp_path)


def columns(shop: Shop) -> list[str]:
    with shop.session() as session:
        return [
            row[0]
            for row in session.rows(
                "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'orders' ORDER BY 1"
            )
        ]


def test_everything_that_speaks_against_it_is_told_and_nothing_is_changed(fleet: Fleet) -> None:
    fleet.finished(hours_ago=10)
    url = f"postgresql://shop_app:{PASSWORD}@127.0.0.1:{fleet.shop.server.port}/{fleet.shop.name}"
    with running(NEW) as new, running(OLD) as old, Session({"dsn": url}, "shop/1.0.0") as session:
        pid = session.value("SELECT pg_backend_pid()")
        fleet.inventory(app1=new, app2=old)
        before = fleet.record.read_bytes()
        status, said = fleet.play("contract.yml")
        assert status != 0
        for one in (
            "app2 runs 1.0.0, not 2.0.0",
            f"pid {pid} (shop_app, shop/1.0.0, from app1: it says that it is of 1.0.0)",
            "total-in-cents is not complete (2000 rows of orders are left, counted)",
            "for 10.0 h, and 72 h are wanted",
            "-e contract_confirm=2.0.0",
        ):
            assert one in said, said[-3000:]
        # Left out of the run is not new.
        status, said = fleet.play("contract.yml", "--limit", "app1,db1", contract_confirm="2.0.0")
        assert status != 0
        assert "was given --limit app1,db1. Launch it again without that" in " ".join(said.split())
    assert fleet.record.read_bytes() == before
    assert "extra" in columns(fleet.shop)
    assert not Path(fleet.shop.backups).exists()


def test_filled_in_then_contracted_then_no_way_back(fleet: Fleet) -> None:
    fleet.finished(hours_ago=80)
    with running(NEW) as new:
        fleet.inventory(app1=new, app2=new)
        status, said = fleet.play("backfill.yml")
        assert status == 0, said[-3000:]
        assert fleet.shop.value("SELECT count(*) FROM orders WHERE cents IS NULL") == 0
        # Check mode tells what is pending, and does nothing.
        status, said = fleet.play("contract.yml", "--check", contract_confirm="2.0.0")
        assert status == 0, said[-3000:]
        assert "extra" in columns(fleet.shop)
        assert not fleet.state()["contracted"]
        status, said = fleet.play("contract.yml", contract_confirm="2.0.0")
        assert status == 0, said[-4000:]
        assert "extra" not in columns(fleet.shop)
        found = fleet.state()
        assert (found["contracted"], found["contract"]["from"], found["contract"]["to"]) == (True, "0001", "0002")
        assert found["receipt"]["level"] == "restored"
        assert not found["lease"]["held"]
        # Once is enough.
        status, said = fleet.play("contract.yml", contract_confirm="2.0.0")
        assert status == 0, said[-3000:]
        assert "Nothing is left to contract: the schema is at 0002" in said
        assert set(re.findall(r"changed=(\d+)", said)) == {"0"}
        # From here on no old code comes back, and whoever asks for it is told why.
        status, said = fleet.play("rollback.yml")
        assert status != 0
        refusal = " ".join(said.split())
        assert "the code stays at 2.0.0: the schema was contracted (0001 to 0002," in refusal, said[-4000:]
        assert "the previous release does not run on it" in refusal
        assert f"restore the backup {found['receipt']['id']}" in refusal
        again = fleet.state()
        # The users are safe and nothing is left to take back, so the next release can be rolled out.
        assert (again["contracted"], again["open"], again["outcome"], again["returned"]["left"]) == (
            True,
            False,
            "returned",
            [],
        )
        assert [one["now"] for one in again["hosts"].values()] == ["released", "released"]


def test_what_changes_while_it_is_looked_at_is_seen(fleet: Fleet) -> None:
    fleet.finished(hours_ago=80)
    fleet.shop.as_owner("UPDATE orders SET cents = 0")
    with running(NEW) as new:
        fleet.inventory(app1=new, app2=new)
        status, said = fleet.play("backfill.yml")
        assert status == 0, said[-3000:]
        # Somebody takes the rollout back, and has done so before the lease can be taken.
        looked_at = fleet.record.read_bytes()
        for event, data in (
            ("host.returned", {"host": "app1"}),
            ("return.finished", {"left": []}),
            ("rollout.finished", {"outcome": "returned"}),
        ):
            fleet.book.add(event, **data)
        (fleet.folder / "taken-back").write_bytes(fleet.book.content)
        taken_back = {
            "name": "Take it back",
            "ansible.builtin.copy": {
                "src": str(fleet.folder / "taken-back"),
                "dest": str(fleet.record),
                "mode": "0600",
            },
        }
        status, said = fleet.play("contract.yml", between=[taken_back], contract_confirm="2.0.0")
        assert status != 0
        assert "shop-2.0.0 was changed while it was looked at (it is returned now)" in " ".join(said.split()), said[
            -3000:
        ]
        assert not fleet.state()["lease"]["held"]
        assert not Path(fleet.shop.backups).exists()
        # A job of the old release connects once the sessions have been looked at, and stays.
        fleet.write(looked_at)
        url = f"postgresql://shop_app:{PASSWORD}@127.0.0.1:{fleet.shop.server.port}/{fleet.shop.name}"
        # Until its session is ended.
        stays = (
            "import os, pathlib, sys, time, psycopg\nkept = psycopg.connect(os.environ['URL'],"
            " application_name='shop/1.0.0', autocommit=True)\npathlib.Path(sys.argv[1]).touch()\nwhile"
            " kept.execute('SELECT true'): time.sleep(0.2)"
        )
        command = [sys.executable, "-c", stays, str(fleet.folder / "connected")]
        connecting: list[dict[str, Any]] = [
            {
                "name": "Connect",
                "ansible.builtin.command": {"argv": command},
                "environment": {"URL": url},
                "async": 300,
                "poll": 0,
                "changed_when": True,
            },
            {
                "name": "Wait until it is",
                "ansible.builtin.wait_for": {"path": str(fleet.folder / "connected"), "timeout": 60},
            },
        ]
        status, said = fleet.play("contract.yml", between=connecting, contract_confirm="2.0.0")
        fleet.shop.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shop/1.0.0'")
        assert status != 0
        assert "it says that it is of 1.0.0" in said, said[-3000:]
    found = fleet.state()
    assert (found["contracted"], found["contract"], found["lease"]["held"]) == (False, None, False)
    assert found["receipt"]["level"] == "restored"
    assert "extra" in columns(fleet.shop)
