"""revision_info and migration_lint as a playbook calls them: an artifact over HTTP, a database of its own, refusals
that name everything."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import revisions

from .server import RUN_AS, Shop

ROOT = Path(__file__).parents[2]
PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    gradual.rollout.revision_info: {socket_directory: "{{ socket }}", port: "{{ shop_port }}", run_as: "{{ user }}"}
    gradual.rollout.migration_lint: {url: "{{ url }}", sha256: "{{ sha256 }}"}
  tasks:
    - gradual.rollout.revision_info: {database: "{{ shop_database }}"}
      register: here
    - gradual.rollout.revision_info: {database: no_such_database}
      register: nowhere
    - gradual.rollout.revision_info: {environment_file: /no/such/file}
      register: not_yet
    - gradual.rollout.migration_lint: {recorded: "{{ here.recorded }}", target: "0002"}
      register: pending
    - gradual.rollout.migration_lint:
        target: "0003"
        waivers: [{revision: "0003", rule: reindex, reason: not looked at yet, until: "2020-01-01"}]
      register: refused
      ignore_errors: true
    - gradual.rollout.migration_lint: {sha256: "{{ '0' * 64 }}"}
      register: another
      ignore_errors: true
    - ansible.builtin.copy:
        dest: "{{ result }}"
        mode: "0600"
        content: >-
          {{ {'here': here, 'nowhere': nowhere, 'not_yet': not_yet, 'pending': pending, 'refused': refused,
              'another': another} | to_json }}
      diff: false
      check_mode: false
"""
REVISIONS = {
    "0001": ("None", 'op.execute("UPDATE orders SET total = 0")'),
    "0002": ("'0001'", 'op.execute("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()")'),
    "0003": ("'0002'", 'op.drop_column("orders", "total")'),
}


@pytest.fixture
def artifact(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """(url, sha256) of a release with three revisions."""
    served = tmp_path / "served"
    folder = tmp_path / "release/migrations/versions"
    folder.mkdir(parents=True)
    served.mkdir()
    for name, (before, body) in REVISIONS.items():
        head = f'from alembic import op\nrevision = "{name}"\ndown_revision = {before}\nphase = "expand"\n'
        (folder / f"{name}.py").write_text(f"{head}\n\ndef upgrade():\n    {body}\n")
    with tarfile.open(served / "release.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "release", ".")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield (
            f"http://127.0.0.1:{running.server_address[1]}/release.tar.gz",
            hashlib.sha256((served / "release.tar.gz").read_bytes()).hexdigest(),
        )
        running.shutdown()


def test_a_playbook_refuses_before_anything_is_touched(shop: Shop, artifact: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    variables = {
        "socket": str(shop.server.folder), "shop_port": shop.server.port, "user": RUN_AS, "shop_database": shop.name,
        "url": artifact[0], "sha256": artifact[1], "result": str(tmp_path / "result.json"),
        "ansible_python_interpreter": sys.executable,
    }  # fmt: skip
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "--check",
         "-e", json.dumps(variables), str(tmp_path / "play.yml")],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    told: dict[str, Any] = json.loads((tmp_path / "result.json").read_text())
    assert told["here"]["recorded"] == ["0001"]
    assert (told["here"]["standby"], told["nowhere"]["standby"]) == (False, None)
    assert (told["here"]["empty"], told["nowhere"]["empty"]) == (False, None)
    assert told["nowhere"]["recorded"] is None
    assert "no_such_database" in told["nowhere"]["reason"]
    assert told["not_yet"]["recorded"] is None
    assert (told["pending"]["revisions"], [one["rule"] for one in told["pending"]["findings"]]) == (
        ["0002"],
        ["create-trigger"],
    )
    # What is not known to be applied is judged; every reason stands in the one message.
    assert told["refused"]["failed"]
    for said in (
        "whole-table-update (error)",
        "drop-in-expand (error)",
        "AccessExclusiveLock on orders",
        "ended on 2020-01-01",
        "has no finding reindex",
    ):
        assert said in told["refused"]["msg"]
    assert "create-trigger" not in told["refused"]["msg"]
    assert told["another"]["failed"]
    assert "is another file than the manifest means" in told["another"]["msg"]


@pytest.mark.parametrize(
    ("statement", "still"),
    [
        ("CREATE EXTENSION pg_stat_statements", True),
        ("CREATE TABLE django_migrations (id int)", True),
        ("CREATE SCHEMA gradual; CREATE TABLE gradual.migration_step (id int)", True),
        ("CREATE SCHEMA others; CREATE TABLE others.orders (id int)", False),
        ("CREATE TABLE parts (id int) PARTITION BY LIST (id)", False),
        ("CREATE MATERIALIZED VIEW totals AS SELECT 1 AS sum", False),
    ],
)
def test_a_database_is_empty_while_nobody_has_tables_in_it(empty: Shop, statement: str, still: bool) -> None:
    with empty.session() as session:
        assert revisions.empty(session)
        empty.run(*statement.split("; "))
        assert revisions.empty(session) == still
