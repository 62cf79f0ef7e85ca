"""What docs/restore-by-hand.md tells a person to type at three in the morning, typed; and the page on receipts held
against the schema."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from .server import OWNER, RUN_AS, Shop, programs, run_as, throwaway

HOME = Path(__file__).parents[2]
PAGE = (HOME / "docs/restore-by-hand.md").read_text()


def block(heading: str) -> list[str]:
    """The commands of the first block after a heading."""
    found: str = re.findall(rf"{re.escape(heading)}\n```\n(.*?)```", PAGE, re.DOTALL)[0]
    return found.splitlines()


def typed(lines: list[str], folder: str, **variables: str) -> str:
    """Run them in one shell, as the user that owns the cluster; what they print."""
    script = "\n".join(["set -euo pipefail", f"cd {folder}", *lines])
    try:
        return run_as(
            ["bash", "-c", script], env={"PATH": f"{programs()}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **variables}
        ).stdout
    except subprocess.CalledProcessError as error:
        error.add_note(f"{error.stdout}\n{error.stderr}")
        raise


def test_which_backup_and_is_it_whole(shop: Shop) -> None:
    taken = shop.proven()
    shop.back_up("basebackup")
    listed = typed([block("## 1. Which backup")[1]], shop.backups).splitlines()
    assert [line.split()[1:3] for line in listed] == [["restored", "dump"], ["taken", "basebackup"]]
    for line in listed:
        assert typed([block("## 2. Is it whole")[1]], line.split()[-1]) == ""
    Path(taken["path"], "roles.sql").write_text("-- nothing")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        typed([block("## 2. Is it whole")[1]], taken["path"])
    assert "roles.sql: FAILED" in failed.value.stdout


def test_a_dump_comes_back(shop: Shop) -> None:
    taken = shop.back_up()
    create, roles, restore = (line.replace(" --port 5433", "") for line in block("### method: dump"))
    assert create.startswith("pg_createcluster")
    with throwaway() as rescue:
        rescue.run(f"DROP ROLE {OWNER}", "DROP ROLE shop_app")
        # The test's own superuser is in the backup as well as in the new cluster. The operator is the user postgres,
        # whose database exists; the user of this test may have none.
        roles = roles.replace("'^CREATE ROLE postgres;'", f"'^CREATE ROLE \\({RUN_AS}\\|tester\\);'")
        typed(
            [roles, restore], taken["path"], PGHOST=str(rescue.folder), PGPORT=str(rescue.port), PGDATABASE="postgres"
        )
        assert rescue.value("SELECT count(*) FROM orders", shop.name) == 2000
        assert rescue.value("SELECT tableowner::text FROM pg_tables WHERE tablename = 'orders'", shop.name) == OWNER


def test_a_copy_of_the_files_comes_back(shop: Shop) -> None:
    taken = shop.back_up("basebackup")
    shop.as_owner("DELETE FROM orders")
    folder = shop.server.folder / f"rescue-{shop.name}"
    lines = [
        line.replace("/var/lib/postgresql/15/rescue", str(folder)).replace(
            "/var/run/postgresql", str(shop.server.folder)
        )
        for line in block("### method: basebackup")
    ]
    try:
        typed([*lines[:-1], f"{lines[-1]} || {{ cat $data/rescue.log; exit 1; }}"], taken["path"])
        terse = f"psql --no-align --tuples-only --host {shop.server.folder}"
        look = block("## 4. Look, then switch")[0].replace("storefront", shop.name).replace("psql", terse)
        assert typed([look], taken["path"]).strip().endswith("|" + taken["receipt"]["id"])
        assert (
            int(typed([f"{terse} --port 5433 --dbname {shop.name} --command 'SELECT count(*) FROM orders'"], "/"))
            == 2000
        )
    finally:
        subprocess.run(
            [programs() / "pg_ctl", "stop", "--pgdata", folder, "--mode", "immediate"],
            check=False,
            capture_output=True,
            user=RUN_AS,
        )  # nothing to stop where it did not start


def test_every_key_of_a_receipt_is_explained_in_the_schemas_own_words() -> None:
    schema = json.loads(
        (HOME / "collections/ansible_collections/gradual/rollout/schemas/receipt.schema.json").read_text()
    )
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", (HOME / "docs/receipt.md").read_text(), re.MULTILINE))
    wanted = {key: one.get("description", "") for key, one in schema["properties"].items()}
    wanted.update(
        {
            f"restore.{key}": one.get("description", "")
            for key, one in schema["properties"]["restore"]["properties"].items()
        }
    )
    assert list(rows) == list(wanted)
    for key, words in wanted.items():
        assert words, f"{key} has no description in the schema"
        assert rows[key] == words
